import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// Whether a pointwise convolution and the depthwise one that alone reads it are one step, of float32, whose image in
/// between is never all in memory; or two, by tiles and from blocks of bfloat16, which read and write that image.
struct ExpansionChoice {
  let isOneStep: Bool
  /// What speaks against the other way.
  let reason: String

  init(
    _ expansion: ConvolutionGeometry, _ depthwise: ConvolutionGeometry, _ target: CodeTarget,
    _ generation: CodeGeneration
  ) {
    let workers = generation.workers
    var request = ConvolutionRequest(depthwise, workers: workers)
    (request.inputElement, request.outputElement) = (.bfloat16, .bfloat16)
    guard generation.precision == .bfloat16 else {
      (isOneStep, reason) = (true, "it does not expand channels first")
      return
    }
    if let refusal = TileConvolution.refusal(expansion, target) ?? TilePermission.refusal {
      (isOneStep, reason) = (true, refusal)
      return
    }
    guard let algorithm = ConvolutionAlgorithms.best(request, target) else {
      (isOneStep, reason) = (true, "no depthwise convolution reads what tiles write")
      return
    }
    let together = ExpandedDepthwise.cycles(expansion, depthwise: depthwise, workers: workers)
    let tiles = TileConvolution.cycles(expansion, workers: workers), second = algorithm.cycles(request, target)
    isOneStep = together <= tiles + second
    reason =
      "\(PlacementLog.thousands(together)) thousand cycles together in float32, \(PlacementLog.thousands(tiles)) by tiles "
      + "and \(PlacementLog.thousands(second)) from blocks of bfloat16"
  }
}
