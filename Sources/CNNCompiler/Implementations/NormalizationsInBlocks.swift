import CNNCore
import CNNGraph
import CNNKernels

/// Batch normalisation by the batch's own statistics, with a residual and an activation in the same passes. Reads and gives
/// what `BatchNormalizationTraining` does, the images in blocks.
struct NormalizationInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let operation = candidate.node.operation as? BatchNormalizationTraining else {
      return .refused("another kind")
    }
    let operands = candidate.node.operands
    if let refusal = refusal(operation.activation, operands[0], placement) { return refusal }
    let residuals = operation.addsResidual ? [operands[5]] : []
    guard let images = try placement.storedReads([operands[0]] + residuals) else { return .withoutBlocks() }
    // The image is read twice.
    var offer = try placement.pass(images + [images[0]], results: [placement.storedResult(of: candidate)])
    let numbers = operands[1...4].map { Offer.Read(value: $0, type: placement.type(of: $0)) }
    offer.reads = [images[0]] + numbers + images.dropFirst()
    return .offered(offer)
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? BatchNormalizationTraining else { return }
    let type = try placement.storedResult(of: candidate), statistics = placement.imageType(images[1])
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
      operandTypes: ([0, 1, 2] + (addsResidual ? [5] : [])).map { placement.imageType(images[$0]) }
        + [statistics, statistics],
      types: [type],
      lowered: LoweredOperation(cost: costAgain, stream: .normalizationByStatistics(tensor, normalization)))
    try placement.add(
      candidate, images, results: [type] + Array(repeating: statistics, count: 4),
      recomputation: .by(again, operands: [0, 1, 2] + (addsResidual ? [5] : []), results: [1, 2]),
      LoweredOperation(cost: cost, stream: .normalization(tensor, normalization)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    (node.operation as? BatchNormalizationTraining).map { hasCode($0.activation) } ?? false
      && placement.storesBFloat16(anyOf: node)
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

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let operation = candidate.node.operation as? BatchNormalizationTrainingGradient else {
      return .refused("another kind")
    }
    let operands = candidate.node.operands
    if let refusal = refusal(operation.activation, operands[0], placement) { return refusal }
    let residuals = operation.addsResidual ? [operands[6]] : []
    guard let images = try placement.storedReads(Array(operands[0...1]) + residuals) else { return .withoutBlocks() }
    // Two passes read; with a residual its gradient is written and read in place of the result's.
    var offer = try placement.pass(
      images + images.prefix(2), results: results(candidate, placement).filter { $0.layout != .rowMajor })
    // Without one the numbers are normalised once more, which takes less than reading the result.
    let beta = !operation.addsResidual && operation.activation != nil ? [operands[5]] : []
    let numbers = (operands[2...4] + beta).map { Offer.Read(value: $0, type: placement.type(of: $0)) }
    offer.reads = images.prefix(2) + numbers + images.dropFirst(2)
    return .offered(offer)
  }

  /// The types of the gradients of the image, of gamma and beta, and of the residual where one was added.
  private func results(_ candidate: Candidate, _ placement: Placement) throws(CNNError) -> [TensorType] {
    let results = candidate.node.results
    var types = [try placement.storedResult(of: candidate)] + results[1...2].map { placement.type(of: $0) }
    if results.count > 3 { types.append(try placement.storedResult(results[3])) }
    return types
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? BatchNormalizationTrainingGradient else { return }
    let types = try results(candidate, placement)
    guard let tensor = types[0].blocks else { return }
    let activation = operation.activation.flatMap { VectorActivation($0) }
    let source: NormalizationGradientSource =
      operation.addsResidual ? .result : activation.map { .activation($0) } ?? .gradient
    var cost = StepCost(of: tensor)
    cost.algorithm = "normalization gradient"
    try placement.add(
      candidate, images, results: types,
      LoweredOperation(cost: cost, stream: .normalizationGradient(tensor, source)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    (node.operation as? BatchNormalizationTrainingGradient).map { hasCode($0.activation) } ?? false
      && placement.storesBFloat16(anyOf: node)
  }
}

/// Whether there is code for what follows a normalisation.
private func hasCode(_ activation: Activation?) -> Bool { activation.map { VectorActivation($0) != nil } ?? true }

/// Why a normalisation, or its gradient, is not computed in blocks. A function that portable kernels do not apply is, from
/// wherever its input comes.
private func refusal(_ activation: Activation?, _ x: Value, _ placement: Placement) -> Consideration? {
  if let activation, !hasCode(activation) {
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
