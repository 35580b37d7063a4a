import CNNCore
import CNNRuntime

/// The gradient of a convolution's filter by generated kernels, with its algorithm chosen and everything it needs to know
/// worked out.
public struct BlockedWeightGradient: Sendable {
  /// How it is computed: `direct` as a product of matrices for each tap, `winograd` and `phases` by the transposes of the
  /// forward transforms.
  public typealias Algorithm = BlockedConvolution.Algorithm

  /// The sizes.
  public let geometry: ConvolutionGeometry
  /// How it is computed.
  public let algorithm: Algorithm
  /// The image, where it is blocked, and the result.
  public let input, output: BlockedTensor

  private enum Schedule: Sendable {
    case product([Product])
    case picture(PictureGradientSchedule)
    case winograd(WinogradGradientSchedule)
    case phases(PicturePhases, Picture, WinogradGradientSchedule)
    case window(WindowGradientSchedule)
  }

  /// The product of some groups, and where what they read and write begins.
  private struct Product: Sendable {
    let schedule: ProductGradientSchedule
    let inputByteOffset, outputByteOffset, weightOffset: Int
  }

  private let schedule: Schedule
  private let threads: Int

  /// Whether there are kernels for a convolution of these sizes.
  public static func isPossible(_ geometry: ConvolutionGeometry) -> Bool { BlockedConvolution.isPossible(geometry) }

  /// Plans the gradient of a convolution's filter.
  /// - Parameters:
  ///   - layout: how the image lies in memory.
  ///   - algorithm: how to compute it; nil for the best.
  /// - Throws: `.invalidArgument` where `isPossible` says no, or for an algorithm that does not fit the sizes.
  public init(
    _ geometry: ConvolutionGeometry, input layout: BlockedConvolution.Input = .blocked, algorithm: Algorithm? = nil,
    workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    let g = geometry
    guard Self.isPossible(g) else {
      throw CNNError(.invalidArgument, "there is no generated kernel for a convolution with \(g.groups) groups")
    }
    self.geometry = g
    threads = workers.count
    let input = BlockedTensor(
      images: g.batch, height: g.inputHeight, width: g.inputWidth, channels: g.inputChannels)
    let output = BlockedTensor(
      images: g.batch, height: g.outputHeight, width: g.outputWidth, channels: g.outputChannels)
    (self.input, self.output) = (input, output)
    let picture = if case .picture(let element) = layout { Picture(element, g) } else { Picture?.none }
    let algorithm = algorithm ?? Self.best(g, layout, workers, library.target)
    self.algorithm = algorithm
    let refusal = CNNError(.invalidArgument, "the gradient of this convolution's filter is not computed so")
    switch algorithm {
    case .direct:
      guard !BlockedConvolution.isDepthwise(g) else { throw refusal }
      if let picture {
        guard g.groups == 1 else { throw refusal }
        schedule = .picture(
          PictureGradientSchedule(g, picture, output: output, workers: workers, library: library))
      } else {
        schedule = .product(
          try ChannelGroups.parts(of: g).map { groups in
            let image = groups.part(input, isInput: true), result = groups.part(output, isInput: false)
            return Product(
              schedule: ProductGradientSchedule(
                groups, input: image.tensor, output: result.tensor, workers: workers, library: library),
              inputByteOffset: image.byteOffset, outputByteOffset: result.byteOffset,
              weightOffset: groups.weightOffset)
          })
      }
    case .winograd(let transform):
      guard picture == nil, transform.taps == 3, BlockedConvolution.isWinogradPossible(g) else { throw refusal }
      schedule = .winograd(
        WinogradGradientSchedule(
          transform, input, padding: BlockedTensor.Border(top: g.padTop, left: g.padLeft), output: output,
          workers: workers, library: library))
    case .phases(let transform):
      guard let picture, let phases = PicturePhases(g), transform == phases.transform else { throw refusal }
      schedule = .phases(
        phases, picture,
        WinogradGradientSchedule(
          transform, phases.tensor, padding: phases.padding, output: output, workers: workers, library: library))
    case .depthwise:
      guard picture == nil, BlockedConvolution.isDepthwise(g) else { throw refusal }
      schedule = .window(
        WindowGradientSchedule(g, input: input, output: output, workers: workers, library: library))
    }
  }

  private static func best(
    _ g: ConvolutionGeometry, _ layout: BlockedConvolution.Input, _ workers: Workers, _ target: CodeTarget
  ) -> Algorithm {
    if layout != .blocked { return PicturePhases(g).map { .phases($0.transform) } ?? .direct }
    if BlockedConvolution.isDepthwise(g) { return .depthwise }
    guard BlockedConvolution.isWinogradPossible(g) else { return .direct }
    let input = BlockedTensor(
      images: g.batch, height: g.inputHeight, width: g.inputWidth, channels: g.inputChannels)
    let output = BlockedTensor(
      images: g.batch, height: g.outputHeight, width: g.outputWidth, channels: g.outputChannels)
    // For each pair of blocks 16 multiply-adds a tap and pixel, and what it takes to write the sums row by row.
    let pairs = Double(input.blocks * output.blocks), pixels = Double(g.batch * g.outputHeight * g.outputWidth)
    var best = Algorithm.direct, lowest = pairs * (1.08 * 9 * 16 * pixels + 2500) / Double(workers.count)
    for transform in [WinogradTransform.f2, .f4] {
      let plan = WinogradGradientPlan.best(.init(transform, input, output, workers, target))
      if plan.cycles < lowest { (best, lowest) = (.winograd(transform), plan.cycles) }
    }
    return best
  }

  /// Multiplications and additions in the products, without Winograd's transforms.
  public var operations: Int {
    let terms = geometry.outputChannels * geometry.inputChannels / geometry.groups
    func products(_ transform: WinogradTransform) -> Int {
      WinogradTiles.products(transform, images: output.images, height: output.height, width: output.width)
    }
    switch algorithm {
    case .winograd(let transform): return 2 * products(transform) * terms
    case .phases(let transform): return 2 * products(transform) * 4 * terms
    case .direct, .depthwise:
      let taps = geometry.kernelHeight * geometry.kernelWidth
      return 2 * geometry.batch * geometry.outputHeight * geometry.outputWidth * taps * terms
    }
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int {
    switch schedule {
    case .product(let products): products.map(\.schedule.workspaceByteCount).max() ?? 0
    case .picture(let schedule): schedule.workspaceByteCount
    case .winograd(let schedule): schedule.workspaceByteCount
    case .phases(let phases, _, let schedule):
      phases.byteCount(threads: threads) + Self.roundedByteCount(phases.filterCount) + schedule.workspaceByteCount
    case .window(let schedule): schedule.workspaceByteCount
    }
  }

  private static func roundedByteCount(_ count: Int) -> Int { (count * 4 + 63) / 64 * 64 }

  /// Computes the gradient.
  /// - Parameters:
  ///   - x: the image as `Input` says, without a border.
  ///   - dy: the gradient of the result, laid out like `output`.
  ///   - dWeight: receives `[output, input / groups, height, width]`.
  ///   - workspace: `workspaceByteCount` bytes at a multiple of 64.
  public func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    switch schedule {
    case .product(let products):
      for product in products {
        product.schedule.run(
          x + product.inputByteOffset, gradient: dy + product.outputByteOffset,
          into: dWeight + product.weightOffset, workspace: workspace, workers: workers)
      }
    case .picture(let schedule):
      schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers)
    case .winograd(let schedule):
      schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers)
    case .phases(let phases, let picture, let schedule):
      phases.split(picture, x, into: workspace, workers: workers)
      let space = workspace + phases.byteCount(threads: threads)
      let filter = space.assumingMemoryBound(to: Float.self)
      schedule.run(
        workspace, gradient: dy, into: filter, workspace: space + Self.roundedByteCount(phases.filterCount),
        workers: workers)
      phases.mergeFilter(filter, into: dWeight)
    case .window(let schedule):
      schedule.run(x, gradient: dy, into: dWeight, workspace: workspace, workers: workers)
    }
  }
}
