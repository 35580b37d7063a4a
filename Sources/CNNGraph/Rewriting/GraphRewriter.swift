import CNNCore

/// Copies a graph node by node, so that a pass only says what becomes of the nodes it changes.
public struct GraphRewriter {
  /// The graph that is read.
  public let source: Graph
  /// The graph that is written.
  public var result = Graph()
  private var images: [Value?]

  /// Starts a copy: inputs and parameters are there, nodes are not.
  /// - Parameters:
  ///   - inputType: the new type of the input of that name; nil for the one it has.
  ///   - variableAxes: by input name, the axes of a new type whose size varies; none where it is not named.
  ///   - keepsParameter: whether a parameter is in the copy too.
  ///   - newParameter: what stands in a parameter's place.
  public init(
    _ source: Graph,
    inputType: (String) throws(CNNError) -> TensorType? = { _ throws(CNNError) in nil },
    variableAxes: [String: [Int]] = [:],
    keepsParameter: (Parameter) -> Bool = { _ in true },
    newParameter: (Parameter) -> Parameter = { $0 }
  ) throws(CNNError) {
    self.source = source
    images = Array(repeating: nil, count: source.valueCount)
    result.reserveCapacity(source.valueCount)
    for input in source.inputs {
      let type = try inputType(input.name)
      images[input.value.index] = try result.addInput(
        input.name, type ?? source.type(of: input.value),
        variableAxes: type == nil ? input.variableAxes : variableAxes[input.name] ?? [])
    }
    for index in 0..<source.valueCount {
      let value = Value(index: index)
      if let parameter = source.parameter(defining: value), keepsParameter(parameter) {
        images[index] = try result.addParameter(newParameter(parameter))
      }
    }
  }

  /// What a value of the source has become.
  public func image(of value: Value) throws(CNNError) -> Value {
    guard let image = images[value.index] else {
      throw CNNError(.internalFault, "a pass dropped '\(source.name(of: value))', which is still used")
    }
    return image
  }

  /// Says what a value of the source becomes.
  public mutating func map(_ value: Value, to image: Value) { images[value.index] = image }

  /// A name that nothing has in either graph: this one, or one that begins so.
  public mutating func uniqueName(_ stem: String) -> String {
    var name = result.uniqueName(stem)
    while source.value(named: name) != nil { name = result.uniqueName("\(name)_1") }
    return name
  }

  /// Copies a node, with another operation where one is given.
  public mutating func copy(_ node: Node, as operation: (any Operation)? = nil) throws(CNNError) {
    var operands: [Value] = []
    for operand in node.operands { operands.append(try image(of: operand)) }
    let results = try result.add(operation ?? node.operation, operands, name: node.name)
    for (old, new) in zip(node.results, results) { map(old, to: new) }
  }

  /// Copies outputs and updates, and returns the finished graph.
  public consuming func finished() throws(CNNError) -> Graph {
    for output in source.outputs { try result.addOutput(output.name, image(of: output.value)) }
    for update in source.updates {
      let parameter = source.parameters[update.parameter]
      guard let target = result.value(named: parameter.name) else { continue }
      try result.addUpdate(of: target, to: image(of: update.value))
    }
    return result
  }
}

extension Graph {
  /// A copy in which `change` handles some nodes: it returns true for those it has mapped itself.
  public func rewriting(_ change: (inout GraphRewriter, Node) throws(CNNError) -> Bool) throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(self)
    for node in nodes where try !change(&rewriter, node) { try rewriter.copy(node) }
    return try rewriter.finished()
  }

  /// For each value the positions of the nodes that read it; outputs and updates are not counted.
  public func consumers() -> [[Int]] {
    var result = Array(repeating: [Int](), count: valueCount)
    for (index, node) in nodes.enumerated() {
      for operand in node.operands { result[operand.index].append(index) }
    }
    return result
  }

  /// Whether a value is an output or an update, and so must be kept as it is.
  public func isKept(_ value: Value) -> Bool {
    outputs.contains { $0.value == value } || updates.contains { $0.value == value }
  }
}
