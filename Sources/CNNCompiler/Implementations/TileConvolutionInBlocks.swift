import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// A convolution or dense layer of bfloat16 by products of tiles, with what follows it. Reads the image in blocks of
/// bfloat16, the packed filter, and as the epilogue says the bias and a residual. Where other tiles read its result it is
/// rounded, and else float32; and where they are to read a border of zeros it gets that.
struct TileConvolutionInBlocks: Implementation {
  let name = "tiles"

  var precision: Precision { .bfloat16 }

  func instruction(on target: CodeTarget?) -> String { "amx_bf16" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.precision == .bfloat16 else { return .refused("the model computes in float32") }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    if let expansion = candidate.fusion.expansion { return .refused(expansion.reason) }
    if let refusal = filterRefusal(candidate.node) { return .refused(refusal) }
    let x = candidate.node.operands[0]
    let geometry = try placement.geometry(of: candidate.node)
    guard let (image, input) = try image(x, geometry, placement) else {
      return .withoutBlocks()
    }
    if let refusal = refusal(candidate.node, geometry, input, library) { return .refused(refusal) }
    var reads = [image]
    if let residual = candidate.fusion.residual {
      reads.append(Offer.Read(value: residual, type: try result(of: candidate, placement)))
    }
    return .offered(
      Offer(reads: reads, cycles: TileConvolution.cycles(geometry, input: input, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library else { return }
    let node = candidate.node, type = try result(of: candidate, placement), epilogue = candidate.epilogue
    let geometry = try placement.geometry(of: node)
    guard let (_, input) = try image(node.operands[0], geometry, placement, as: placement.imageType(images[0])) else {
      return
    }
    let convolution = try TileConvolution(
      geometry, input: input, outputBorder: type.layout.border ?? .none, isRounded: type.element == .bfloat16,
      epilogue: epilogue, workers: placement.workers, library: library)
    var cost = StepCost(of: convolution.geometry)
    cost.algorithm = name + epilogue.suffix + (convolution.output.border == .none ? "" : "+border")
    cost.unit = .tiles
    let packing = FilterPackingStep(name: "tiles \(cost.shape)", element: .bfloat16, count: convolution.filterCount) {
      convolution.pack($1, scale: $2, into: $0.bfloat16Result(), workers: $0.workers)
    }
    try placement.addConvolution(
      candidate, images, packing, results: [type], workspaceByteCount: convolution.workspaceByteCount, cost: cost
    ) { arguments, bias, residual in
      convolution.run(
        arguments.operand(0), filter: arguments.bfloat16(1), bias: bias.map { UnsafeRawPointer($0) },
        residual: residual,
        into: arguments.result(0), workspace: arguments.workspace, workers: arguments.workers)
    }
  }

  /// The image, or the residual, which lies like the result.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let library = placement.library, filterRefusal(node) == nil, node.operands[1] != value,
      let geometry = try? placement.geometry(of: node)
    else { return false }
    return refusal(node, geometry, .blocked, library) == nil
  }

  func border(reading value: Value, of node: Node, in placement: Placement) -> BlockedTensor.Border? {
    guard readsBFloat16(value, of: node, in: placement), let geometry = try? placement.geometry(of: node) else {
      return nil
    }
    // The residual.
    guard node.operands[0] == value else { return BlockedTensor.Border.none }
    // Tiles of a line of pixels would be computed for the border too.
    return geometry.isPointwise ? nil : geometry.border
  }

  /// The type of the result: of the residual if there is one, as what reads that reads the result too.
  private func result(of candidate: Candidate, _ placement: Placement) throws(CNNError) -> TensorType {
    let border =
      candidate.fusion.residual.map(placement.tileBorder) ?? placement.storedBorder(of: candidate.result)
    return try placement.storedResult(of: candidate).with(layout: .blocked(border: border))
  }

  /// What is read: an image in blocks of bfloat16, with the border that it has, or a picture as it comes.
  private func image(
    _ x: Value, _ geometry: ConvolutionGeometry, _ placement: Placement, as type: TensorType? = nil
  ) throws(CNNError) -> (read: Offer.Read, input: ConvolutionInput)? {
    guard let (read, input) = placement.image(x, geometry, as: type) else { return nil }
    guard input == .blocked else { return (read, input) }
    let border = type?.layout.border ?? placement.tileBorder(of: x)
    return (
      Offer.Read(value: x, type: try read.type.with(element: .bfloat16, layout: .blocked(border: border))),
      border == .none ? .blocked : .padded(border)
    )
  }

  private func refusal(
    _ node: Node, _ geometry: ConvolutionGeometry, _ input: ConvolutionInput, _ library: KernelLibrary
  ) -> String? {
    if let refusal = TileConvolution.refusal(geometry, input: input, library.target) { return refusal }
    if input.isInBlocks && geometry.inputChannels < 8 { return "so few channels leave most of a tile empty" }
    return bfloat16Refusal(node, geometry) ?? TilePermission.refusal
  }
}
