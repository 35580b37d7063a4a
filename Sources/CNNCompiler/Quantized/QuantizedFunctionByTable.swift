import CNNCore
import CNNGraph
import CNNKernels

/// An operation on levels, byte by byte, on tensors in blocks of channels as they lie in memory.
struct QuantizedElementwiseInBlocks: Implementation {
  let name = "blocked"

  func instruction(on target: CodeTarget?) -> String { "portable" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    let node = candidate.node
    guard node.operands.contains(where: placement.isInBlocks) else {
      return .refused("its input does not lie in blocks of channels")
    }
    guard let reads = placement.blockedReads(of: node) else {
      return .refused("an operand has no blocks of channels")
    }
    let byteCount = reads.reduce(0) { $0 + $1.type.byteCount }
    return .offered(Offer(reads: reads, cycles: 16 * CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? any PortableOperation else { return }
    let result = try placement.type(of: candidate.result).with(layout: .blocked())
    // The kernel sees a row of bytes.
    let types = try images.map { image throws(CNNError) in
      try TensorType(.uint8, [1, placement.imageType(image).byteCount])
    }
    var lowered = try operation.portable(
      LoweringTypes(
        operands: types, results: [TensorType(.uint8, [1, result.byteCount])], workers: placement.workers))
    if let tensor = result.blocks { lowered.cost.shape = StepCost(of: tensor).shape }
    try placement.add(candidate, images, results: [result], lowered)
  }
}

extension QuantizedFunction {
  static var implementations: [any Implementation] { [QuantizedElementwiseInBlocks(), PortableImplementation()] }
}
