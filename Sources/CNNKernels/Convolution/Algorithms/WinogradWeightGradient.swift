import CNNCore
import CNNRuntime

/// 3 x 3 with stride 1 by the transposes of Winograd's forward transforms. Images may be stored as bfloat16, each by itself;
/// they are computed in float32.
struct WinogradWeightGradientAlgorithm: WeightGradientAlgorithm {
  /// `f2` or `f4`.
  let transform: WinogradTransform

  var name: String { "winograd_\(transform.name)" }

  var readsBFloat16: Bool { true }

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    if request.input != .blocked { return "the image is not in blocks without a border" }
    return ProductKernel.refusal(request.inputElement, request.gradientElement, target)
      ?? WinogradTransform.refusal(request.geometry)
  }

  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    let g = request.geometry
    return WinogradGradientPlan.best(.init(transform, g.blockedInput, g.blockedOutput, request.workers, target)).cycles
  }

  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient {
    try check(request, library.target)
    return WinogradWeightGradient(self, request, library: library)
  }
}

/// A filter's gradient by Winograd's transforms.
struct WinogradWeightGradient: BlockedWeightGradient {
  let request: WeightGradientRequest
  let algorithm: String
  private let transform: WinogradTransform
  private let schedule: WinogradGradientSchedule

  init(_ algorithm: WinogradWeightGradientAlgorithm, _ request: WeightGradientRequest, library: KernelLibrary) {
    (self.request, self.algorithm, transform) = (request, algorithm.name, algorithm.transform)
    let g = request.geometry
    schedule = WinogradGradientSchedule(
      transform, request.blockedInput, padding: BlockedTensor.Border(top: g.padTop, left: g.padLeft),
      output: request.blockedGradient, workers: request.workers, library: library)
  }

  var workspaceByteCount: Int { schedule.workspaceByteCount }
  var operations: Int { geometry.operations(products: WinogradTiles.products(transform, output)) }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) { schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers) }
}
