import CNNCore

extension Graph {
  /// Whether every pass is followed by `verify()`: the environment variable `SWIFTCNN_VERIFY=1`.
  public static let verifiesPasses: Bool = EnvironmentVariable("SWIFTCNN_VERIFY").isOn()

  /// Checks that the graph is what it should be: every value assigned once and before it is read, every type what the
  /// operation's shape rule gives, outputs and updates in place.
  /// - Throws: `.internalFault` naming the node at fault, with the printed graph.
  public func verify() throws(CNNError) {
    var isDefined = Array(repeating: false, count: valueCount)
    func fault(_ message: String) -> CNNError { CNNError(.internalFault, "\(message)\n\(text)") }
    for value in inputs.map(\.value) { isDefined[value.index] = true }
    for index in 0..<valueCount {
      if case .parameter = definition(of: Value(index: index)) { isDefined[index] = true }
    }
    for (position, node) in nodes.enumerated() {
      for operand in node.operands where !isDefined[operand.index] {
        throw fault("'\(node.name)' reads '\(name(of: operand))' before it is assigned")
      }
      let expected: [TensorType]
      do throws(CNNError) {
        expected = try node.operation.checkedResultTypes(node.operands.map(type))
      } catch {
        throw fault("'\(node.name)': \(error.message)")
      }
      guard node.results.map(type) == expected else {
        throw fault("'\(node.name)' has results \(node.results.map(type)); the shape rule gives \(expected)")
      }
      for (index, result) in node.results.enumerated() {
        guard !isDefined[result.index], definition(of: result) == .node(position, result: index) else {
          throw fault("'\(name(of: result))' is assigned twice")
        }
        isDefined[result.index] = true
      }
    }
    for output in outputs where !isDefined[output.value.index] {
      throw fault("output '\(output.name)' is not assigned")
    }
    for update in updates where !fits(update.value, parameters[update.parameter]) {
      throw fault("the update of '\(parameters[update.parameter].name)' has the wrong shape")
    }
  }

  /// Whether a value can become a parameter's.
  private func fits(_ value: Value, _ parameter: Parameter) -> Bool {
    let type = type(of: value)
    return type.shape == parameter.shape && type.element == parameter.element && type.layout == .rowMajor
  }
}
