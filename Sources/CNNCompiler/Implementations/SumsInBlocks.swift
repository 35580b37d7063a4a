import CNNCore
import CNNGraph
import CNNKernels

/// The sum over the pixels of each image, and where it is of a product that nobody else need have, in one pass with that.
struct SpatialSumInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  /// What is summed: one value, or two that are multiplied.
  private func summed(_ candidate: Candidate, _ placement: Placement) -> [Value] {
    let x = candidate.node.operands[0]
    guard let product = placement.source.node(defining: x), product.operation is Multiply,
      placement.type(of: product.operands[0]) == placement.type(of: product.operands[1]),
      product.operands.allSatisfy(placement.isInBlocks)
    else { return [x] }
    return product.operands
  }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let summed = summed(candidate, placement)
    guard summed.allSatisfy(placement.isInBlocks), let reads = try placement.storedReads(summed) else {
      return .rowMajor()
    }
    return .offered(placement.pass(reads))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let tensor = placement.imageType(images[0]).blocks else { return }
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)],
      LoweredOperation(cost: StepCost(of: tensor), stream: .sum(.images, of: tensor, ofProducts: images.count == 2)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool { true }
}

/// The sum over all pixels of all images, row-major.
struct ChannelSumInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard isOfChannels(candidate.node) else { return .refused("it keeps more than the channels") }
    guard placement.isInBlocks(x), let reads = try placement.storedReads([x]) else { return .rowMajor() }
    return .offered(placement.pass(reads))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let tensor = placement.imageType(images[0]).blocks else { return }
    try placement.add(
      candidate, images, results: [placement.type(of: candidate.result)],
      LoweredOperation(cost: StepCost(of: tensor), stream: .sum(.all, of: tensor)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool { isOfChannels(node) }

  private func isOfChannels(_ node: Node) -> Bool { (node.operation as? SumLeadingAxes)?.kept == 1 }
}

extension SpatialSum {
  static var implementations: [any Implementation] { [SpatialSumInBlocks(), PortableImplementation()] }
}
extension SumLeadingAxes {
  static var implementations: [any Implementation] { [ChannelSumInBlocks(), PortableImplementation()] }
}
