import CNNCore
import CNNGraph
import CNNKernels

/// Images times a number for each channel of each image, as squeeze and excitation multiply: of images as they are stored,
/// and of numbers of float32.
struct ChannelScalingInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  /// The image and the numbers among the operands of a product.
  private func operands(_ node: Node, _ placement: Placement) -> (image: Value, scale: Value)? {
    let shape = placement.type(of: node.results[0]).shape
    guard shape.count == 4, shape[1] * shape[2] > 1,
      let image = node.operands.first(where: { placement.type(of: $0).shape == shape }),
      let scale = node.operands.first(where: {
        placement.type(of: $0).shape == [shape[0], 1, 1, shape[3]]
      })
    else { return nil }
    return (image, scale)
  }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let (image, scale) = operands(candidate.node, placement) else {
      return .refused("it is no product of images and a number for each channel")
    }
    guard let type = placement.placedTypeInBlocks(image), let scaleType = placement.blockedType(scale) else {
      return .refused("the images are row-major")
    }
    let byteCount = try type.byteCount + placement.storedResult(of: candidate).byteCount
    return .offered(
      Offer(
        reads: [Offer.Read(value: image, type: type), Offer.Read(value: scale, type: scaleType)],
        cycles: CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.storedResult(of: candidate)
    guard let tensor = type.blocks else { return }
    try placement.add(
      candidate, images, results: [type], recomputation: .again(isCheap: true),
      LoweredOperation(cost: StepCost(of: tensor), stream: .scaling(tensor)))
  }

  /// The image.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    operands(node, placement)?.image == value && placement.storesBFloat16(anyOf: node)
  }
}

/// Stochastic depth: each image times a number that is drawn for it.
struct StochasticDepthInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard placement.isInBlocks(x), let reads = try placement.storedReads([x]) else { return .rowMajor() }
    return .offered(try placement.pass(reads, results: [placement.storedResult(of: candidate)]))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.storedResult(of: candidate)
    guard let tensor = type.blocks, let operation = candidate.node.operation as? StochasticDepth else { return }
    try placement.add(
      candidate, images, results: [type], recomputation: .again(isCheap: false),
      LoweredOperation(
        cost: StepCost(of: tensor),
        stream: .stochasticDepth(tensor, rate: Float(operation.rate), layer: operation.stream)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    placement.storesBFloat16(anyOf: node)
  }
}

extension Multiply {
  static var implementations: [any Implementation] { [ChannelScalingInBlocks(), PortableImplementation()] }
}
extension StochasticDepth {
  static var implementations: [any Implementation] { [StochasticDepthInBlocks(), PortableImplementation()] }
}
