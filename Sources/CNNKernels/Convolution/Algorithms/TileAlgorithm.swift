import CNNCore
import CNNRuntime

/// Products of tiles of bfloat16, where the process may use them: for the convolutions that a gradient of an input is. Others
/// are placed with the border that they read, see `TileConvolution`.
struct TileAlgorithm: ConvolutionAlgorithm {
  let name = "tiles"

  var readsBFloat16: Bool { true }

  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    if request.inputElement != .bfloat16 { return "tiles read bfloat16 alone" }
    if request.accumulatesSum { return "products do not sum their results over the pixels" }
    if request.geometry.groups > 1, request.filterOrder != nil {
      return "the filter of groups is in an order of its own"
    }
    return TileConvolution.refusal(request.geometry, input: request.input, target) ?? TilePermission.refusal
  }

  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double {
    TileConvolution.cycles(request.geometry, input: request.input, workers: request.workers)
  }

  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution {
    try check(request, library.target)
    let convolution = try TileConvolution(
      request.geometry, input: request.input, isRounded: request.outputElement == .bfloat16,
      epilogue: request.epilogue, filterOrder: request.filterOrder, places: request.places, workers: request.workers,
      library: library)
    return TiledConvolution(request: request, convolution: convolution)
  }
}

/// A convolution by tiles as one of the convolutions on images in blocks of channels.
private struct TiledConvolution: BlockedConvolution {
  let request: ConvolutionRequest
  let convolution: TileConvolution
  let algorithm = TileAlgorithm().name

  var filterCount: Int { convolution.filterCount / 2 }
  var workspaceByteCount: Int { convolution.workspaceByteCount }

  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    let numbers = UnsafeMutableRawPointer(packed).assumingMemoryBound(to: BFloat16.self)
    convolution.pack(weight, scale: scale, into: numbers, workers: workers)
  }

  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    convolution.run(
      x, filter: UnsafeRawPointer(filter), bias: bias.map { UnsafeRawPointer($0) }, residual: residual, into: y,
      workspace: workspace, workers: workers)
  }
}
