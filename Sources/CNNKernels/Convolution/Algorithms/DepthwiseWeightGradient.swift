import CNNCore
import CNNRuntime

/// Every channel by itself.
struct DepthwiseWeightGradientAlgorithm: WeightGradientAlgorithm {
  let name = "depthwise"

  var readsBFloat16: Bool { true }

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    if request.input != .blocked { return "the image is not in blocks without a border" }
    for element in [request.inputElement, request.gradientElement] {
      if let refusal = ProductKernel.refusal(element, .float32, target) { return refusal }
    }
    return WindowSchedule.refusal(request.geometry)
  }

  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    ConvolutionCost.channelwise(
      request.geometry, input: request.inputElement, output: request.gradientElement, request.workers, target)
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
      g, input: request.blockedInput, output: request.blockedGradient, workers: request.workers, library: library)
  }

  var workspaceByteCount: Int { schedule.workspaceByteCount }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) { schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers) }
}
