import CNNCore
import CNNRuntime

/// 3 x 3 with stride 1 by Winograd's transforms. Images may be stored as bfloat16; they are computed in float32.
struct WinogradAlgorithm: ConvolutionAlgorithm {
  /// `f2` or `f4`.
  let transform: WinogradTransform

  var name: String { "winograd_\(transform.name)" }

  var readsBFloat16: Bool { true }

  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    if let refusal = ProductKernel.refusal(request.inputElement, request.outputElement, target) { return refusal }
    if request.input != .blocked { return "the image is not in blocks without a border" }
    if request.accumulatesSum { return "transforms do not sum their results over the pixels" }
    if !request.outputGrid.isWhole { return "the results go to some of the pixels only" }
    return WinogradTransform.refusal(request.geometry)
  }

  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double {
    let g = request.geometry
    return WinogradSchedule.Cost(transform, g.blockedOutput, request.workers).cycles(from: g.blockedInput)
  }

  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution {
    try check(request, library.target)
    return WinogradConvolution(self, request, library: library)
  }
}

extension WinogradTransform {
  /// Why tiles of 3 x 3 filters do not compute a convolution; nil where they do.
  static func refusal(_ g: ConvolutionGeometry) -> String? {
    func isOf(_ height: Int, _ width: Int, _ size: Int) -> Bool { height == size && width == size }
    if g.groups > 1 { return "there are \(g.groups) groups; Winograd's transforms need one" }
    if !isOf(g.kernelHeight, g.kernelWidth, 3) {
      return "the filter is \(g.kernelHeight)x\(g.kernelWidth); Winograd's transforms need 3x3"
    }
    if !isOf(g.strideHeight, g.strideWidth, 1) {
      return "the stride is \(g.strideHeight)x\(g.strideWidth); Winograd's transforms need 1x1"
    }
    if !isOf(g.dilationHeight, g.dilationWidth, 1) {
      return "the dilation is \(g.dilationHeight)x\(g.dilationWidth); Winograd's transforms need 1x1"
    }
    if g.padTop > 2 || g.padLeft > 2 {
      return "the padding is \(g.padTop) above and \(g.padLeft) on the left; Winograd's transforms need at most 2"
    }
    return nil
  }
}

/// A convolution by Winograd's transforms.
struct WinogradConvolution: BlockedConvolution {
  let request: ConvolutionRequest
  let algorithm: String
  private let schedule: WinogradSchedule

  init(_ algorithm: WinogradAlgorithm, _ request: ConvolutionRequest, library: KernelLibrary) {
    (self.request, self.algorithm) = (request, algorithm.name)
    let g = request.geometry
    schedule = WinogradSchedule(
      algorithm.transform, request.blockedInput, padding: g.border, output: request.outputGrid.tensor,
      filterOrder: request.filterOrder, epilogue: request.epilogue, workers: request.workers, library: library)
  }

  var filterCount: Int { schedule.packing.count }
  var workspaceByteCount: Int { schedule.workspaceByteCount }
  var operations: Int { geometry.operations(products: WinogradTiles.products(schedule.transform, output)) }

  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) { schedule.packing.pack(weight, scale: scale, into: packed, workers: workers) }

  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    schedule.run(x, filter: filter, bias: bias, residual: residual, into: y, workspace: workspace, workers: workers)
  }
}
