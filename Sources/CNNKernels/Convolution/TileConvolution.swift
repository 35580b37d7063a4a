import CNNCore
import CNNRuntime

/// A convolution of bfloat16 or of bytes by products of tiles, with everything it needs to know worked out. Of a picture's
/// few channels the windows are written first.
///
/// Images lie in blocks of 64 bytes of a pixel, 32 channels of bfloat16; the lanes behind the last channel hold finite
/// numbers, as each kernel that writes a block of these writes all of it. Sums are float32, and so is the epilogue; those of
/// bytes are integers and become levels as a `Requantization` says. The filter is rounded and packed once, times a factor
/// per output channel.
public struct TileConvolution: Sendable {
  /// The sizes.
  public let geometry: ConvolutionGeometry
  /// The image and the result with their borders; of a picture, its windows.
  public let input, output: BlockedTensor

  private let products: [Product]
  /// Of a convolution of bytes, what stands for 0 around the image; else 0.
  private let zeroPoint: UInt8
  /// The image with the border that the convolution reads, where it must be copied first.
  private let padded: BlockedTensor?
  private let windows: PictureWindows?
  private let picture: BytePicture?
  private let threads: Int
  /// Where in the image the first window begins, in bytes.
  private let windowOffset: Int

  private typealias Product = GroupProduct<TileProductSchedule>

  /// Whether a target has products of tiles of bfloat16.
  public static func isPossible(on target: CodeTarget) -> Bool { TileProductKernel.isPossible(on: target) }

  /// Why a convolution cannot be computed by tiles, in a few words; nil where it can. Whether the process may use them, says
  /// `TilePermission`.
  public static func refusal(
    _ g: ConvolutionGeometry, input: ConvolutionInput = .blocked, _ target: CodeTarget
  ) -> String? {
    guard BFloat16Reorder.isPossible(on: target) else {
      return "\(target.instructionSet) has no instructions on bfloat16"
    }
    guard isPossible(on: target) else {
      return "\(target.instructionSet) has no products of tiles of bfloat16"
    }
    if case .picture = input { return PictureWindows.refusal(g) }
    if let refusal = g.productRefusal { return refusal }
    return input.borderRefusal(g)
  }

  /// How many cycles each of the workers will take, in the measure of `ConvolutionAlgorithm`: the products of tiles and, for
  /// each of them, the way of its sums to memory; or reading the filter, whichever takes longer. The windows of a picture are
  /// written before that, and an image that comes without the border that is read is copied into one.
  /// - Parameter element: of the image in blocks: bfloat16, or uint8.
  public static func cycles(
    _ geometry: ConvolutionGeometry, input: ConvolutionInput = .blocked, element: ElementType = .bfloat16,
    workers: Workers
  ) -> Double {
    if case .picture = input, let windows = try? PictureWindows.geometry(of: geometry) {
      return cycles(windows, workers: workers) + PictureWindows.cycles(geometry, windows) / Double(workers.count)
    }
    let g = geometry
    let image = g.blockedInput.with(element: element)
    let result = g.blockedOutput.with(element: element)
    let walk = TileWalk(
      TileInput(image.with(border: input.border ?? g.border)), stride: [g.strideHeight, g.strideWidth],
      output: PixelGrid(result))
    let tilesOfPixels = Double(walk.rounds.reduce(0) { $0 + $1.tiles })
    var products = 0.0, filterBytes = 0.0
    for groups in (try? ChannelGroups.parts(of: g, blockChannels: TileFilter.blockChannels(element))) ?? [] {
      let filter = TileFilter(
        outputChannels: groups.geometry.outputChannels / groups.count,
        inputChannels: groups.geometry.inputChannels / groups.count, taps: g.taps, groups: groups.count,
        element: element == .uint8 ? .int8 : element)
      let tiles = tilesOfPixels * Double(groups.count * filter.panels.reduce(0, +))
      // 16 cycles a product of whole tiles; 75 for a tile of sums, measured.
      products += tiles * (Double(filter.blocks * filter.taps * walk.pixels) + 75)
      filterBytes += Double(filter.byteCount)
    }
    let copied = input.border == nil && g.border != .none ? Double(image.with(border: g.border).byteCount) / 32 : 0
    return max(products / Double(workers.count), filterBytes / 64 * ConvolutionCost.filterReading)
      + copied / Double(workers.count)
  }

  /// Plans a convolution.
  /// - Parameters:
  ///   - input: how the image lies; one in blocks without a border is copied into one if the convolution has any.
  ///   - outputBorder: of zeros around the result, and the residual like it.
  ///   - isRounded: whether the result, and the residual like it, are bfloat16; else float32 in blocks of 16 channels.
  ///   - epilogue: what follows the products.
  ///   - filterOrder: how the weight lies; nil for `[output, input / groups, height, width]`.
  ///   - places: the pixels to which the results go; nil for a tensor of just these.
  ///   - workers: what the work is divided among.
  ///   - library: where the kernels are collected.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    _ geometry: ConvolutionGeometry, input: ConvolutionInput = .blocked,
    outputBorder: BlockedTensor.Border = .none, isRounded: Bool, epilogue: Epilogue, filterOrder: FilterOrder? = nil,
    places: PixelGrid? = nil, workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    if let reason = Self.refusal(geometry, input: input, library.target) {
      throw CNNError(.invalidArgument, "a convolution cannot be computed by tiles: \(reason)")
    }
    try self.init(
      geometry, input: input, outputBorder: outputBorder, element: .bfloat16, result: isRounded ? .bfloat16 : .float32,
      epilogue: epilogue, filterOrder: filterOrder, places: places, requantization: nil, picture: nil, zeroPoint: 0,
      workers: workers, library: library)
  }

  private init(
    _ geometry: ConvolutionGeometry, input: ConvolutionInput, outputBorder: BlockedTensor.Border,
    element: ElementType, result: ElementType, epilogue: Epilogue, filterOrder: FilterOrder? = nil,
    places: PixelGrid? = nil, requantization: Requantization?, picture: BytePicture?, zeroPoint: UInt8,
    workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    self.geometry = geometry
    self.zeroPoint = zeroPoint
    threads = workers.count
    windows =
      if case .picture(let element) = input { try PictureWindows(geometry, element, library: library) } else { nil }
    self.picture = picture
    var g = windows?.geometry ?? geometry
    if let picture { g = try picture.product }
    let own = g.border
    let plain = g.blockedInput.with(element: element)
    self.input = plain.with(border: input.border ?? .none)
    let source = input.border == nil ? plain.with(border: own) : self.input
    padded = input.border == nil && own != .none ? source : nil
    windowOffset =
      (source.border.top - own.top) * source.rowByteCount
      + (source.border.left - own.left) * BlockedTensor.pixelByteCount
    let result = g.blockedOutput.with(element: result).with(border: outputBorder)
    output = result
    var products: [Product] = [], filterEnd = 0
    for groups in try ChannelGroups.parts(of: g, blockChannels: TileFilter.blockChannels(element)) {
      let schedule = TileProductSchedule(
        groups.geometry, groups: groups.count, input: picture.map { TileInput($0) } ?? TileInput(source),
        output: places ?? PixelGrid(result), filterOrder: filterOrder, epilogue: epilogue,
        requantization: requantization, strideWidth: picture == nil ? nil : geometry.strideWidth, workers: workers,
        library: library)
      products.append(
        Product(
          groups: groups, schedule: schedule,
          inputByteOffset: groups.firstInput / source.channelsPerBlock * source.blockByteCount,
          outputByteOffset: groups.firstOutput / result.channelsPerBlock * result.blockByteCount,
          filterOffset: filterEnd))
      filterEnd += schedule.filter.count
    }
    self.products = products
  }

  /// The numbers of the packed filter.
  public var filterCount: Int { products.reduce(0) { $0 + $1.schedule.filter.count } }

  /// The floats of the bias: one for each lane of whole tiles, those behind the last channel finite numbers.
  public var biasCount: Int {
    (geometry.outputChannels + TileFilter.tileChannels - 1) / TileFilter.tileChannels * TileFilter.tileChannels
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int {
    windows?.byteCount(threads: threads) ?? picture?.byteCount ?? padded?.byteCount ?? 0
  }

  /// Packs a weight `[output, input / groups, height, width]`, each output channel times its `scale`, rounded.
  public func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<BFloat16>,
    workers: Workers
  ) {
    if let windows {
      windows.filter(weight).withUnsafeBufferPointer {
        if let filter = $0.baseAddress { packProducts(filter, scale: scale, into: packed, workers: workers) }
      }
    } else {
      packProducts(weight, scale: scale, into: packed, workers: workers)
    }
  }

  private func packProducts(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<BFloat16>,
    workers: Workers
  ) {
    forEachGroup(of: weight) { schedule, weight, firstOutput, offset in
      schedule.packing?.pack(
        weight, scale: scale.map { $0 + firstOutput },
        into: UnsafeMutableRawPointer(packed + offset).assumingMemoryBound(to: Float.self), workers: workers)
    }
  }

  /// Packs a weight `[output, input / groups, height, width]` as levels.
  public func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    func pack(_ weight: UnsafePointer<Float>) {
      forEachGroup(of: weight) { schedule, weight, firstOutput, offset in
        schedule.filter.pack(weight, levels, from: firstOutput, into: packed + offset, workers: workers)
      }
    }
    guard let picture else { return pack(weight) }
    picture.filter(weight).withUnsafeBufferPointer { if let filter = $0.baseAddress { pack(filter) } }
  }

  /// Calls `body` with each group's products, its weight `[output, input, height, width]`, its first output channel and its
  /// place among the packed numbers.
  private func forEachGroup(
    of weight: UnsafePointer<Float>,
    _ body: (
      _ schedule: TileProductSchedule, _ weight: UnsafePointer<Float>, _ firstOutput: Int, _ offset: Int
    ) -> Void
  ) {
    for product in products {
      let groups = product.groups, schedule = product.schedule, filter = schedule.filter
      let weight = weight + groups.weightOffset
      for group in 0..<groups.count {
        let firstOutput = groups.firstOutput + group * filter.outputChannels
        let offset = product.filterOffset + group * filter.groupCount
        if groups.isMerged {
          groups.filter(group, of: weight).withUnsafeBufferPointer {
            if let merged = $0.baseAddress { body(schedule, merged, firstOutput, offset) }
          }
        } else {
          body(
            schedule, weight + group * filter.outputChannels * filter.inputChannels * filter.taps, firstOutput, offset)
        }
      }
    }
  }

  /// Computes the convolution.
  /// - Parameters:
  ///   - x: the image, as `input` says.
  ///   - bias: `biasCount` floats, where the epilogue has one; of bytes as many integers, see `QuantizedFilter.sums`.
  ///   - multipliers: of bytes, see `Requantization.multipliers`.
  ///   - residual: laid out like the result, where the epilogue adds one.
  public func run(
    _ x: UnsafeRawPointer, filter: UnsafeRawPointer, bias: UnsafeRawPointer?,
    multipliers: UnsafePointer<Float>? = nil, residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    var source = picture == nil ? x + windowOffset : x
    if let windows {
      windows.write(x, into: workspace, workers: workers)
      source = UnsafeRawPointer(workspace)
    } else if let picture {
      picture.write(
        x.assumingMemoryBound(to: UInt8.self), into: workspace.assumingMemoryBound(to: UInt8.self), workers: workers)
      source = UnsafeRawPointer(workspace)
    } else if let padded {
      BlockedCopies.copy(x, input, into: workspace, padded, filling: zeroPoint, workers: workers)
      source = UnsafeRawPointer(workspace)
    }
    for product in products {
      let first = product.groups.firstOutput
      product.schedule.run(
        source + product.inputByteOffset, filter: filter + product.schedule.filter.byteCount(product.filterOffset),
        bias: bias.map { $0 + first * 4 },
        multipliers: multipliers.map { $0 + first * product.schedule.multiplierCount },
        residual: residual.map { $0 + product.outputByteOffset }, into: y + product.outputByteOffset, workers: workers)
    }
  }
}

extension TileConvolution: ByteConvolution {
  /// What profiles call it.
  public static let name = "tiles"

  /// What it multiplies by on a target.
  public static func instruction(on target: CodeTarget) -> String { "amx_int8" }

  /// A tile's row holds twice as many bytes as numbers of bfloat16, and takes as long.
  public static func arithmetic(on target: CodeTarget) -> (unit: ArithmeticUnit, rate: Double) { (.tiles, 2) }

  /// Why it cannot compute a convolution of levels; nil where it can.
  public static func refusal(ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget) -> String? {
    guard TileProductKernel.isPossibleOfBytes(on: target) else {
      return "\(target.instructionSet) has no products of tiles of bytes"
    }
    if let refusal = TilePermission.refusal { return refusal }
    return refusal(ofImage: g, isPicture: isPicture)
  }

  /// How many cycles each of the workers will take for levels, where it can.
  public static func cycles(
    ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget, workers: Workers
  ) -> Double {
    guard isPicture else { return cycles(g, element: .uint8, workers: workers) }
    let tiles = Double((g.outputPixels + 15) / 16 * ((g.outputChannels + 15) / 16))
    return tiles * Double(16 * g.kernelHeight + 75) / Double(workers.count)
  }

  /// Plans a convolution of levels.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    ofBytes geometry: ConvolutionGeometry, isPicture: Bool, zeroPoints: [UInt8], addsResidual: Bool,
    _ requantization: Requantization, workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    try Self.check(ofBytes: geometry, isPicture: isPicture, library.target)
    try self.init(
      geometry, input: .blocked, outputBorder: .none, element: .uint8,
      result: requantization.levels == nil ? .float32 : .uint8,
      epilogue: Epilogue(hasBias: true, addsResidual: addsResidual), requantization: requantization,
      picture: isPicture ? BytePicture(geometry, zeroPoints: zeroPoints) : nil, zeroPoint: zeroPoints.first ?? 0,
      workers: workers, library: library)
  }
}
