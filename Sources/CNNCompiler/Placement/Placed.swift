import CNNCore
import CNNGraph
import CNNKernels

/// An operation that only compiled graphs have.
protocol CompiledOperation: Operation {}

extension CompiledOperation {
  init(_ attributes: inout Attributes) throws(CNNError) {
    throw CNNError(.internalFault, "operation '\(Self.name)' is made by the compiler and is in no file")
  }
}

/// An operation for which an implementation was chosen: the node of a placed graph.
struct Placed: CompiledOperation, MemoryOperation {
  static let name = "placed"
  /// What is computed.
  let operation: any Operation
  /// How.
  let implementation: String
  /// The types for which it was chosen. It takes and gives no others.
  let operandTypes, types: [TensorType]
  let lowered: LoweredOperation
  var recomputation = Recomputation.never
  /// The name of the node whose result this one computes once more; nil where it is computed for the first time.
  var again: String?

  var kind: String { operation.kind }

  var attributes: Attributes {
    var attributes = operation.attributes
    attributes["implementation"] = .text(implementation)
    return attributes
  }

  /// The same, computed so.
  func with(lowered: LoweredOperation) -> Placed {
    Placed(
      operation: operation, implementation: implementation, operandTypes: operandTypes, types: types, lowered: lowered,
      recomputation: recomputation, again: again)
  }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: operandTypes.count...operandTypes.count)
    for (index, (given, expected)) in zip(operands, operandTypes).enumerated() where given != expected {
      throw CNNError(
        .shapeMismatch, "operand \(index) of \(kind) by \(implementation) is \(given); expected \(expected)")
    }
    return types
  }
}

/// How the backward pass can compute the first result of a step once more, so that it need not be kept until then.
indirect enum Recomputation: Sendable {
  /// Not at all.
  case never
  /// As before; whether that takes no more than a pass over memory.
  case again(isCheap: Bool)
  /// By something cheaper, from these operands and results of the step.
  case by(Placed, operands: [Int], results: [Int])

  /// The same, with what a step of this cost says of what it is computed in.
  func with(_ cost: StepCost) -> Recomputation {
    guard case .by(let placed, let operands, let results) = self else { return self }
    var lowered = placed.lowered
    (lowered.cost.implementation, lowered.cost.instruction) = (cost.implementation, cost.instruction)
    (lowered.cost.precision, lowered.cost.reason) = (cost.precision, cost.reason)
    return .by(placed.with(lowered: lowered), operands: operands, results: results)
  }

  /// Whether it takes no more than a pass over memory.
  var isCheap: Bool {
    switch self {
    case .never: false
    case .again(let isCheap): isCheap
    case .by: true
    }
  }
}

extension Node {
  /// What computes a result again, and from what; nil where it cannot be.
  func recomputation(of result: Int) -> (operation: Placed, operands: [Value])? {
    guard let placed = operation as? Placed, result == 0 else { return nil }
    switch placed.recomputation {
    case .never: return nil
    case .again: return results.count == 1 ? (placed, operands) : nil
    case .by(let operation, let operands, let results):
      return (operation, operands.map { self.operands[$0] } + results.map { self.results[$0] })
    }
  }

  /// Whether its first result takes no more than a pass over memory to compute again.
  var isCheap: Bool { (operation as? Placed)?.recomputation.isCheap ?? false }
}
