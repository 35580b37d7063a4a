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
    guard operands.allSatisfy(placement.isInBlocks) else { return .rowMajor("an operand") }
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

/// The sum of two images of one shape by generated code, of each as it is stored.
struct AdditionInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let operands = candidate.node.operands
    guard isOfOneShape(candidate.node, placement) else { return .refused("the operands have different shapes") }
    var reads: [Offer.Read] = []
    for operand in operands {
      guard let type = placement.placedTypeInBlocks(operand) else { return .rowMajor("an operand") }
      reads.append(Offer.Read(value: operand, type: type))
    }
    let byteCount = try reads.reduce(placement.storedResult(of: candidate).byteCount) { $0 + $1.type.byteCount }
    return .offered(Offer(reads: reads, cycles: CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.storedResult(of: candidate)
    guard let tensor = type.blocks else { return }
    try placement.add(
      candidate, images, results: [type], recomputation: .again(isCheap: false),
      LoweredOperation(cost: StepCost(of: tensor), stream: .addition(tensor)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    isOfOneShape(node, placement) && placement.storesBFloat16(anyOf: node)
  }

  private func isOfOneShape(_ node: Node, _ placement: Placement) -> Bool {
    node.operands.allSatisfy { placement.type(of: $0) == placement.type(of: node.operands[0]) }
  }
}

extension Add {
  static var implementations: [any Implementation] { [AdditionInBlocks(), PortableImplementation()] }
}

/// Another shape of images of one pixel, of which nothing moves.
struct ReshapeInBlocks: Implementation {
  let name = "blocks"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    let x = candidate.node.operands[0]
    guard let given = placement.placedTypeInBlocks(x) else { return .rowMajor() }
    guard movesNothing(candidate.node, placement) else { return .refused("the blocks of channels move") }
    return .offered(Offer(reads: [Offer.Read(value: x, type: given)], cycles: 0))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.type(of: candidate.result).with(
      element: placement.imageType(images[0]).element, layout: .blocked())
    try placement.add(candidate, images, results: [type], LoweredOperation(aliasedOperand: 0))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    movesNothing(node, placement) && placement.storesBFloat16(anyOf: node)
  }

  private func movesNothing(_ node: Node, _ placement: Placement) -> Bool {
    guard let given = placement.blockedType(node.operands[0])?.blocks else { return false }
    return given == placement.blockedType(node.results[0])?.blocks && given.height == 1 && given.width == 1
  }
}

extension Reshape {
  static var implementations: [any Implementation] { [ReshapeInBlocks(), PortableImplementation()] }
}
