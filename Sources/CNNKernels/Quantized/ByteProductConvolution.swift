import CNNCore
import CNNRuntime

/// A convolution of levels by products in vector registers: of four bytes and four signed bytes by one instruction, or where
/// the processor has none of two numbers of 16 bits, which levels are widened to while their border is put round them.
public struct ByteProductConvolution: ByteConvolution {
  /// What profiles call it.
  public static let name = "direct"

  /// The sizes.
  public let geometry: ConvolutionGeometry
  /// The result.
  public let output: BlockedTensor
  /// The bytes of the packed filter.
  public let filterCount: Int

  private let products: [Product]
  private let zeroPoint: UInt8
  private let picture: BytePicture?
  /// What is multiplied: uint8 or int16.
  private let element: ElementType
  /// The image with the border that is read.
  private let source: BlockedTensor
  /// Where numbers of 16 bits are multiplied.
  private let widening: ByteWidening?

  private typealias Product = GroupProduct<ProductSchedule>

  private static let blockChannels = BlockedTensor.pixelByteCount

  /// What it multiplies by on a target.
  public static func instruction(on target: CodeTarget) -> String { target.byteProductName }

  /// Why it cannot compute a convolution of levels; nil where it can.
  public static func refusal(ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget) -> String? {
    refusal(ofImage: g, isPicture: isPicture)
  }

  /// The products and rounding the sums, or reading the filter, whichever takes longer; and copying the image.
  public static func cycles(
    ofBytes geometry: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget, workers: Workers
  ) -> Double {
    let picture = isPicture ? BytePicture(geometry, zeroPoints: [0]) : nil
    guard let g = try? picture?.product ?? geometry else { return .infinity }
    let element = target.productElement, pixels = Double(g.outputPixels)
    let words = ConvolutionCost.products(g, element, blockChannels: blockChannels)
    let sums = Double((g.outputChannels + 15) / 16) * roundingCycles
    let multiplying = pixels * (Double(g.taps) * words / target.byteProductRate + sums) / Double(workers.count)
    let reading = Double(g.taps) * words * ConvolutionCost.filterReading
    let source = g.blockedInput.with(element: element).with(border: g.border)
    let copied =
      if let picture { picture.byteCount * (element == .uint8 ? 1 : 3) } else {
        element == .uint8 && g.border == .none ? 0 : source.byteCount
      }
    return max(multiplying, reading) + Double(copied) / 32 / Double(workers.count)
  }

  /// How long rounding 16 sums takes.
  static let roundingCycles = 4.0

  /// Plans a convolution of levels.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    ofBytes geometry: ConvolutionGeometry, isPicture: Bool, zeroPoints: [UInt8], addsResidual: Bool,
    _ requantization: Requantization, workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    try Self.check(ofBytes: geometry, isPicture: isPicture, library.target)
    self.geometry = geometry
    let element = library.target.productElement
    self.element = element
    zeroPoint = zeroPoints.first ?? 0
    let picture = isPicture ? BytePicture(geometry, zeroPoints: zeroPoints) : nil
    self.picture = picture
    widening = element == .uint8 ? nil : ByteWidening(inBlocks: !isPicture, library: library)
    let g = if let picture { try picture.product } else { geometry }
    let source = g.blockedInput.with(element: element).with(border: g.border)
    self.source = source
    let result = g.blockedOutput.with(element: requantization.levels == nil ? .float32 : .uint8)
    output = result
    var products: [Product] = [], filterEnd = 0
    for groups in try ChannelGroups.parts(of: g, blockChannels: Self.blockChannels) {
      let image = groups.part(source, isInput: true), part = groups.part(result, isInput: false)
      let schedule = ProductSchedule(
        try picture.map { picture throws(CNNError) in try ProductInput(picture, geometry, element) }
          ?? ProductInput(image.tensor), groups: groups.count, kernel: [g.kernelHeight, g.kernelWidth],
        stride: [g.strideHeight, g.strideWidth], dilation: [g.dilationHeight, g.dilationWidth],
        output: PixelGrid(part.tensor), epilogue: Epilogue(hasBias: true, addsResidual: addsResidual),
        requantization: requantization, workers: workers, library: library)
      products.append(
        Product(
          groups: groups, schedule: schedule, inputByteOffset: image.byteOffset, outputByteOffset: part.byteOffset,
          filterOffset: filterEnd))
      filterEnd += schedule.packing.count * 4
    }
    self.products = products
    filterCount = filterEnd
  }

  /// The numbers of the bias, and of the multipliers.
  public var biasCount: Int { (geometry.outputChannels + 15) / 16 * 16 }

  /// Whether the image is read where it lies.
  private var isReadInPlace: Bool { picture == nil && element == .uint8 && source.border == .none }

  /// The bytes it works in: what is multiplied, and the products' terms.
  public var workspaceByteCount: Int { imageByteCount + (products.map(\.schedule.termByteCount).max() ?? 0) }

  /// The bytes of what is multiplied, or of what that is made of.
  private var imageByteCount: Int {
    guard let picture else { return isReadInPlace ? 0 : source.byteCount }
    let bytes = (picture.byteCount + 63) / 64 * 64
    return widening == nil ? bytes : 3 * bytes
  }

  /// Packs a weight `[output, input / groups, height, width]` as levels.
  public func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    guard let picture else { return packProducts(weight, levels, into: packed, workers: workers) }
    picture.filter(weight).withUnsafeBufferPointer {
      if let filter = $0.baseAddress { packProducts(filter, levels, into: packed, workers: workers) }
    }
  }

  private func packProducts(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    for product in products {
      let groups = product.groups, filter = product.schedule.packing.filter
      groups.forEachFilter(of: weight, panels: filter.panels.count) { weight, panels in
        filter.pack(
          weight, levels, firstOutput: groups.firstOutput, panels: panels, into: packed + product.filterOffset,
          workers: workers)
      }
    }
  }

  /// Computes the convolution; see `ByteConvolution`.
  public func run(
    _ x: UnsafeRawPointer, filter: UnsafeRawPointer, bias: UnsafeRawPointer?, multipliers: UnsafePointer<Float>?,
    residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    let byPixel = pixelWidening(x, workspace)
    let source = byPixel == nil ? image(x, workspace, workers) : UnsafeRawPointer(workspace)
    for product in products {
      let first = product.groups.firstOutput
      product.schedule.run(
        source + product.inputByteOffset, filter: filter + product.filterOffset, bias: bias.map { $0 + first * 4 },
        multipliers: multipliers.map { $0 + first * product.schedule.multiplierCount },
        residual: residual.map { $0 + product.outputByteOffset },
        into: y + product.outputByteOffset, widening: byPixel, terms: workspace + imageByteCount, workers: workers)
    }
  }

  /// What widens levels when the product reads them; nil where all of them are widened before, or none.
  private func pixelWidening(_ x: UnsafeRawPointer, _ workspace: UnsafeMutableRawPointer) -> PixelWidening? {
    guard let widening, picture == nil, geometry.groups == 1, source.border == .none,
      products.allSatisfy(\.schedule.isPixelByPixel)
    else { return nil }
    return PixelWidening(
      widening: widening, x: x, tensor: geometry.blockedInput.with(element: .uint8), words: workspace, ofWords: source)
  }

  /// What is multiplied: the image, or a copy of it.
  private func image(
    _ x: UnsafeRawPointer, _ workspace: UnsafeMutableRawPointer, _ workers: Workers
  ) -> UnsafeRawPointer {
    if isReadInPlace { return x }
    let plain = geometry.blockedInput.with(element: .uint8)
    if let picture {
      let bytes = workspace.assumingMemoryBound(to: UInt8.self)
      picture.write(x.assumingMemoryBound(to: UInt8.self), into: bytes, workers: workers)
      guard let widening else { return UnsafeRawPointer(workspace) }
      let words = workspace + (picture.byteCount + 63) / 64 * 64
      widening.widen(bytes, into: words, count: picture.byteCount, workers: workers)
      return UnsafeRawPointer(words)
    }
    if let widening {
      widening.copy(x, plain, into: workspace, source, filling: zeroPoint, workers: workers)
    } else {
      BlockedCopies.copy(x, plain, into: workspace, source, filling: zeroPoint, workers: workers)
    }
    return UnsafeRawPointer(workspace)
  }
}

extension CodeTarget {
  /// What levels are multiplied as: bytes where one instruction adds four of their products, else 16 bits.
  var productElement: ElementType { hasByteProducts ? .uint8 : .int16 }

  /// How many words of levels are multiplied and added in the time of as many of float32. Words of two take two
  /// instructions, for which AVX-512 has the two units of float32, and AVX2 one more.
  var byteProductRate: Double { hasByteProducts ? 1 : hasAVX512 ? 0.5 : 0.75 }
}
