import CNNCore
import CNNGraph
import CNNKernels

/// A convolution of levels in which every channel has a filter of its own, on an image in blocks of 64 channels.
struct QuantizedDepthwiseConvolution: Implementation {
  let name = "window"

  func instruction(on target: CodeTarget?) -> String {
    guard let target else { return "portable" }
    return target.byteProductName
  }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D else {
      return .refused("it has no levels")
    }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    guard operation.operation is Convolution2D else { return .refused("it is no convolution") }
    let x = candidate.node.operands[0]
    guard let image = placement.blockedType(x) else { return .withoutBlocks() }
    let geometry = try placement.geometry(of: candidate.node)
    if let refusal = QuantizedDepthwise.refusal(geometry, operation.requantization) { return .refused(refusal) }
    return .offered(
      Offer(
        reads: [Offer.Read(value: x, type: image)],
        cycles: QuantizedDepthwise.cycles(
          geometry, operation.requantization, library.target, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D, let library = placement.library else {
      return
    }
    let node = candidate.node, levels = operation.weight
    let convolution = try QuantizedDepthwise(
      placement.geometry(of: node), zeroPoints: operation.zeroPoints, operation.requantization,
      library: library)
    var cost = StepCost(of: convolution.geometry)
    cost.unit = .integers
    let packing = FilterPackingStep(
      name: "rows of bytes \(cost.shape)", element: .int8, count: convolution.filterCount
    ) { arguments, floats, _ in
      convolution.pack(floats, levels, into: arguments.signedByteResult(), workers: arguments.workers)
    }
    let weights = try placement.weights(of: candidate, operation, packing, lanes: convolution.channelCount) {
      convolution.order($0)
    }
    let multipliers = convolution.multipliers(levels)
    cost.algorithm = name + operation.suffix
    try placement.add(
      candidate, [images[0]] + weights,
      results: [placement.type(of: candidate.result).with(layout: .blocked())],
      LoweredOperation(
        workspaceByteCount: convolution.workspaceByteCount(placement.workers), cost: cost,
        kernel: {
          convolution.run(
            $0.bytes(0), filter: $0.signedBytes(1), sums: $0.integers(2), multipliers: multipliers, into: $0.result(),
            workspace: $0.workspace, workers: $0.workers)
        }))
  }
}
