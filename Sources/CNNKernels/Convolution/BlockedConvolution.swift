import CNNCore
import CNNRuntime

/// A convolution by generated kernels, with its algorithm chosen and everything it needs to know worked out.
///
/// The filter is packed once, times a factor per output channel, into the only form that the kernels read.
public struct BlockedConvolution: Sendable {
  /// How it is computed.
  public enum Algorithm: Hashable, Sendable {
    /// As a product of matrices whose left side is read where it lies: pointwise convolutions without a border, and all
    /// others from a copy of the image with its border.
    case direct
    /// 3 x 3 with stride 1 by Winograd's transforms.
    case winograd(WinogradTransform)
    /// A large filter with stride 2 over a picture: as one of half the size and stride 1 over the picture's four phases,
    /// by Winograd's transforms.
    case phases(WinogradTransform)
    /// Every channel by itself.
    case depthwise

    /// How it is called in profiles.
    public var name: String {
      switch self {
      case .direct: "direct"
      case .winograd(let transform): "winograd_\(transform.name)"
      case .phases(let transform): "phases_winograd_\(transform.name)"
      case .depthwise: "depthwise"
      }
    }
  }

  /// How the image lies in memory.
  public enum Input: Hashable, Sendable {
    case blocked
    /// Blocked, with a border of zeros that is at least as wide as the convolution's; for products.
    case padded(BlockedTensor.Border)
    /// NHWC: the few channels of a picture.
    case picture(Picture.Element)

    /// The border that the image comes with.
    fileprivate var border: BlockedTensor.Border? { if case .padded(let border) = self { border } else { nil } }
  }

  /// The sizes.
  public let geometry: ConvolutionGeometry
  /// How it is computed.
  public let algorithm: Algorithm
  /// The image, where it is blocked, and the result.
  public let input, output: BlockedTensor

  private enum Schedule: Sendable {
    case product([Product])
    case winograd(WinogradSchedule)
    case window(WindowSchedule)
  }

  /// The product of some groups, and where what they read and write begins.
  fileprivate struct Product: Sendable {
    let groups: ChannelGroups
    let schedule: ProductSchedule
    let inputByteOffset, outputByteOffset, filterOffset: Int
  }

  private let schedule: Schedule
  private let phases: PicturePhases?
  private let picture: Picture?
  private let threads: Int
  private let border: BlockedTensor.Border
  /// Where in the image the first window begins, in bytes, if the image comes with its border.
  private let paddedOffset: Int?

  /// Whether there are kernels for a convolution of these sizes.
  public static func isPossible(_ geometry: ConvolutionGeometry) -> Bool {
    let g = geometry
    if !isDepthwise(g) { return true }
    guard
      WindowSchedule.isPossible(
        width: g.kernelWidth, stride: g.strideWidth, dilation: g.dilationWidth, outputWidth: g.outputWidth)
    else { return false }
    // A window of which no row lies inside the image has no kernel.
    return (0..<g.outputHeight).allSatisfy { row in
      (0..<g.kernelHeight).contains {
        (0..<g.inputHeight).contains(row * g.strideHeight - g.padTop + $0 * g.dilationHeight)
      }
    }
  }

  /// Whether every channel has a filter of its own.
  public static func isDepthwise(_ g: ConvolutionGeometry) -> Bool {
    g.groups > 1 && g.groups == g.inputChannels && g.outputChannels == g.inputChannels
  }

  /// Plans a convolution.
  /// - Parameters:
  ///   - algorithm: how to compute it; nil for the best.
  ///   - accumulatesSum: for depthwise ones, whether the results are also summed over the pixels of each image.
  ///   - places: the pixels to which the results of products and windows go; nil for a tensor of just these.
  ///   - filterOrder: how its weight lies; nil for `[output, input / groups, height, width]`, as a convolution in groups
  ///     needs it.
  /// - Throws: `.invalidArgument` where `isPossible` says no.
  public init(
    _ geometry: ConvolutionGeometry, input layout: Input = .blocked, epilogue: Epilogue,
    algorithm: Algorithm? = nil, accumulatesSum: Bool = false, filterOrder: FilterOrder? = nil,
    output places: PixelGrid? = nil, workers: Workers,
    library: KernelLibrary
  ) throws(CNNError) {
    let g = geometry
    guard Self.isPossible(g) else {
      throw CNNError(.invalidArgument, "there is no generated kernel for a convolution with \(g.groups) groups")
    }
    self.geometry = g
    threads = workers.count
    picture = if case .picture(let element) = layout { Picture(element, g) } else { nil }
    let algorithm = algorithm ?? Self.best(g, layout, workers)
    self.algorithm = algorithm
    input = BlockedTensor(
      images: g.batch, height: g.inputHeight, width: g.inputWidth, channels: g.inputChannels)
    let places =
      places
      ?? PixelGrid(
        BlockedTensor(
          images: g.batch, height: g.outputHeight, width: g.outputWidth, channels: g.outputChannels))
    output = places.tensor
    border = BlockedTensor.Border(top: g.padTop, left: g.padLeft, bottom: g.padBottom, right: g.padRight)
    if let whole = layout.border {
      paddedOffset =
        (whole.top - border.top) * input.with(border: whole).rowByteCount
        + (whole.left - border.left) * BlockedTensor.pixelByteCount
    } else {
      paddedOffset = nil
    }
    phases = if case .phases = algorithm { PicturePhases(g) } else { nil }
    let kernel = [g.kernelHeight, g.kernelWidth], stride = [g.strideHeight, g.strideWidth]
    let dilation = [g.dilationHeight, g.dilationWidth]
    switch algorithm {
    case .direct:
      guard !Self.isDepthwise(g) else {
        throw CNNError(.invalidArgument, "a convolution with \(g.groups) groups of one channel is no product")
      }
      var products: [Product] = [], filterEnd = 0
      for groups in try ChannelGroups.parts(of: g) {
        let image = groups.part(input.with(border: layout.border ?? border), isInput: true)
        let source =
          if case .picture = layout {
            ProductInput(
              images: g.batch, height: image.tensor.paddedHeight, width: image.tensor.paddedWidth,
              channels: g.inputChannels)
          } else {
            ProductInput(image.tensor)
          }
        let result = groups.part(output, isInput: false)
        var grid = places
        grid.tensor = result.tensor
        let schedule = ProductSchedule(
          source, groups: groups.count, kernel: kernel, stride: stride, dilation: dilation, output: grid,
          filterOrder: filterOrder, epilogue: epilogue, workers: workers, library: library)
        products.append(
          Product(
            groups: groups, schedule: schedule, inputByteOffset: image.byteOffset,
            outputByteOffset: result.byteOffset, filterOffset: filterEnd))
        filterEnd += schedule.packing.count
      }
      schedule = .product(products)
    case .winograd(let transform):
      schedule = .winograd(
        WinogradSchedule(
          transform, input, padding: border, output: output, filterOrder: filterOrder, epilogue: epilogue,
          workers: workers, library: library))
    case .phases(let transform):
      guard let phases else {
        throw CNNError(.invalidArgument, "a convolution of this size cannot be computed by the phases of its input")
      }
      schedule = .winograd(
        WinogradSchedule(
          transform, phases.tensor, padding: phases.padding, output: output, epilogue: epilogue, workers: workers,
          library: library))
    case .depthwise:
      schedule = .window(
        WindowSchedule(
          .weightedSum, input, kernel: kernel, stride: stride, dilation: dilation, padding: border, output: places,
          filterOrder: filterOrder, epilogue: epilogue, accumulatesSum: accumulatesSum, library: library))
    }
  }

  private static func best(_ g: ConvolutionGeometry, _ layout: Input, _ workers: Workers) -> Algorithm {
    if isDepthwise(g) { return .depthwise }
    if case .padded = layout { return .direct }
    if layout != .blocked { return PicturePhases(g).map { .phases($0.transform) } ?? .direct }
    guard isWinogradPossible(g) else { return .direct }
    let input = BlockedTensor(
      images: g.batch, height: g.inputHeight, width: g.inputWidth, channels: g.inputChannels)
    let output = BlockedTensor(
      images: g.batch, height: g.outputHeight, width: g.outputWidth, channels: g.outputChannels)
    func cost(_ transform: WinogradTransform, input inputCycles: Double, output outputCycles: Double) -> Double {
      let cost = WinogradSchedule.Cost(transform, output, workers)
      return cost.multiplying
        + cost.transforming(
          input: inputCycles, output: outputCycles, inputBlocks: input.blocks, outputBlocks: output.blocks)
    }
    let reading = WinogradSchedule.Cost.filterReading * Double(workers.count)
    let costs: [(algorithm: Algorithm, cycles: Double)] = [
      (.direct, 9 * max(Double(g.batch * g.outputHeight * g.outputWidth), reading)),
      (.winograd(.f2), cost(.f2, input: 9, output: 8)),
      (.winograd(.f4), cost(.f4, input: 22, output: 20)),
    ]
    return costs.min { $0.cycles < $1.cycles }?.algorithm ?? .direct
  }

  static func isWinogradPossible(_ g: ConvolutionGeometry) -> Bool {
    g.groups == 1 && g.kernelHeight == 3 && g.kernelWidth == 3 && g.strideHeight == 1 && g.strideWidth == 1
      && g.dilationHeight == 1 && g.dilationWidth == 1 && g.padTop <= 2 && g.padLeft <= 2
  }

  /// The number of floats of the packed filter.
  public var filterCount: Int {
    switch schedule {
    case .product(let products): products.reduce(0) { $0 + $1.schedule.packing.count }
    case .winograd(let schedule): schedule.packing.count
    case .window(let schedule): schedule.filterCount
    }
  }

  /// The number of floats of the bias: one for each lane of the result, those behind the last channel anything.
  public var biasCount: Int { output.blocks * BlockedTensor.blockChannels }

  /// The mean over the pixels of the result, as an image of one pixel.
  public var mean: BlockedTensor { output.onePixel }

  /// The bytes of the copy that a product reads instead of the image: with its border, or of numbers instead of pixels.
  private var copyByteCount: Int {
    guard case .product = schedule, paddedOffset == nil else { return 0 }
    if let picture { return border == .none && picture.isReadInPlace ? 0 : picture.paddedCount(border) * 4 }
    return border == .none ? 0 : input.with(border: border).byteCount
  }

  /// Multiplications and additions in the products, without Winograd's transforms.
  public var operations: Int {
    let terms = geometry.outputChannels * geometry.inputChannels / geometry.groups
    guard case .winograd(let schedule) = schedule else {
      let taps = geometry.kernelHeight * geometry.kernelWidth
      return 2 * geometry.batch * geometry.outputHeight * geometry.outputWidth * taps * terms
    }
    let products = WinogradTiles.products(
      schedule.transform, images: output.images, height: output.height, width: output.width)
    return 2 * products * (phases == nil ? terms : 4 * terms)
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int {
    if case .winograd(let schedule) = schedule {
      return schedule.workspaceByteCount + (phases?.byteCount(threads: threads) ?? 0)
    }
    return copyByteCount
  }

  /// How the filter of a product is packed, which is not of pieces of the weight.
  var packing: FilterPacking? {
    guard case .product(let products) = schedule, products.count == 1, !products[0].groups.isMerged else { return nil }
    return products[0].schedule.packing
  }

  /// Packs a weight, which lies as the plan was told, each output channel times its `scale`.
  public func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    switch schedule {
    case .product(let products):
      for product in products {
        product.pack(
          weight + product.groups.weightOffset, scale: scale.map { $0 + product.groups.firstOutput },
          into: packed + product.filterOffset, workers: workers)
      }
    case .winograd(let schedule):
      if let phases {
        phases.filter(weight).withUnsafeBufferPointer {
          guard let filter = $0.baseAddress else { return }
          schedule.packing.pack(filter, scale: scale, into: packed, workers: workers)
        }
      } else {
        schedule.packing.pack(weight, scale: scale, into: packed, workers: workers)
      }
    case .window(let schedule): schedule.pack(weight, scale: scale, into: packed)
    }
  }

  /// Computes the convolution.
  /// - Parameters:
  ///   - x: the image as `Input` says.
  ///   - filter: as packed.
  ///   - bias: `biasCount` floats, where the epilogue has one.
  ///   - residual: laid out like the result, where the epilogue adds one.
  ///   - mean: where the sums are accumulated, the `mean`.
  public func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>? = nil, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    switch schedule {
    case .product(let products):
      var source = x + (paddedOffset ?? 0)
      if copyByteCount > 0 {
        if let picture {
          picture.pad(x, border, into: workspace.assumingMemoryBound(to: Float.self), workers: workers)
        } else {
          BlockedCopies.pad(x, input, into: workspace, input.with(border: border), workers: workers)
        }
        source = UnsafeRawPointer(workspace)
      }
      for product in products {
        product.schedule.run(
          source + product.inputByteOffset, filter: filter + product.filterOffset,
          bias: bias.map { $0 + product.groups.firstOutput }, residual: residual.map { $0 + product.outputByteOffset },
          into: y + product.outputByteOffset, workers: workers)
      }
    case .winograd(let schedule):
      var x = x, workspace = workspace
      if let phases, let picture {
        phases.split(picture, x, into: workspace, workers: workers)
        x = UnsafeRawPointer(workspace)
        workspace += phases.byteCount(threads: threads)
      }
      schedule.run(
        x, filter: filter, bias: bias, residual: residual, into: y, workspace: workspace, workers: workers)
    case .window(let schedule):
      schedule.run(x, filter: filter, bias: bias, into: y, mean: mean, workers: workers)
    }
  }
}

extension BlockedConvolution.Product {
  /// Packs the weight of these groups.
  fileprivate func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    guard groups.isMerged else { return schedule.packing.pack(weight, scale: scale, into: packed, workers: workers) }
    let panels = schedule.packing.filter.panels.count / groups.count
    for group in 0..<groups.count {
      groups.filter(group, of: weight).withUnsafeBufferPointer {
        guard let filter = $0.baseAddress else { return }
        schedule.packing.pack(
          filter, scale: scale, panels: panels * group..<panels * (group + 1), into: packed, workers: workers)
      }
    }
  }
}
