import CNNCore
import CNNRuntime

/// A large filter with stride 2 over a picture: as one of stride 1 over the picture's four phases, by the transposes of
/// Winograd's forward transforms.
struct PhasedWeightGradientAlgorithm: WeightGradientAlgorithm {
  /// `f4` for filters of 3 x 3 taps over the phases, `f3WithFourTaps` for 4 x 4.
  let transform: WinogradTransform

  var name: String { "phases_winograd_\(transform.name)" }

  var readsBFloat16: Bool { true }

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    guard case .picture = request.input else { return "the image is no picture" }
    return ProductKernel.refusal(.float32, request.gradientElement, target)
      ?? PicturePhases.refusal(request.geometry, transform)
  }

  /// No more than the product over the picture takes, whose place it takes wherever it accepts.
  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    let direct = PictureWeightGradientAlgorithm().cycles(request, target)
    guard let phases = PicturePhases(request.geometry) else { return direct }
    let plan = WinogradGradientPlan.best(
      .init(transform, phases.tensor, request.geometry.blockedOutput, request.workers, target))
    return min(plan.cycles, direct)
  }

  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient {
    try check(request, library.target)
    guard let phases = PicturePhases(request.geometry), let picture = request.input.picture(request.geometry) else {
      throw CNNError(.internalFault, "a gradient that \(name) accepts has no phases")
    }
    return PhasedWeightGradient(self, request, phases, picture, library: library)
  }
}

/// A filter's gradient over a picture's phases by Winograd's transforms.
struct PhasedWeightGradient: BlockedWeightGradient {
  let request: WeightGradientRequest
  let algorithm: String
  private let phases: PicturePhases
  private let picture: ImageInput
  private let schedule: WinogradGradientSchedule

  init(
    _ algorithm: PhasedWeightGradientAlgorithm, _ request: WeightGradientRequest, _ phases: PicturePhases,
    _ picture: ImageInput, library: KernelLibrary
  ) {
    (self.request, self.algorithm) = (request, algorithm.name)
    (self.phases, self.picture) = (phases, picture)
    schedule = WinogradGradientSchedule(
      phases.transform, phases.tensor, padding: phases.padding, output: request.blockedGradient,
      workers: request.workers, library: library)
  }

  private var phasesByteCount: Int { phases.byteCount(threads: request.workers.count) }
  private var filterByteCount: Int { (phases.filterCount * 4 + 63) / 64 * 64 }
  var workspaceByteCount: Int { phasesByteCount + filterByteCount + schedule.workspaceByteCount }
  var operations: Int { geometry.operations(products: 4 * WinogradTiles.products(phases.transform, output)) }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    phases.split(picture, x, into: workspace, workers: workers)
    let space = workspace + phasesByteCount, filter = space.assumingMemoryBound(to: Float.self)
    schedule.run(workspace, gradient: dy, into: filter, workspace: space + filterByteCount, workers: workers)
    phases.mergeFilter(filter, into: dWeight)
  }
}
