import CNNCore
import CNNGraph

/// A step of a prediction, and the levels that it computes in.
public struct StepOutline: Sendable, Equatable {
  /// The layers that it computes, without roundings.
  public let layers: [String]
  /// What the last of them computes, as `conv2d`.
  public let operation: String
  /// The name of what it gives; of a rounding where it ends in one.
  public let result: String
  /// How it is computed.
  public let cost: StepCost
  /// The levels of its result; nil where that is floats.
  public let levels: ByteLevels?
  /// The levels of its weight; nil where it has none that is rounded.
  public let weight: WeightLevels?
  /// The names of its weights and biases.
  public let parameters: [String]
}

extension Compiler {
  /// The steps of a prediction in the order in which they run, without those that only bring tensors into another layout.
  /// - Parameter plan: as `inferencePlan` made it of `network`.
  public static func outline(of plan: Plan, network: Graph) throws(CNNError) -> [StepOutline] {
    let source = try network.inferenceForm()
    var result: [StepOutline] = []
    for (index, names) in try layers(of: plan, network: network).enumerated() {
      let nodes = names.compactMap { source.value(named: $0).flatMap(source.node(defining:)) }
      guard let last = nodes.last else { continue }
      let layers = nodes.filter { !($0.operation is FakeQuantize) }
      let parameters = nodes.flatMap(\.operands).compactMap { source.parameter(behind: $0)?.name }
      let weights = nodes.flatMap(\.operands).compactMap { operand -> WeightLevels? in
        source.node(defining: operand).flatMap { source.isRoundingOfParameter($0) ? $0 : nil }
          .flatMap { ($0.operation as? FakeQuantize)?.weightLevels }
      }
      result.append(
        StepOutline(
          // What is only rounded is the network's input.
          layers: layers.isEmpty ? last.operands.map(source.name(of:)) : layers.map(\.name),
          operation: (layers.first ?? last).operation.kind, result: last.name, cost: plan.stepCosts[index].cost,
          levels: (last.operation as? FakeQuantize)?.byteLevels ?? QuantizedSteps(source).levels(of: last.results[0]),
          weight: weights.first, parameters: parameters))
    }
    return result
  }
}
