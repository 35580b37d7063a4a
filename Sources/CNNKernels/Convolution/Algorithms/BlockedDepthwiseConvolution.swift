import CNNCore
import CNNRuntime

/// Every channel by itself. Images may be stored as bfloat16; they are computed in float32.
struct DepthwiseAlgorithm: ConvolutionAlgorithm {
  let name = "depthwise"

  var readsBFloat16: Bool { true }

  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    if request.input != .blocked { return "the image is not in blocks without a border" }
    if request.epilogue.addsResidual { return "windows add no residual" }
    return WindowSchedule.refusal(request.geometry)
      ?? WindowSchedule.refusal(request.blockedInput, request.outputGrid.tensor, target)
  }

  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double {
    ConvolutionCost.channelwise(
      request.geometry, input: request.inputElement, output: request.outputElement, request.workers, target)
  }

  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution {
    try check(request, library.target)
    return BlockedDepthwiseConvolution(request, library: library)
  }
}

extension WindowSchedule {
  /// Why windows do not compute a convolution; nil where they do.
  static func refusal(_ g: ConvolutionGeometry) -> String? {
    if !g.isChannelwise { return "not every channel has a filter of its own" }
    guard
      isPossible(width: g.kernelWidth, stride: g.strideWidth, dilation: g.dilationWidth, outputWidth: g.outputWidth)
    else { return "the window's columns, stride or dilation, or the result's columns, are too many" }
    // A window of which no row lies inside the image has no kernel.
    let hasRows = isPossible(
      height: g.kernelHeight, stride: g.strideHeight, dilation: g.dilationHeight, padding: g.padTop,
      inputHeight: g.inputHeight, outputHeight: g.outputHeight)
    return hasRows ? nil : "some windows hold no row of the image"
  }
}

/// A convolution of every channel by itself.
struct BlockedDepthwiseConvolution: BlockedConvolution {
  let request: ConvolutionRequest
  let algorithm = DepthwiseAlgorithm().name
  private let schedule: WindowSchedule

  init(_ request: ConvolutionRequest, library: KernelLibrary) {
    self.request = request
    let g = request.geometry
    schedule = WindowSchedule(
      .weightedSum, request.blockedInput, kernel: [g.kernelHeight, g.kernelWidth],
      stride: [g.strideHeight, g.strideWidth], dilation: [g.dilationHeight, g.dilationWidth], padding: g.border,
      output: request.outputGrid,
      filterOrder: request.filterOrder, epilogue: request.epilogue, accumulatesSum: request.accumulatesSum,
      library: library)
  }

  var filterCount: Int { schedule.filterCount }
  var workspaceByteCount: Int { schedule.workspaceByteCount(request.workers) }

  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) { schedule.pack(weight, scale: scale, into: packed) }

  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    schedule.run(x, filter: filter, bias: bias, into: y, mean: mean, workspace: workspace, workers: workers)
  }
}
