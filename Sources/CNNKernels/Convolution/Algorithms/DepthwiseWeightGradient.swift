import CNNCore
import CNNRuntime

/// Every channel by itself.
struct DepthwiseWeightGradientAlgorithm: WeightGradientAlgorithm {
  let name = "depthwise"

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    if request.input != .blocked { return "the image is not in blocks without a border" }
    return WindowSchedule.refusal(request.geometry)
  }

  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    ConvolutionCost.channelwise(request.geometry, request.workers, target)
  }

  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient {
    try check(request, library.target)
    return DepthwiseWeightGradient(request, library: library)
  }
}

/// A filter's gradient where every channel is convolved by itself.
struct DepthwiseWeightGradient: BlockedWeightGradient {
  let request: WeightGradientRequest
  let algorithm = DepthwiseWeightGradientAlgorithm().name
  private let schedule: WindowGradientSchedule

  init(_ request: WeightGradientRequest, library: KernelLibrary) {
    self.request = request
    let g = request.geometry
    schedule = WindowGradientSchedule(
      g, input: g.blockedInput, output: g.blockedOutput, workers: request.workers, library: library)
  }

  var workspaceByteCount: Int { schedule.workspaceByteCount }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) { schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers) }
}
