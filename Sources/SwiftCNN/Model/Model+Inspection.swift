import CNNCompiler
import CNNCore
import CNNGraph

extension Model: CustomStringConvertible {
  /// The parameters in the order of the network.
  public var parameterList: [Parameter] { lock.reading { network.parameters.indices.map(lockedParameter) } }

  /// One of them, without a look at the others; nil where there is none at that position.
  public func parameter(at index: Int) -> Parameter? {
    lock.reading { network.parameters.indices.contains(index) ? lockedParameter(index) : nil }
  }

  /// A parameter as it is now: a model that shares it may have frozen it.
  private func lockedParameter(_ index: Int) -> Parameter {
    network.parameters[index].trainable(parameters.tensors[index].isTrainable)
  }

  /// The number of elements of all parameters, or of those that training changes. Statistics are not counted, as in
  /// torchvision's tables.
  public func parameterCount(trainableOnly: Bool = false) -> Int {
    parameterList.filter { $0.role.isLearned && (!trainableOnly || $0.isTrainable) }
      .reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// A parameter's values, shaped as the parameter.
  /// - Throws: `.unknownName` with the nearest name.
  public func value(of name: String) throws(CNNError) -> Tensor {
    let result = try Tensor(zeros: shape(of: name))
    try copyValue(of: name, into: result.floats)
    return result
  }

  /// Gives a parameter other values: float32 of its shape.
  /// - Throws: `.unknownName` with the nearest name, `.shapeMismatch` where they do not fit.
  public func setValue(_ value: some TensorConvertible, of name: String) throws(CNNError) {
    let (value, shape) = (try value.view, try shape(of: name))
    guard value.element == .float32, value.shape == shape else {
      throw CNNError(
        .shapeMismatch,
        "'\(name)' is float32\(describe(shape)); given is \(value.element.rawValue)\(describe(value.shape))")
    }
    let floats = value.base.assumingMemoryBound(to: Float.self)
    try setValue(of: name, from: UnsafeBufferPointer(start: floats, count: shape.reduce(1, *)))
    withExtendedLifetime(value) {}
  }

  /// The shape of a parameter.
  /// - Throws: `.unknownName` with the nearest name.
  func shape(of name: String) throws(CNNError) -> [Int] { parameters.parameters[try position(of: name)].shape }

  /// Copies a parameter's values out.
  /// - Throws: `.unknownName` with the nearest name, `.shapeMismatch` where the count differs.
  public func copyValue(of name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CNNError) {
    try lock.reading { () throws(CNNError) in
      let values = try values(of: name, count: destination.count)
      _ = destination.update(fromContentsOf: values)
    }
  }

  /// Replaces a parameter's values.
  /// - Throws: `.unknownName` with the nearest name, `.shapeMismatch` where the count differs.
  public func setValue(of name: String, from source: UnsafeBufferPointer<Float>) throws(CNNError) {
    try lock.writing { () throws(CNNError) in
      _ = try values(of: name, count: source.count)
      setValues(at: try position(of: name), source)
    }
  }

  /// Gives a parameter other values, and its moving average too: the average of other weights means nothing now.
  func setValues(at position: Int, _ source: UnsafeBufferPointer<Float>) {
    _ = parameters.values(at: position).update(fromContentsOf: source)
    _ = training?.optimizer.average?.values(at: position).update(fromContentsOf: source)
    parameters.markChanged()
  }

  private func values(of name: String, count: Int) throws(CNNError) -> UnsafeMutableBufferPointer<Float> {
    let values = parameters.values(at: try position(of: name))
    guard values.count == count else {
      throw CNNError(.shapeMismatch, "'\(name)' has \(values.count) elements; \(count) given")
    }
    return values
  }

  /// The position of a parameter, or an error with the nearest name.
  func position(of name: String) throws(CNNError) -> Int {
    guard let position = parameters.position(of: name) else {
      throw unknownName("parameter", name, among: parameters.parameters.map(\.name))
    }
    return position
  }

  /// Freezes or unfreezes the parameters whose names match `pattern` (`*` and `?`).
  ///
  /// A batch normalisation whose parameters are frozen runs in inference mode, as in Keras.
  /// - Returns: how many matched.
  /// - Throws: `.unknownName` where none matches.
  @discardableResult
  public func setTrainable(_ trainable: Bool, matching pattern: String) throws(CNNError) -> Int {
    try lock.writing { () throws(CNNError) in
      let matched = network.parameters.filter { $0.role.isLearned && Glob.matches($0.name, pattern) }
      guard !matched.isEmpty else {
        throw unknownName("parameter", pattern, among: network.parameters.filter(\.role.isLearned).map(\.name))
      }
      for parameter in matched { parameters.tensors[try position(of: parameter.name)].isTrainable = trainable }
      return matched.count
    }
  }

  /// The names of all tensors that `predict` can give, in the order they are computed.
  public var tensorNames: [String] { lock.reading { network.nodes.map(\.name) } }

  /// The network as text: one line per value, `dot` for Graphviz, `svg` as `drawing` gives it, `json`, `layers`, its layers
  /// as Keras has them in JSON, or `structure`, what is equal where two networks compute the same way.
  /// - Throws: `.unknownName` for another format.
  package func graphText(_ format: String) throws(CNNError) -> String {
    switch format {
    case "text": return graph.text
    case "dot": return graph.dot
    case "svg": return try drawing()
    case "json": return try graph.json.serialized()
    case "layers": return try graph.kerasLayers.serialized()
    case "structure": return try graph.structure.serialized()
    default: throw unknownName("format", format, among: ["text", "dot", "svg", "json", "layers", "structure"])
    }
  }

  /// The network as a picture, an SVG document that browsers show: boxes of operations from the inputs down to the outputs,
  /// with a frame round each block of layers. A long one goes on in further columns.
  /// - Throws: `.invalidArgument` where the network is too large to be drawn.
  public func drawing(_ options: DrawingOptions = DrawingOptions()) throws(CNNError) -> String {
    try graph.svg(options)
  }

  /// The model in a line: name, inputs, outputs, parameters and their size in memory.
  public var description: String {
    let (graph, storage) = lock.reading { (network, parameters.parameters) }
    func listed(_ values: [Value]) -> String { values.map { Self.text(graph.shape(of: $0)) }.joined(separator: ", ") }
    let bytes = storage.reduce(0) { $0 + $1.shape.reduce(4, *) }
    let size = bytes < 1_000_000 ? "\(bytes / 1000) kB" : "\(Double(bytes / 100_000) / 10) MB"
    return "\(name): \(listed(graph.inputs.map(\.value))) -> \(listed(graph.outputs.map(\.value))), "
      + "\(grouped(parameterCount())) parameters, \(size)"
  }

  /// A shape as tables have it, with `N` for the batch.
  private static func text(_ shape: [Int?]) -> String {
    "[\((["N"] + shape.dropFirst().map { $0.map(String.init) ?? "any" }).joined(separator: ", "))]"
  }

  /// A table of layers, output shapes and parameter counts.
  public var summary: String { table(graph, lastColumn: nil) }

  /// As `summary`, and for each layer the step that computes it in a prediction: the step's number, as `profile` has it,
  /// and its algorithm. Layers with the same number are one step. It is that of one image of the size that the network
  /// was built with.
  /// - Throws: `.outOfMemory`.
  public func fusedSummary() throws(CNNError) -> String {
    let (graph, steps) = try lock.reading { () throws(CNNError) -> (Graph, [String: String]) in
      let plan = try planForOne()
      var steps: [String: String] = [:]
      for (index, names) in try Compiler.layers(of: plan, network: network).enumerated() {
        for name in names { steps[name] = "\(index + 1) \(plan.stepCosts[index].cost.algorithm)" }
      }
      return (networkWithFlags, steps)
    }
    return table(graph, lastColumn: ("step", steps))
  }

  /// The table of a summary, with a further column by the layers' names.
  private func table(_ graph: Graph, lastColumn: (title: String, cells: [String: String])?) -> String {
    let further = lastColumn.map { [$0.title] } ?? []
    var rows = [["layer", "operation", "output shape", "parameters"] + further]
    func shape(_ value: Value) -> String { Self.text(graph.shape(of: value)) }
    // Where there is one, it is seen from what reads it.
    for input in graph.inputs where graph.inputs.count > 1 {
      rows.append([input.name, "input", shape(input.value), ""] + further.map { _ in "" })
    }
    for node in graph.nodes where !graph.isRoundingOfParameter(node) {
      let own = node.operands.compactMap(graph.parameter(behind:))
      let count = own.filter(\.role.isLearned).reduce(0) { $0 + $1.shape.reduce(1, *) }
      let frozen = own.contains { $0.role.isLearned && !$0.isTrainable } ? " (frozen)" : ""
      rows.append(
        [
          node.name, type(of: node.operation).name, shape(node.results[0]),
          count == 0 ? "" : "\(grouped(count))\(frozen)",
        ] + (lastColumn.map { [$0.cells[node.name] ?? ""] } ?? []))
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    func line(_ row: [String]) -> String {
      var cells: [String] = []
      for (index, cell) in row.enumerated() {
        let space = String(repeating: " ", count: widths[index] - cell.count)
        cells.append(index == 3 ? space + cell : index == 4 ? cell : cell + space)
      }
      return cells.joined(separator: "  ")
    }
    let rule = String(repeating: "-", count: widths.reduce(2 * (widths.count - 1), +))
    let total = parameterCount(), trainable = parameterCount(trainableOnly: true)
    let statistics = graph.parameters.filter { !$0.role.isLearned }.reduce(0) { $0 + $1.shape.reduce(1, *) }
    let lines =
      [name, rule, line(rows[0]), rule] + rows.dropFirst().map(line) + [
        rule,
        "parameters: \(grouped(total)), trainable: \(grouped(trainable)), non-trainable: \(grouped(total - trainable))"
          + (statistics == 0 ? "" : "; statistics: \(grouped(statistics))"),
      ] + (precision == .float32 ? [] : ["precision: \(precision.rawValue)"])
    return lines.joined(separator: "\n")
  }
}
