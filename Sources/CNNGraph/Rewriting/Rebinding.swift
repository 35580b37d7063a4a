import CNNCore

extension Graph {
  /// The same network for inputs of other types: shapes are inferred anew.
  /// - Parameters:
  ///   - types: new types by input name; the other inputs keep theirs.
  ///   - variableAxes: by input name, the axes of the new types whose size varies.
  /// - Throws: `.shapeMismatch` naming the node where the new shapes do not fit.
  public func rebound(_ types: [String: TensorType], variableAxes: [String: [Int]] = [:]) throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(
      self, inputType: { name throws(CNNError) in types[name] }, variableAxes: variableAxes)
    for node in nodes { try rewriter.copy(node) }
    return try rewriter.finished()
  }

  /// The same network with only these values as outputs.
  /// - Throws: `.unknownName` with the nearest name.
  public func selectingOutputs(_ names: [String]) throws(CNNError) -> Graph {
    var result = self
    var selected: [(name: String, value: Value)] = []
    for name in names {
      guard let value = value(named: name) ?? outputs.first(where: { $0.name == name })?.value else {
        throw unknownName("tensor", name, among: valueNames)
      }
      selected.append((name, value))
    }
    try result.setOutputs(selected)
    return result
  }

  /// The same network taking pixels: the float input becomes uint8 and is normalised first.
  public func acceptingPixels(input name: String, mean: [Double], deviation: [Double]) throws(CNNError) -> Graph {
    guard let input = inputs.first(where: { $0.name == name }) else {
      throw unknownName("input", name, among: inputs.map(\.name))
    }
    let type = try TensorType(.uint8, type(of: input.value).shape)
    var rewriter = try GraphRewriter(self) { other throws(CNNError) in other == name ? type : nil }
    // A name that no node has which is yet to be copied.
    var names = self
    let normalizedName = names.uniqueName("\(name).normalized")
    let pixels = try rewriter.image(of: input.value)
    let normalized = try rewriter.result.addSingle(
      NormalizePixels(mean: mean, deviation: deviation), [pixels],
      name: normalizedName)
    rewriter.map(input.value, to: normalized)
    for node in nodes { try rewriter.copy(node) }
    return try rewriter.finished()
  }

  /// The same graph without the nodes that no output or update depends on. Inputs and parameters stay.
  public func removingDeadNodes() throws(CNNError) -> Graph {
    var isLive = Array(repeating: false, count: valueCount)
    for output in outputs { isLive[output.value.index] = true }
    for update in updates { isLive[update.value.index] = true }
    for node in nodes.reversed() where node.results.contains(where: { isLive[$0.index] }) {
      for operand in node.operands { isLive[operand.index] = true }
    }
    var rewriter = try GraphRewriter(self)
    for node in nodes where node.results.contains(where: { isLive[$0.index] }) { try rewriter.copy(node) }
    return try rewriter.finished()
  }

  /// The same graph without the parameters that no node reads.
  public func removingDeadParameters() throws(CNNError) -> Graph {
    let consumers = consumers()
    var rewriter = try GraphRewriter(
      self,
      keepsParameter: { parameter in
        guard let value = value(named: parameter.name) else { return true }
        return !consumers[value.index].isEmpty || isKept(value)
      })
    for node in nodes { try rewriter.copy(node) }
    return try rewriter.finished()
  }
}
