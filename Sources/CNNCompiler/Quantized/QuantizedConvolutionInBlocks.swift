import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// A convolution or dense layer of levels by products of tiles or in vector registers, with what follows it. Reads the image,
/// and a residual, in blocks of 64 channels.
struct QuantizedConvolutionInBlocks: Implementation {
  let products: any ByteConvolution.Type

  var name: String { products.name }

  func instruction(on target: CodeTarget?) -> String { target.map(products.instruction) ?? "portable" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D else {
      return .refused("it has no levels")
    }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    let node = candidate.node, x = node.operands[0], geometry = try placement.geometry(of: node)
    let isPicture = isPicture(operation, x, geometry, placement, library.target)
    guard let image = isPicture ? placement.type(of: x) : placement.blockedType(x) else {
      return .withoutBlocks()
    }
    if let refusal = products.refusal(ofBytes: geometry, isPicture: isPicture, library.target) {
      return .refused(refusal)
    }
    if operation.result == nil && operation.residual != nil { return .refused("a residual is added to floats") }
    var reads = [Offer.Read(value: x, type: image)]
    if operation.residual != nil, let residual = node.operands.last {
      guard let type = placement.blockedType(residual) else {
        return .withoutBlocks("the residual")
      }
      reads.append(Offer.Read(value: residual, type: type))
    }
    return .offered(
      Offer(
        reads: reads,
        cycles: products.cycles(
          ofBytes: geometry, isPicture: isPicture, library.target, workers: placement.workers)))
  }

  /// Whether an image is read as it comes: pixels, and levels of few channels where they lie so anyway.
  private func isPicture(
    _ operation: QuantizedConvolution2D, _ x: Value, _ geometry: ConvolutionGeometry, _ placement: Placement,
    _ target: CodeTarget
  ) -> Bool {
    if operation.pixels != nil { return true }
    return operation.operation is Convolution2D && geometry.inputChannels < 8 && !placement.isInBlocks(x)
      && products.refusal(ofBytes: geometry, isPicture: true, target) == nil
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D, let library = placement.library else {
      return
    }
    let node = candidate.node, requantization = operation.requantization, levels = operation.weight
    let convolution = try products.init(
      ofBytes: placement.geometry(of: node), isPicture: placement.imageType(images[0]).layout == .rowMajor,
      zeroPoints: operation.zeroPoints, addsResidual: operation.residual != nil, requantization,
      workers: placement.workers, library: library)
    let weight = placement.type(of: node.operands[1])
    var cost = StepCost(of: convolution.geometry)
    cost.operations = convolution.operations
    (cost.unit, cost.rate) = products.arithmetic(on: library.target)
    let packing = FilterPackingStep(
      name: "\(name) of bytes \(cost.shape)", element: .int8, count: convolution.filterCount
    ) { arguments, floats, _ in
      convolution.pack(floats, levels, into: arguments.signedByteResult(), workers: arguments.workers)
    }
    let weights = try placement.weights(of: candidate, operation, packing, lanes: convolution.biasCount)
    let multipliers = requantization.multipliers(
      levels, outputs: weight.shape[0], lanes: convolution.biasCount, vector: library.target.lanes)
    let hasResidual = operation.residual != nil
    cost.algorithm = name + operation.suffix
    try placement.add(
      candidate, [images[0]] + weights + images.dropFirst(),
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
