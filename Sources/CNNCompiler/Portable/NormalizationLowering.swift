import CNNCore
import CNNGraph
import CNNKernels

extension BatchNormalization: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0]), epsilon = Float(epsilon)
    return LoweredOperation(
      workspaceByteCount: BatchNormalizationKernels.workspaceByteCount(
        channels: shape.columns, workers: types.workers),
      overwritableOperands: [[0]],
      kernel: {
        BatchNormalizationKernels.inference(
          $0.operand(0), rows: shape.rows, channels: shape.columns, gamma: $0.operand(1), beta: $0.operand(2),
          mean: $0.operand(3), variance: $0.operand(4), epsilon: epsilon, into: $0.result(),
          workspace: $0.workspace, workers: $0.workers)
      })
  }
}

extension BatchNormalizationGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0]), epsilon = Float(epsilon)
    return LoweredOperation(
      workspaceByteCount: BatchNormalizationKernels.workspaceByteCount(
        channels: shape.columns, workers: types.workers),
      overwritableOperands: [[1]],
      kernel: {
        BatchNormalizationKernels.inferenceBackward(
          $0.operand(0), rows: shape.rows, channels: shape.columns, mean: $0.operand(3), variance: $0.operand(4),
          epsilon: epsilon, gamma: $0.operand(2), dy: $0.operand(1), dx: $0.result(0), dGamma: $0.result(1),
          dBeta: $0.result(2), workspace: $0.workspace, workers: $0.workers)
      })
  }
}

extension BatchNormalizationTraining: PortableOperation {
  var portableRefusal: String? { refusal(activation) }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0]), epsilon = Float(epsilon), momentum = Float(momentum)
    let relu = activation != nil
    let (addsResidual, unbiased) = (addsResidual, unbiased)
    // The batch's variance is needed only until the running one is updated: it lies behind the kernel's own workspace.
    let kernelBytes = BatchNormalizationKernels.workspaceByteCount(channels: shape.columns, workers: types.workers)
    return LoweredOperation(
      workspaceByteCount: try Checked.sum([kernelBytes, shape.columns * 4], "batch normalisation"),
      kernel: { arguments in
        let variance = (arguments.workspace + kernelBytes).assumingMemoryBound(to: Float.self)
        let (mean, nextMean, nextVariance) = (arguments.result(1), arguments.result(3), arguments.result(4))
        BatchNormalizationKernels.trainingForward(
          arguments.operand(0), rows: shape.rows, channels: shape.columns, gamma: arguments.operand(1),
          beta: arguments.operand(2), epsilon: epsilon, residual: addsResidual ? arguments.operand(5) : nil,
          relu: relu, into: arguments.result(0), mean: mean, variance: variance,
          inverseDeviation: arguments.result(2), workspace: arguments.workspace, workers: arguments.workers)
        nextMean.update(from: arguments.operand(3), count: shape.columns)
        nextVariance.update(from: arguments.operand(4), count: shape.columns)
        BatchNormalizationKernels.runningUpdate(
          mean: mean, variance: variance, rows: shape.rows, channels: shape.columns, momentum: momentum,
          unbiased: unbiased, runningMean: nextMean, runningVariance: nextVariance)
      })
  }
}

extension BatchNormalizationTrainingGradient: PortableOperation {
  var portableRefusal: String? { refusal(activation) }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    let relu = activation != nil, addsResidual = addsResidual
    return LoweredOperation(
      workspaceByteCount: BatchNormalizationKernels.workspaceByteCount(
        channels: shape.columns, workers: types.workers),
      overwritableOperands: [[1]],
      kernel: {
        BatchNormalizationKernels.trainingBackward(
          $0.operand(0), rows: shape.rows, channels: shape.columns, mean: $0.operand(3),
          inverseDeviation: $0.operand(4), gamma: $0.operand(2), dy: $0.operand(1), y: relu ? $0.operand(6) : nil,
          dx: $0.result(0), dGamma: $0.result(1), dBeta: $0.result(2), dResidual: addsResidual ? $0.result(3) : nil,
          workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// ReLU is the only function that these kernels have.
private func refusal(_ activation: Activation?) -> String? {
  activation.flatMap { $0.function == .relu ? nil : "it has no \($0.function.rawValue)" }
}
