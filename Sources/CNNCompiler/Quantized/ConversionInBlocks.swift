import CNNCore
import CNNGraph
import CNNKernels

/// The levels of floats that lie in blocks of channels, or the floats of such levels, by generated code.
struct ConversionInBlocks: Implementation {
  let name = "blocked"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard let image = placement.typeInBlocks(x) else {
      return .rowMajor()
    }
    guard let tensor = try floats(candidate, placement).blocks else { return .withoutBlocks("it") }
    return .offered(
      Offer(
        reads: [Offer.Read(value: x, type: image)],
        cycles: ByteConversion.cycles(tensor, workers: placement.workers)))
  }

  /// The type of the floats in blocks.
  private func floats(_ candidate: Candidate, _ placement: Placement) throws(CNNError) -> TensorType {
    try TensorType(.float32, placement.type(of: candidate.result).shape).with(layout: .blocked())
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library, let tensor = try floats(candidate, placement).blocks else { return }
    let levels: ByteLevels, isToLevels: Bool
    switch candidate.node.operation {
    case let quantize as Quantize: (levels, isToLevels) = (quantize.levels, true)
    case let dequantize as Dequantize: (levels, isToLevels) = (dequantize.levels, false)
    default: throw CNNError(.internalFault, "'\(candidate.node.operation.kind)' converts no levels")
    }
    let conversion = ByteConversion(tensor, levels, isToLevels: isToLevels, library: library)
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)],
      LoweredOperation(
        cost: StepCost(of: tensor),
        kernel: { conversion.run(UnsafeRawPointer($0.bytes(0)), into: $0.result(), workers: $0.workers) }))
  }
}

extension Quantize {
  static var implementations: [any Implementation] {
    [ConversionInBlocks(), QuantizeInRows(), PortableImplementation()]
  }
}

extension Dequantize {
  static var implementations: [any Implementation] { [ConversionInBlocks(), PortableImplementation()] }
}
