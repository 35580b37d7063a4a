import CNNCore

/// What a gradient rule sees: the node it differentiates, and a place to emit into.
public struct GradientContext {
  /// The graph, forward part and what has been emitted.
  var graph: Graph
  let node: Node
  let needed: [Bool]

  /// The gradient of the node's first result.
  public let upstream: Value

  /// The number of operands.
  public var operandCount: Int { node.operands.count }

  /// An operand of the node.
  public func operand(_ index: Int) -> Value { node.operands[index] }

  /// A result of the node.
  public func result(_ index: Int) -> Value { node.results[index] }

  /// Whether anybody uses the gradient of that operand.
  public func needsGradient(_ index: Int) -> Bool { needed[index] }

  /// The type of a value.
  public func type(of value: Value) -> TensorType { graph.type(of: value) }

  /// Adds a node with one result.
  public mutating func emit(_ operation: any Operation, _ operands: Value...) throws(CNNError) -> Value {
    try emitAll(operation, operands)[0]
  }

  /// Adds a node and returns all its results.
  public mutating func emitAll(_ operation: any Operation, _ operands: [Value]) throws(CNNError) -> [Value] {
    try graph.add(operation, operands, name: graph.uniqueName("\(node.name).gradient"))
  }
}

/// Whose gradient a node is there for.
public struct GradientOrigin: Sendable, Equatable {
  /// The node that was differentiated, or for a sum of gradients the one whose result or parameter they are of.
  public let node: String
  /// Whether it is needed for the gradient of parameters alone, and not for that of what the node reads of other nodes.
  public let isOfParameters: Bool
}

extension Graph {
  /// For each value whether it is one of `values` or depends on one.
  public func dependents(of values: [Value]) -> [Bool] {
    var depends = Array(repeating: false, count: valueCount)
    for value in values { depends[value.index] = true }
    for node in nodes where node.operands.contains(where: { depends[$0.index] }) {
      for result in node.results { depends[result.index] = true }
    }
    return depends
  }

  /// Reverse-mode differentiation: the same graph, and the gradient of a scalar with respect to each of `values`.
  ///
  /// The gradients are added as nodes after the forward ones; `gradients[i]` belongs to `values[i]`, nil where the
  /// scalar does not depend on it. `origins` says of each added node, by its name, whose gradient it is there for.
  /// - Throws: `.invalidArgument` where `scalar` is not a scalar, or an operation on the way has no gradient.
  public func differentiating(_ scalar: Value, withRespectTo values: [Value]) throws(CNNError)
    -> (graph: Graph, gradients: [Value?], origins: [String: GradientOrigin])
  {
    guard type(of: scalar).shape.isEmpty else {
      throw CNNError(
        .invalidArgument, "'\(name(of: scalar))' has shape \(describe(type(of: scalar).shape)); expected a scalar")
    }
    let depends = dependents(of: values), isOfParameters = dependsOnParametersAlone
    var origins: [String: GradientOrigin] = [:]
    // The sum of what each reader contributes.
    var graph = self
    var gradients: [Value?] = Array(repeating: nil, count: valueCount)
    if depends[scalar.index] {
      let seed = try graph.addSingle(
        Fill(1, shape: []), [], name: graph.uniqueName("\(name(of: scalar)).gradient"))
      gradients[scalar.index] = seed
      origins[graph.name(of: seed)] = GradientOrigin(
        node: node(defining: scalar)?.name ?? name(of: scalar), isOfParameters: false)
    }
    for node in nodes.reversed() {
      let needed = node.operands.map { depends[$0.index] }
      guard needed.contains(true), let first = node.results.first, let upstream = gradients[first.index] else {
        continue
      }
      var context = GradientContext(graph: graph, node: node, needed: needed, upstream: upstream)
      graph = Graph()  // Now the context alone holds the graph, and adding to it copies nothing.
      let contributions = try node.operation.gradients(&context)
      graph = context.graph
      let added = nodes.count + origins.count..<graph.nodes.count
      guard contributions.count == node.operands.count else {
        throw CNNError(
          .internalFault,
          "the gradient rule of '\(Swift.type(of: node.operation).name)' gave \(contributions.count) gradients for "
            + "\(node.operands.count) operands")
      }
      let ofInputs = zip(node.operands, contributions).compactMap { isOfParameters[$0.index] ? nil : $1 }
      let leading = graph.positions(in: added, leadingTo: ofInputs)
      for position in added {
        origins[graph.nodes[position].name] = GradientOrigin(
          node: node.name, isOfParameters: !leading.contains(position))
      }
      for (operand, contribution) in zip(node.operands, contributions) where depends[operand.index] {
        guard let contribution else { continue }
        if let earlier = gradients[operand.index] {
          let sum = try graph.addSingle(
            Add(), [earlier, contribution], name: graph.uniqueName("\(name(of: operand)).gradient_sum"))
          gradients[operand.index] = sum
          origins[graph.name(of: sum)] = GradientOrigin(
            node: self.node(defining: operand)?.name ?? node.name, isOfParameters: isOfParameters[operand.index])
        } else {
          gradients[operand.index] = contribution
        }
      }
    }
    return (graph, values.map { gradients[$0.index] }, origins)
  }

  /// For each value whether it is a parameter, or computed of parameters and nothing else.
  private var dependsOnParametersAlone: [Bool] {
    var result = (0..<valueCount).map { parameter(defining: Value(index: $0)) != nil }
    for node in nodes where !node.operands.isEmpty && node.operands.allSatisfy({ result[$0.index] }) {
      for value in node.results { result[value.index] = true }
    }
    return result
  }

  /// The positions in a range of the nodes that some values depend on.
  private func positions(in range: Range<Int>, leadingTo values: [Value]) -> Set<Int> {
    var needed = Set(values), found: Set<Int> = []
    for position in range.reversed() where nodes[position].results.contains(where: needed.contains) {
      found.insert(position)
      needed.formUnion(nodes[position].operands)
    }
    return found
  }
}
