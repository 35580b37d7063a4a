import CNNCore
import CNNGraph
import CNNKernels

/// Batch normalisation by the batch's own statistics, with a residual and an activation in the same passes. Reads and gives
/// what `BatchNormalizationTraining` does, the images in blocks.
struct NormalizationInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let operation = candidate.node.operation as? BatchNormalizationTraining else {
      return .refused("another kind")
    }
    let operands = candidate.node.operands
    if let refusal = refusal(operation.activation, operands[0], placement) { return refusal }
    guard let type = placement.blockedType(operands[0]) else { return .withoutBlocks() }
    var reads = [Offer.Read(value: operands[0], type: type)]
    for operand in operands[1...4] { reads.append(Offer.Read(value: operand, type: placement.type(of: operand))) }
    if operation.addsResidual { reads.append(Offer.Read(value: operands[5], type: type)) }
    return .offered(
      Offer(
        reads: reads,
        cycles: CycleModel.pass((operation.addsResidual ? 4 : 3) * type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library, let operation = candidate.node.operation as? BatchNormalizationTraining
    else {
      return
    }
    let type = placement.imageType(images[0]), statistics = placement.imageType(images[1])
    guard let tensor = type.blocks else { return }
    let (addsResidual, unbiased) = (operation.addsResidual, operation.unbiased)
    let normalization = BlockedNormalization(
      tensor, activation: operation.activation.flatMap { VectorActivation($0) }, addsResidual: addsResidual,
      library: library)
    let epsilon = Float(operation.epsilon), momentum = Float(operation.momentum)
    let channels = statistics.count, rows = tensor.pixels, kernelBytes = normalization.workspaceByteCount
    var cost = StepCost(of: tensor)
    cost.algorithm = label("normalize", operation)
    let again = Placed(
      operation: NormalizationByStatistics(original: operation), implementation: name,
      operandTypes: [type, statistics, statistics] + (addsResidual ? [type] : []) + [statistics, statistics],
      types: [type], lowered: Self.again(normalization, operation))
    try placement.add(
      candidate, images, results: [type] + Array(repeating: statistics, count: 4),
      recomputation: .by(again, operands: [0, 1, 2] + (addsResidual ? [5] : []), results: [1, 2]),
      LoweredOperation(
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
        }))
  }

  /// What computes the result once more: of the image, gamma and beta, the residual where one is added, mean and
  /// 1 / deviation.
  private static func again(
    _ normalization: BlockedNormalization, _ operation: BatchNormalizationTraining
  ) -> LoweredOperation {
    let addsResidual = operation.addsResidual, statistics = addsResidual ? 4 : 3
    var cost = StepCost(of: normalization.tensor)
    cost.algorithm = label("normalize again", operation)
    return LoweredOperation(
      workspaceByteCount: normalization.workspaceByteCount, overwritableOperands: addsResidual ? [[3]] : [], cost: cost,
      kernel: {
        normalization.normalize(
          $0.operand(0), mean: $0.operand(statistics), inverseDeviation: $0.operand(statistics + 1),
          gamma: $0.operand(1), beta: $0.operand(2), residual: addsResidual ? UnsafeRawPointer($0.operand(3)) : nil,
          into: $0.result(0), workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// Batch normalisation by statistics that are known: what computes a result of `BatchNormalizationTraining` once more.
struct NormalizationByStatistics: CompiledOperation {
  static let name = "normalize_again"
  let original: BatchNormalizationTraining

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }
}

/// The gradient of a batch normalisation by the batch's statistics. Reads and gives what
/// `BatchNormalizationTrainingGradient` does, the images in blocks, but of beta and the forward result only what it needs.
struct NormalizationGradientInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let operation = candidate.node.operation as? BatchNormalizationTrainingGradient else {
      return .refused("another kind")
    }
    let operands = candidate.node.operands
    if let refusal = refusal(operation.activation, operands[0], placement) { return refusal }
    guard let type = placement.blockedType(operands[0]) else { return .withoutBlocks() }
    var reads = operands[0...1].map { Offer.Read(value: $0, type: type) }
    for operand in operands[2...4] { reads.append(Offer.Read(value: operand, type: placement.type(of: operand))) }
    if operation.addsResidual {
      reads.append(Offer.Read(value: operands[6], type: type))
    } else if operation.activation != nil {
      // The numbers are normalised once more, which takes less than reading the result.
      reads.append(Offer.Read(value: operands[5], type: placement.type(of: operands[5])))
    }
    return .offered(
      Offer(
        reads: reads,
        cycles: CycleModel.pass((operation.addsResidual ? 8 : 5) * type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library,
      let operation = candidate.node.operation as? BatchNormalizationTrainingGradient
    else { return }
    let type = placement.imageType(images[0]), channels = placement.imageType(images[2])
    guard let tensor = type.blocks else { return }
    let activation = operation.activation.flatMap { VectorActivation($0) }
    let source: BlockedNormalizationGradient.Source =
      operation.addsResidual ? .result : activation.map { .activation($0) } ?? .gradient
    let gradient = BlockedNormalizationGradient(tensor, source, library: library)
    let addsResidual = operation.addsResidual, needsBeta = !addsResidual && activation != nil
    var cost = StepCost(of: tensor)
    cost.algorithm = "normalization gradient"
    try placement.add(
      candidate, images, results: [type, channels, channels] + (addsResidual ? [type] : []),
      LoweredOperation(
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
        }))
  }
}

/// Why a normalisation, or its gradient, is not computed in blocks. A function that portable kernels do not apply is, from
/// wherever its input comes.
private func refusal(_ activation: Activation?, _ x: Value, _ placement: Placement) -> Consideration? {
  if let activation, VectorActivation(activation) == nil {
    return .refused("there is no code for \(activation.function.rawValue)")
  }
  if placement.isInBlocks(x) || activation.map({ $0.function != .relu }) ?? false { return nil }
  return .rowMajor()
}

/// How profiles call a normalisation with what it does beside.
private func label(_ name: String, _ operation: BatchNormalizationTraining) -> String {
  name + (operation.addsResidual ? "+add" : "") + (operation.activation.map { "+\($0.function.rawValue)" } ?? "")
}

extension BatchNormalizationTraining {
  static var implementations: [any Implementation] { [NormalizationInBlocks(), PortableImplementation()] }
}
extension BatchNormalizationTrainingGradient {
  static var implementations: [any Implementation] { [NormalizationGradientInBlocks(), PortableImplementation()] }
}
