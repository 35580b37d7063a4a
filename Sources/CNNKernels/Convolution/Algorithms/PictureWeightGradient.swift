import CNNCore
import CNNRuntime

/// Over the few channels of a picture: for each row of the filter a product with the picture's numbers under that row.
struct PictureWeightGradientAlgorithm: WeightGradientAlgorithm {
  let name = "direct_picture"

  var readsBFloat16: Bool { true }

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    guard case .picture = request.input else { return "the image is no picture" }
    let groups = request.geometry.groups
    if let refusal = ProductKernel.refusal(request.gradientElement, .float32, target) { return refusal }
    return groups > 1 ? "the channels of a picture are in \(groups) groups" : nil
  }

  /// The multiply-adds, and adding up the workers' sums.
  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    let g = request.geometry, workers = request.workers.count
    let sums = ConvolutionCost.products(g) * Double(g.taps)
    return sums * Double(g.outputPixels) / Double(workers)
      + (workers > 1 ? ConvolutionCost.adding(sums: sums * Double(BlockedTensor.pixelByteCount)) : 0)
  }

  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient {
    try check(request, library.target)
    guard let picture = request.input.picture(request.geometry) else {
      throw CNNError(.internalFault, "a picture is none")
    }
    return PictureWeightGradient(request, picture, library: library)
  }
}

/// The gradient of a filter that met a picture.
struct PictureWeightGradient: BlockedWeightGradient {
  let request: WeightGradientRequest
  let algorithm = PictureWeightGradientAlgorithm().name
  private let schedule: PictureGradientSchedule

  init(_ request: WeightGradientRequest, _ picture: ImageInput, library: KernelLibrary) {
    self.request = request
    schedule = PictureGradientSchedule(
      request.geometry, picture, output: request.blockedGradient, workers: request.workers, library: library)
  }

  var workspaceByteCount: Int { schedule.workspaceByteCount }

  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) { schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers) }
}
