import CNNCore
import CNNGraph
import CNNKernels

/// Images times a number for each channel of each image, as squeeze and excitation multiply.
struct ChannelScalingInBlocks: Implementation {
  let name = "blocks"

  /// The image and the numbers among the operands of a product.
  private func operands(_ candidate: Candidate, _ placement: Placement) -> (image: Value, scale: Value)? {
    let shape = placement.type(of: candidate.result).shape
    guard shape.count == 4, shape[1] * shape[2] > 1,
      let image = candidate.node.operands.first(where: { placement.type(of: $0).shape == shape }),
      let scale = candidate.node.operands.first(where: {
        placement.type(of: $0).shape == [shape[0], 1, 1, shape[3]]
      })
    else { return nil }
    return (image, scale)
  }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let (image, scale) = operands(candidate, placement) else {
      return .refused("it is no product of images and a number for each channel")
    }
    guard placement.isInBlocks(image), let type = placement.blockedType(image),
      let scaleType = placement.blockedType(scale)
    else { return .refused("the images are row-major") }
    return .offered(
      Offer(
        reads: [Offer.Read(value: image, type: type), Offer.Read(value: scale, type: scaleType)],
        cycles: CycleModel.pass(2 * type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.blockedResult(of: candidate)
    guard let tensor = type.blocks else { return }
    let scale = tensor.onePixel
    try placement.add(
      candidate, images, results: [type], recomputation: .again(isCheap: true),
      LoweredOperation(
        overwritableOperands: [[0]], cost: StepCost(of: tensor),
        kernel: {
          BlockedElementwise.scale(
            $0.operand(0), tensor, by: $0.operand(1), scale, into: $0.result(), workers: $0.workers)
        }))
  }
}

/// Stochastic depth: each image times a number that is drawn for it.
struct StochasticDepthInBlocks: Implementation {
  let name = "blocks"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard let type = placement.typeInBlocks(x) else {
      return .refused("its input is row-major")
    }
    return .offered(
      Offer(
        reads: [Offer.Read(value: x, type: type)], cycles: CycleModel.pass(2 * type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.blockedResult(of: candidate)
    guard let tensor = type.blocks, let operation = candidate.node.operation as? StochasticDepth else { return }
    let (rate, layer) = (Float(operation.rate), operation.stream)
    try placement.add(
      candidate, images, results: [type], recomputation: .again(isCheap: false),
      LoweredOperation(
        overwritableOperands: [[0]], cost: StepCost(of: tensor),
        kernel: { arguments in
          let factors = DropoutKernels.SampleFactors(
            rate: rate, seed: arguments.randomness.seed, stream: arguments.randomness.stream(of: layer))
          BlockedElementwise.scale(
            arguments.operand(0), tensor, by: { factors[$0] }, into: arguments.result(), workers: arguments.workers)
        }))
  }
}

extension Multiply {
  static var implementations: [any Implementation] { [ChannelScalingInBlocks(), PortableImplementation()] }
}
extension StochasticDepth {
  static var implementations: [any Implementation] { [StochasticDepthInBlocks(), PortableImplementation()] }
}
