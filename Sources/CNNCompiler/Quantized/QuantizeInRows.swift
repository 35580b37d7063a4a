import CNNCore
import CNNGraph
import CNNKernels

/// The levels of floats, or of pixels as floats, in rows as a caller gives them, by generated code.
struct QuantizeInRows: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let type = placement.type(of: candidate.node.operands[0])
    return .offered(
      Offer(
        reads: [Offer.Read(value: candidate.node.operands[0], type: type)],
        cycles: ByteRounding.cycles(type.count, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library else { return }
    let levels: [ByteLevels]
    switch candidate.node.operation {
    case let quantize as Quantize: levels = [quantize.levels]
    case let quantize as QuantizePixels: levels = quantize.levels.channels
    default: throw CNNError(.internalFault, "'\(candidate.node.operation.kind)' gives no levels")
    }
    let rounding = ByteRounding(levels, library: library), count = placement.imageType(images[0]).count
    try placement.add(
      candidate, images, results: [placement.type(of: candidate.result)],
      LoweredOperation(kernel: { rounding.run($0.operand(0), into: $0.byteResult(), count: count, workers: $0.workers) }
      ))
  }
}

extension QuantizePixels {
  static var implementations: [any Implementation] { [QuantizeInRows(), PortableImplementation()] }
}
