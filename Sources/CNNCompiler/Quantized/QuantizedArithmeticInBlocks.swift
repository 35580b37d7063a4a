import CNNCore
import CNNGraph
import CNNKernels

/// A sum or a product of levels by generated code, on tensors in blocks of channels. The second factor of a product may be
/// one pixel for each image.
struct QuantizedArithmeticInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let reads = placement.blockedReads(of: candidate.node) else {
      return .withoutBlocks("an operand")
    }
    guard let tensor = reads[0].type.blocks else { return .withoutBlocks() }
    return .offered(Offer(reads: reads, cycles: QuantizedStream.cycles(tensor, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let types = images.map { placement.imageType($0) }
    guard let library = placement.library, let tensor = types[0].blocks else { return }
    let stream: QuantizedStream
    switch candidate.node.operation {
    case let add as QuantizedAdd:
      stream = QuantizedStream(QuantizedSum(add.a, add.b, add.result), tensor, library: library)
    case let multiply as QuantizedMultiply:
      stream = QuantizedStream(
        QuantizedProduct(multiply.a, multiply.b, multiply.result), byPixel: types[0].shape != types[1].shape, tensor,
        library: library)
    default: throw CNNError(.internalFault, "'\(candidate.node.operation.kind)' is no sum or product")
    }
    let overwritten = candidate.node.operation is QuantizedAdd ? [0, 1] : [0]
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)],
      LoweredOperation(
        overwritableOperands: [overwritten], cost: StepCost(of: tensor),
        kernel: {
          stream.run(
            $0.bytes(0), $0.bytes(1), into: $0.result(), workspace: $0.workspace, workers: $0.workers)
        }))
  }
}
