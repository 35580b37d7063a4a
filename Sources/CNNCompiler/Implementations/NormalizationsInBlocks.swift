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
    guard let operation = candidate.node.operation as? BatchNormalizationTraining else { return }
    let type = placement.imageType(images[0]), statistics = placement.imageType(images[1])
    guard let tensor = type.blocks else { return }
    let addsResidual = operation.addsResidual
    let normalization = BlockedNormalization(
      epsilon: Float(operation.epsilon), momentum: Float(operation.momentum), unbiased: operation.unbiased,
      addsResidual: addsResidual, activation: operation.activation.flatMap { VectorActivation($0) })
    var cost = StepCost(of: tensor), costAgain = cost
    (cost.algorithm, costAgain.algorithm) = (label("normalize", operation), label("normalize again", operation))
    // Of the image, gamma and beta, the residual where one is added, mean and 1 / deviation.
    let again = Placed(
      operation: NormalizationByStatistics(original: operation), implementation: name,
      operandTypes: [type, statistics, statistics] + (addsResidual ? [type] : []) + [statistics, statistics],
      types: [type],
      lowered: LoweredOperation(cost: costAgain, stream: .normalizationByStatistics(tensor, normalization)))
    try placement.add(
      candidate, images, results: [type] + Array(repeating: statistics, count: 4),
      recomputation: .by(again, operands: [0, 1, 2] + (addsResidual ? [5] : []), results: [1, 2]),
      LoweredOperation(cost: cost, stream: .normalization(tensor, normalization)))
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
    guard let operation = candidate.node.operation as? BatchNormalizationTrainingGradient else { return }
    let type = placement.imageType(images[0]), channels = placement.imageType(images[2])
    guard let tensor = type.blocks else { return }
    let activation = operation.activation.flatMap { VectorActivation($0) }
    let source: NormalizationGradientSource =
      operation.addsResidual ? .result : activation.map { .activation($0) } ?? .gradient
    var cost = StepCost(of: tensor)
    cost.algorithm = "normalization gradient"
    try placement.add(
      candidate, images, results: [type, channels, channels] + (operation.addsResidual ? [type] : []),
      LoweredOperation(cost: cost, stream: .normalizationGradient(tensor, source)))
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
