import CNNCore
import CNNGraph
import CNNKernels

/// Batch normalisation by the batch's own statistics. Operands and results are those of `BatchNormalizationTraining`, the
/// images blocked.
struct NormalizeBatch: CompiledOperation {
  static let name = "normalize_batch"
  let normalization: BlockedNormalization
  let original: BatchNormalizationTraining

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [operands[0]] + Array(repeating: operands[1], count: 4)
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (normalization, addsResidual, unbiased) = (normalization, original.addsResidual, original.unbiased)
    let epsilon = Float(original.epsilon), momentum = Float(original.momentum)
    let channels = types.operands[1].count, rows = normalization.tensor.pixels
    let kernelBytes = normalization.workspaceByteCount
    var cost = StepCost(of: normalization.tensor)
    cost.algorithm = label("normalize", original.activation, addsResidual)
    return LoweredOperation(
      workspaceByteCount: try Checked.sum([kernelBytes, channels * 4], "batch normalisation"),
      overwritableOperands: [[5]], cost: cost,
      kernel: {
        // The batch's variance is needed only until the running one is updated.
        let variance = ($0.workspace + kernelBytes).assumingMemoryBound(to: Float.self)
        let (mean, nextMean, nextVariance) = ($0.result(1), $0.result(3), $0.result(4))
        normalization.run(
          $0.operand(0), gamma: $0.operand(1), beta: $0.operand(2), epsilon: epsilon,
          residual: addsResidual ? UnsafeRawPointer($0.operand(5)) : nil, into: $0.result(0), mean: mean,
          variance: variance, inverseDeviation: $0.result(2), workspace: $0.workspace, workers: $0.workers)
        nextMean.update(from: $0.operand(3), count: channels)
        nextVariance.update(from: $0.operand(4), count: channels)
        BatchNormalizationKernels.runningUpdate(
          mean: mean, variance: variance, rows: rows, channels: channels, momentum: momentum, unbiased: unbiased,
          runningMean: nextMean, runningVariance: nextVariance)
      })
  }
}

/// Batch normalisation by statistics that are known: what computes a result of `NormalizeBatch` once more. Operands: the
/// image, gamma, beta, mean and 1 / deviation, and a residual where one is added.
struct NormalizeAgain: CompiledOperation {
  static let name = "normalize_again"
  let normalization: BlockedNormalization
  let original: BatchNormalizationTraining

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (normalization, addsResidual) = (normalization, original.addsResidual)
    var cost = StepCost(of: normalization.tensor)
    cost.algorithm = label("normalize again", original.activation, addsResidual)
    return LoweredOperation(
      workspaceByteCount: normalization.workspaceByteCount, overwritableOperands: [[5]], cost: cost,
      kernel: {
        normalization.normalize(
          $0.operand(0), mean: $0.operand(3), inverseDeviation: $0.operand(4), gamma: $0.operand(1),
          beta: $0.operand(2), residual: addsResidual ? UnsafeRawPointer($0.operand(5)) : nil, into: $0.result(0),
          workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// The gradient of `NormalizeBatch`. Operands: the image, `dy`, gamma, mean and 1 / deviation, then beta for an activation,
/// or the forward result for that of a sum with a residual. Results: the gradients of the image, of gamma and of beta, and
/// where there is a residual, its.
struct NormalizationGradientBlocks: CompiledOperation {
  static let name = "normalization_gradient_blocks"
  let gradient: BlockedNormalizationGradient
  let source: BlockedNormalizationGradient.Source

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [operands[0], operands[2], operands[2]] + (source == .result ? [operands[0]] : [])
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let gradient = gradient, addsResidual = source == .result
    let needsBeta = if case .activation = source { true } else { false }
    var cost = StepCost(of: gradient.tensor)
    cost.algorithm = "normalization gradient"
    return LoweredOperation(
      workspaceByteCount: gradient.workspaceByteCount,
      overwritableOperands: addsResidual ? [[0, 1], [], [], [1]] : [gradient.mayOverwriteInput ? [1, 0] : [1]],
      cost: cost,
      kernel: {
        gradient.run(
          $0.operand(0), gradient: $0.operand(1), mean: $0.operand(3), inverseDeviation: $0.operand(4),
          gamma: $0.operand(2), beta: needsBeta ? $0.operand(5) : nil,
          result: addsResidual ? UnsafeRawPointer($0.operand(5)) : nil, dx: $0.result(0), dGamma: $0.result(1),
          dBeta: $0.result(2), dResidual: addsResidual ? UnsafeMutableRawPointer($0.result(3)) : nil,
          workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// How profiles call a normalisation with what it does beside.
private func label(_ name: String, _ activation: Activation?, _ addsResidual: Bool) -> String {
  name + (addsResidual ? "+add" : "") + (activation.map { "+\($0.function.rawValue)" } ?? "")
}
