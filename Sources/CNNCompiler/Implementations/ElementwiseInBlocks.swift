import CNNCore
import CNNGraph
import CNNKernels

/// What is done to each number by itself, by the portable kernel on blocks of channels: it does not matter to it where a
/// number lies.
struct ElementwiseInBlocks: Implementation {
  let name = "elementwise"

  func instruction(on target: CodeTarget?) -> String { "portable" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    let operands = candidate.node.operands
    guard operands.allSatisfy(placement.isInBlocks) else { return .refused("an operand is row-major") }
    guard operands.allSatisfy({ placement.type(of: $0) == placement.type(of: operands[0]) }) else {
      return .refused("the operands have different shapes")
    }
    let reads = operands.compactMap { value in
      placement.blockedType(value).map { Offer.Read(value: value, type: $0) }
    }
    let byteCount = reads.reduce(0) { $0 + $1.type.byteCount }
    return .offered(Offer(reads: reads, cycles: 2 * CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? any PortableOperation else { return }
    let type = try placement.blockedResult(of: candidate)
    let types = LoweringTypes(
      operands: Array(repeating: type, count: images.count), results: [type], workers: placement.workers)
    try placement.add(
      candidate, images, results: [type], recomputation: PortableImplementation.recomputation(of: operation),
      operation.portable(types))
  }
}

extension Add {
  static var implementations: [any Implementation] { [ElementwiseInBlocks(), PortableImplementation()] }
}

/// Another shape of images of one pixel, of which nothing moves.
struct ReshapeInBlocks: Implementation {
  let name = "blocks"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    let x = candidate.node.operands[0]
    guard let given = placement.typeInBlocks(x) else {
      return .refused("its input is row-major")
    }
    guard let type = placement.blockedType(candidate.result), given.blocks == type.blocks, given.blocks?.height == 1,
      given.blocks?.width == 1
    else { return .refused("the blocks of channels move") }
    return .offered(Offer(reads: [Offer.Read(value: x, type: given)], cycles: 0))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)],
      LoweredOperation(aliasedOperand: 0))
  }
}

extension Reshape {
  static var implementations: [any Implementation] { [ReshapeInBlocks(), PortableImplementation()] }
}
