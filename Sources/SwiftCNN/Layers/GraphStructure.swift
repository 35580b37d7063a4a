import CNNCore
import CNNGraph

extension Graph {
  /// What the network computes, whatever its results are called: "steps" are the operations in their order, each with its
  /// attributes and what it reads, `["input", 0]`, `["parameter", 0]`, or a result of a step as `[3, 0]`; "parameters" are
  /// names, "shapes" also says what they are for.
  var structure: JSON {
    func told(_ value: Value) -> JSON {
      switch definition(of: value) {
      case .input(let position): ["input", .integer(Int64(position))]
      case .parameter(let position): ["parameter", .integer(Int64(position))]
      case .node(let position, let result): .integers([position, result])
      }
    }
    let steps = nodes.map { node -> JSON in
      let operation = Swift.type(of: node.operation).name, operands = node.operands.map(told)
      return [.string(operation), .object(node.operation.attributes.json), .array(operands)]
    }
    return [
      "inputs": .array(inputs.map { [.integers(type(of: $0.value).shape), .integers($0.variableAxes)] }),
      "steps": .array(steps), "outputs": .array(outputs.map { told($0.value) }),
      "parameters": .strings(parameters.map(\.name)),
      "shapes": .array(parameters.map { [.integers($0.shape), .string($0.role.rawValue)] }),
    ]
  }
}
