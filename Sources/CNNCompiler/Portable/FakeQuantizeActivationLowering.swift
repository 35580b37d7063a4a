import CNNCore
import CNNGraph
import CNNKernels

extension FakeQuantizeActivation: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        FakeQuantizeActivationKernels.apply(
          $0.operand(0), $0.trainedLevels(scale: 1), into: $0.result(), count: count, workers: $0.workers)
      })
  }
}

extension FakeQuantizeActivationTraining: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count, momentum = Float(momentum)
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        let next = FakeQuantizeActivationKernels.applyTracking(
          $0.operand(0), $0.trackedRange, momentum: momentum, into: $0.result(), count: count,
          workers: $0.workers)
        ($0.result(1)[0], $0.result(2)[0]) = (next.scale, next.zeroPoint)
      })
  }
}

extension FakeQuantizeActivationGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let type = types.operands[0], learnsScale = learnsScale
    return LoweredOperation(
      overwritableOperands: [[1, 0]],
      kernel: {
        let levels = $0.trainedLevels(scale: 2)
        // First, since `dx` may take the place of what it reads.
        if learnsScale {
          $0.result(1)[0] = FakeQuantizeActivationKernels.scaleGradient(
            $0.operand(0), $0.operand(1), levels, sampleCount: type.sampleCount, count: type.count,
            workers: $0.workers)
        }
        FakeQuantizeActivationKernels.applyGradient(
          $0.operand(0), $0.operand(1), levels, into: $0.result(), count: type.count, workers: $0.workers)
      })
  }
}

extension FakeQuantizeWeight: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let outputs = types.operands[0].shape[0], size = types.operands[0].count / outputs
    let epsilon = epsilon, perChannel = perChannel, hasFactors = types.operands.count == 3
    return LoweredOperation(
      workspaceByteCount: hasFactors ? outputs * 4 : 0, overwritableOperands: [[0]],
      kernel: {
        let factors = hasFactors ? $0.workspace.assumingMemoryBound(to: Float.self) : nil
        if let factors {
          for output in 0..<outputs {
            factors[output] = BatchNormalization.factor(
              gamma: $0.operand(1)[output], variance: $0.operand(2)[output], epsilon: epsilon)
          }
        }
        FakeQuantizeWeightKernels.apply(
          $0.operand(0), times: factors, perChannel: perChannel, into: $0.result(), outputs: outputs, size: size,
          workers: $0.workers)
      })
  }
}

extension StepArguments {
  /// The levels of a scale that is an operand, and a zero point that is the next one.
  func trainedLevels(scale index: Int) -> TrainedLevels? {
    TrainedLevels(scale: operand(index)[0], zeroPoint: operand(index + 1)[0])
  }

  /// The range of a scale and a zero point that follow the first operand.
  var trackedRange: TrackedRange { TrackedRange(scale: operand(1)[0], zeroPoint: operand(2)[0]) }
}

extension TensorType {
  /// The numbers in one sample of a batch.
  var sampleCount: Int { shape.dropFirst().reduce(1, *) }
}
