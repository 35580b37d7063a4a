import CNNCore
import CNNGraph
import CNNKernels

/// The sum over the pixels of each image, and where it is of a product that nobody else need have, in one pass with that.
struct SpatialSumInBlocks: Implementation {
  let name = "stream"

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
    guard summed.allSatisfy(placement.isInBlocks), let type = placement.blockedType(summed[0]) else {
      return .rowMajor()
    }
    return .offered(
      Offer(
        reads: summed.map { Offer.Read(value: $0, type: type) },
        cycles: CycleModel.pass(summed.count * type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let tensor = placement.imageType(images[0]).blocks else { return }
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)],
      LoweredOperation(cost: StepCost(of: tensor), stream: .sum(.images, of: tensor, ofProducts: images.count == 2)))
  }
}

/// The sum over all pixels of all images, row-major.
struct ChannelSumInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard (candidate.node.operation as? SumLeadingAxes)?.kept == 1 else {
      return .refused("it keeps more than the channels")
    }
    guard let type = placement.typeInBlocks(x) else {
      return .rowMajor()
    }
    return .offered(
      Offer(reads: [Offer.Read(value: x, type: type)], cycles: CycleModel.pass(type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let tensor = placement.imageType(images[0]).blocks else { return }
    try placement.add(
      candidate, images, results: [placement.type(of: candidate.result)],
      LoweredOperation(cost: StepCost(of: tensor), stream: .sum(.all, of: tensor)))
  }
}

extension SpatialSum {
  static var implementations: [any Implementation] { [SpatialSumInBlocks(), PortableImplementation()] }
}
extension SumLeadingAxes {
  static var implementations: [any Implementation] { [ChannelSumInBlocks(), PortableImplementation()] }
}
