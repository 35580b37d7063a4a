import CNNCore
import CNNRuntime

/// A large filter with stride 2 over a picture: as one of half the size and stride 1 over the picture's four phases, by
/// Winograd's transforms.
struct PhasedWinogradAlgorithm: ConvolutionAlgorithm {
  /// `f4` for filters of 3 x 3 taps over the phases, `f3WithFourTaps` for 4 x 4.
  let transform: WinogradTransform

  var name: String { "phases_winograd_\(transform.name)" }

  var writesBFloat16: Bool { true }

  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    if let refusal = ProductKernel.refusal(.float32, request.outputElement, target) { return refusal }
    guard case .picture = request.input else { return "the image is no picture" }
    if request.accumulatesSum { return "transforms do not sum their results over the pixels" }
    if request.filterOrder != nil { return "the filter is not in the order of the parameter" }
    if !request.outputGrid.isWhole { return "the results go to some of the pixels only" }
    return PicturePhases.refusal(request.geometry, transform)
  }

  /// No more than the product over the picture takes, whose place it takes wherever it accepts.
  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double {
    let direct = DirectAlgorithm().cycles(request, target)
    guard let phases = PicturePhases(request.geometry) else { return direct }
    let cost = WinogradSchedule.Cost(transform, request.geometry.blockedOutput, request.workers)
    return min(cost.cycles(from: phases.tensor), direct)
  }

  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution {
    try check(request, library.target)
    guard let phases = PicturePhases(request.geometry), let picture = request.input.picture(request.geometry) else {
      throw CNNError(.internalFault, "a convolution that \(name) accepts has no phases")
    }
    return PhasedWinogradConvolution(self, request, phases, picture, library: library)
  }
}

/// A convolution over a picture's phases by Winograd's transforms.
struct PhasedWinogradConvolution: BlockedConvolution {
  let request: ConvolutionRequest
  let algorithm: String
  private let phases: PicturePhases
  private let picture: ImageInput
  private let schedule: WinogradSchedule

  init(
    _ algorithm: PhasedWinogradAlgorithm, _ request: ConvolutionRequest, _ phases: PicturePhases, _ picture: ImageInput,
    library: KernelLibrary
  ) {
    (self.request, self.algorithm) = (request, algorithm.name)
    (self.phases, self.picture) = (phases, picture)
    schedule = WinogradSchedule(
      phases.transform, phases.tensor, padding: phases.padding, output: request.outputGrid.tensor,
      epilogue: request.epilogue, workers: request.workers, library: library)
  }

  private var phasesByteCount: Int { phases.byteCount(threads: request.workers.count) }
  var filterCount: Int { schedule.packing.count }
  var workspaceByteCount: Int { schedule.workspaceByteCount + phasesByteCount }
  var operations: Int { geometry.operations(products: 4 * WinogradTiles.products(schedule.transform, output)) }

  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    phases.filter(weight).withUnsafeBufferPointer {
      guard let filter = $0.baseAddress else { return }
      schedule.packing.pack(filter, scale: scale, into: packed, workers: workers)
    }
  }

  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    phases.split(picture, x, into: workspace, workers: workers)
    schedule.run(
      workspace, filter: filter, bias: bias, residual: residual, into: y, workspace: workspace + phasesByteCount,
      workers: workers)
  }
}
