import CNNCore
import CNNGraph
import CNNKernels

/// The squares of a tensor and of its noise, summed over all runs. Operands: the tensor without noise, the same with it, and
/// what was known before; see `RoundingNoise.add`.
struct SignalAndNoise: CompiledOperation, PortableOperation {
  static let name = "signal_and_noise"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 3...3)
    try operands[1].requireShape(operands[0].shape, as: "the tensor with noise")
    try operands[2].requireShape([RoundingNoise.noiseCount], as: "the state")
    return [operands[2]]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count
    return LoweredOperation(kernel: {
      RoundingNoise.add(
        exact: $0.operand(0), rounded: $0.operand(1), count: count, to: $0.operand(2), into: $0.result(),
        workers: $0.workers)
    })
  }
}

/// What a rounding changes of a scalar, to first order, summed over all runs. Operands: the scalar's gradient with respect
/// to the rounded tensor, the tensor before and after, and what was known before; see `RoundingNoise.addHarm`.
struct RoundingHarm: CompiledOperation, PortableOperation {
  static let name = "rounding_harm"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 4...4)
    try operands[1].requireShape(operands[0].shape, as: "the tensor before")
    try operands[2].requireShape(operands[0].shape, as: "the tensor after")
    try operands[3].requireShape([RoundingNoise.harmCount], as: "the state")
    return [operands[3]]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count
    return LoweredOperation(kernel: {
      RoundingNoise.addHarm(
        gradient: $0.operand(0), exact: $0.operand(1), rounded: $0.operand(2), count: count, to: $0.operand(3),
        into: $0.result(), workers: $0.workers)
    })
  }
}

/// Half the squared distance of two tensors of one shape, a scalar whose gradient is their difference.
struct SquaredDistance: CompiledOperation, PortableOperation {
  static let name = "squared_distance"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[1].requireShape(operands[0].shape, as: "the second tensor")
    return [try TensorType(.float32, [])]
  }

  func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    // Of the scalar itself: what is upstream is 1.
    [try context.emit(Difference(), context.operand(0), context.operand(1)), nil]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count
    return LoweredOperation(kernel: {
      $0.result().pointee = RoundingNoise.halfSquaredDistance(
        $0.operand(0), $0.operand(1), count: count, workers: $0.workers)
    })
  }
}

/// The first tensor less the second, of one shape.
struct Difference: CompiledOperation, PortableOperation {
  static let name = "difference"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[1].requireShape(operands[0].shape, as: "the second tensor")
    return [operands[0]]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count
    return LoweredOperation(kernel: {
      RoundingNoise.subtract($0.operand(1), from: $0.operand(0), into: $0.result(), count: count, workers: $0.workers)
    })
  }
}

extension TensorType {
  /// Throws unless the shape is that one.
  fileprivate func requireShape(_ expected: [Int], as role: String) throws(CNNError) {
    guard shape == expected else {
      throw CNNError(.shapeMismatch, "\(role) has shape \(describe(shape)); expected \(describe(expected))")
    }
  }
}
