import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// Whether a pointwise convolution and the depthwise one that alone reads it are one step, of float32, whose image in
/// between is never all in memory; or two, which read and write that image: with few of the first one's weights left, or by
/// products of bfloat16 and from blocks of it.
struct ExpansionChoice {
  let isOneStep: Bool
  /// What speaks against the other way.
  let reason: String

  init(
    _ expansion: ConvolutionGeometry, _ depthwise: ConvolutionGeometry, _ target: CodeTarget,
    _ generation: CodeGeneration, sparse filter: SparseFilter? = nil
  ) {
    let workers = generation.workers
    let together = ExpandedDepthwise.cycles(expansion, depthwise: depthwise, workers: workers)
    if let filter, let second = ConvolutionAlgorithms.best(ConvolutionRequest(depthwise, workers: workers), target) {
      var first = ConvolutionRequest(expansion, workers: workers)
      first.sparseFilter = filter
      let apart =
        ConvolutionAlgorithms.sparse.cycles(first, target)
        + second.cycles(ConvolutionRequest(depthwise, workers: workers), target)
      if ConvolutionAlgorithms.sparse.refusal(first, target) == nil, apart < together {
        isOneStep = false
        reason =
          "\(PlacementLog.thousands(together)) thousand cycles together, \(PlacementLog.thousands(apart)) apart with a "
          + "sparse expansion"
        return
      }
    }
    func request(_ geometry: ConvolutionGeometry) -> ConvolutionRequest {
      var request = ConvolutionRequest(geometry, workers: workers)
      (request.inputElement, request.outputElement) = (.bfloat16, .bfloat16)
      return request
    }
    guard generation.precision == .bfloat16 else {
      (isOneStep, reason) = (true, "it does not expand channels first")
      return
    }
    let product = ConvolutionAlgorithms.product
    let refusals = [
      TileConvolution.refusal(expansion, target) ?? TilePermission.refusal,
      target.bfloat16Refusal ?? product.refusal(request(expansion), target),
    ]
    let ways = [
      (name: "tiles", cycles: TileConvolution.cycles(expansion, workers: workers)),
      (name: "vectors", cycles: product.cycles(request(expansion), target)),
    ]
    let possible = zip(ways, refusals).filter { $0.1 == nil }.map(\.0)
    guard let first = possible.min(by: { $0.cycles < $1.cycles }) else {
      (isOneStep, reason) = (true, PlacementLog.joined(refusals.compactMap { $0 }))
      return
    }
    guard let algorithm = ConvolutionAlgorithms.best(request(depthwise), target) else {
      (isOneStep, reason) = (true, "no depthwise convolution reads what products of bfloat16 write")
      return
    }
    let second = algorithm.cycles(request(depthwise), target)
    isOneStep = together <= first.cycles + second
    reason =
      "\(PlacementLog.thousands(together)) thousand cycles together in float32, "
      + "\(PlacementLog.thousands(first.cycles)) by \(first.name) "
      + "and \(PlacementLog.thousands(second)) from blocks of bfloat16"
  }
}
