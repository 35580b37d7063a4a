import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// A convolution or dense layer of levels by products of tiles of bytes, with what follows it. Reads the image, and a
/// residual, in blocks of 64 channels.
struct QuantizedTileConvolution: Implementation {
  let name = "tiles"

  func instruction(on target: CodeTarget?) -> String { "amx_int8" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D else {
      return .refused("it has no levels")
    }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    let node = candidate.node, x = node.operands[0], isPicture = !operation.pixelZeroPoints.isEmpty
    guard let image = isPicture ? placement.type(of: x) : placement.blockedType(x) else {
      return .refused("its input has no blocks of channels")
    }
    let geometry = try placement.blockedGeometry(of: node, operation)
    if let refusal = TileConvolution.refusalOfBytes(geometry, isPicture: isPicture, library.target)
      ?? TilePermission.refusal
    {
      return .refused(refusal)
    }
    if operation.result == nil && operation.residual != nil { return .refused("a residual is added to floats") }
    var reads = [Offer.Read(value: x, type: image)]
    if operation.residual != nil, let residual = node.operands.last {
      guard let type = placement.blockedType(residual) else {
        return .refused("the residual has no blocks of channels")
      }
      reads.append(Offer.Read(value: residual, type: type))
    }
    return .offered(
      Offer(
        reads: reads,
        cycles: isPicture
          ? TileConvolution.cycles(ofPicture: geometry, workers: placement.workers)
          : TileConvolution.cycles(geometry, element: .uint8, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D, let library = placement.library else {
      return
    }
    let node = candidate.node, requantization = operation.requantization, levels = operation.weight
    let convolution = try TileConvolution(
      ofBytes: placement.blockedGeometry(of: node, operation), isPicture: !operation.pixelZeroPoints.isEmpty,
      zeroPoints: operation.zeroPoints, addsResidual: operation.residual != nil, requantization,
      workers: placement.workers, library: library)
    let weight = placement.type(of: node.operands[1])
    var cost = StepCost(of: convolution.geometry)
    let packed = try TensorType(
      .int8, weight.shape, layout: .packed(name: "tiles of bytes \(cost.shape)", byteCount: convolution.filterCount))
    let filter = try placement.add(
      Reorder(to: packed), by: "pack", [placement.rowMajor(node.operands[1])], results: [packed],
      LoweredOperation(kernel: {
        convolution.pack($0.operand(0), levels, into: $0.signedByteResult(), workers: $0.workers)
      }), name: placement.uniqueName("\(candidate.name).filter"))[0]
    let sums = try placement.sums(of: candidate, operation, lanes: convolution.biasCount)
    let multipliers = operation.multipliers(outputs: weight.shape[0], lanes: convolution.biasCount)
    let hasResidual = operation.residual != nil
    cost.algorithm = name + (operation.function.map { "+\($0)" } ?? "") + (hasResidual ? "+add" : "")
    try placement.add(
      candidate, [images[0], filter, sums] + images.dropFirst(),
      results: [placement.type(of: candidate.result).with(layout: .blocked())],
      LoweredOperation(
        workspaceByteCount: convolution.workspaceByteCount, overwritableOperands: hasResidual ? [[3]] : [], cost: cost,
        kernel: { arguments in
          multipliers.withUnsafeBufferPointer {
            convolution.run(
              arguments.bytes(0), filter: arguments.signedBytes(1), bias: arguments.integers(2),
              multipliers: $0.baseAddress, residual: hasResidual ? UnsafeRawPointer(arguments.bytes(3)) : nil,
              into: arguments.result(), workspace: arguments.workspace, workers: arguments.workers)
          }
        }))
  }
}

extension Placement {
  /// The sizes of a convolution of levels, or of a dense layer as one of pixels by themselves, on an image in blocks.
  func blockedGeometry(
    of node: Node, _ operation: QuantizedConvolution2D
  ) throws(CNNError) -> ConvolutionGeometry {
    let x = type(of: node.operands[0]), weight = type(of: node.operands[1]).shape
    if let convolution = operation.operation as? Convolution2D {
      return try convolution.geometry(x.shape, weight: weight)
    }
    return try .dense(x, outputs: weight[0])
  }
}
