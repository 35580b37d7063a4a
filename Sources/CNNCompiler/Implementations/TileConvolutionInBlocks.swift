import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// A convolution or dense layer of bfloat16 by products of tiles, with what follows it. Reads the image in blocks of
/// bfloat16, the packed filter, and as the epilogue says the bias and a residual. Where other tiles read its result it is
/// rounded, and else float32.
struct TileConvolutionInBlocks: Implementation {
  let name = "tiles"

  var precision: Precision { .bfloat16 }

  func instruction(on target: CodeTarget?) -> String { "amx_bf16" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.precision == .bfloat16 else { return .refused("the model computes in float32") }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    guard candidate.fusion.expansion == nil else { return .refused("it does not expand channels first") }
    if let refusal = filterRefusal(candidate.node) { return .refused(refusal) }
    let x = candidate.node.operands[0]
    guard let image = placement.blockedType(x) else { return .refused("its input has no blocks of channels") }
    let geometry = try placement.geometry(of: candidate.node)
    if let refusal = refusal(geometry, library) { return .refused(refusal) }
    var reads = [Offer.Read(value: x, type: try image.with(element: .bfloat16, layout: .blocked()))]
    if let residual = candidate.fusion.residual {
      reads.append(Offer.Read(value: residual, type: try placement.storedResult(of: candidate)))
    }
    return .offered(Offer(reads: reads, cycles: TileConvolution.cycles(geometry, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library else { return }
    let node = candidate.node, type = try placement.storedResult(of: candidate), epilogue = candidate.epilogue
    let convolution = try TileConvolution(
      placement.geometry(of: node), isRounded: type.element == .bfloat16, epilogue: epilogue,
      workers: placement.workers, library: library)
    var cost = StepCost(of: convolution.geometry)
    cost.algorithm = name + epilogue.suffix
    let packing = FilterPackingStep(name: "tiles \(cost.shape)", element: .bfloat16, count: convolution.filterCount) {
      convolution.pack($1, scale: $2, into: $0.bfloat16Result(), workers: $0.workers)
    }
    let operands =
      try [images[0]] + placement.weights(of: node, packing, named: candidate.name) + images.dropFirst()
    let residual = epilogue.hasBias ? 3 : 2
    try placement.add(
      candidate, operands, results: [type], recomputation: .again(isCheap: false),
      LoweredOperation(
        workspaceByteCount: convolution.workspaceByteCount,
        overwritableOperands: epilogue.addsResidual ? [[residual]] : [], cost: cost,
        kernel: {
          convolution.run(
            $0.operand(0), filter: $0.bfloat16(1), bias: epilogue.hasBias ? $0.operand(2) : nil,
            residual: epilogue.addsResidual ? UnsafeRawPointer($0.operand(residual)) : nil, into: $0.result(0),
            workspace: $0.workspace, workers: $0.workers)
        }))
  }

  /// The image, or the residual, which lies like the result.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let library = placement.library, filterRefusal(node) == nil, node.operands[1] != value,
      let geometry = try? placement.geometry(of: node)
    else { return false }
    return refusal(geometry, library) == nil
  }

  private func refusal(_ geometry: ConvolutionGeometry, _ library: KernelLibrary) -> String? {
    if let refusal = TileConvolution.refusal(geometry, library.target) { return refusal }
    if geometry.inputChannels < 8 { return "so few channels leave most of a tile empty" }
    return TilePermission.refusal
  }
}
