import CNNCore
import CNNRuntime

/// A convolution of levels of 3 x 3 with stride 1 by Winograd's F(2 x 2, 3 x 3) in integers of 16 bits, where the processor
/// multiplies those and no bytes: 2.25 times fewer products, and the same integers as by products, since nothing is rounded.
public struct ByteWinogradConvolution: ByteConvolution {
  /// What profiles call it.
  public static let name = "winograd_f2"

  /// The sizes.
  public let geometry: ConvolutionGeometry
  /// The result.
  public let output: BlockedTensor
  private let schedule: WinogradSchedule

  /// What it multiplies by on a target.
  public static func instruction(on target: CodeTarget) -> String { target.vectorName }

  /// Sums, four times as large while they are transformed, have 32 bits.
  static let largestDepth = Int(Int32.max) / 4 / (9 * 255 * 128)

  /// Why it cannot compute a convolution of levels; nil where it can.
  public static func refusal(ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget) -> String? {
    if isPicture { return "the image is not in blocks" }
    if target.hasByteProducts { return "slower: bytes are multiplied by one instruction here" }
    if g.inputChannels > largestDepth {
      return "there are \(g.inputChannels) input channels; sums of 32 bits hold \(largestDepth)"
    }
    return WinogradTransform.refusal(g)
  }

  /// The products and the other two transforms, with the rounding.
  public static func cycles(
    ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget, workers: Workers
  ) -> Double {
    WinogradSchedule.Cost(
      .f2, g.blockedOutput.with(element: .uint8), workers, element: .int16, rate: target.byteProductRate
    ).cycles(from: g.blockedInput.with(element: .uint8), rounding: ByteProductConvolution.roundingCycles)
  }

  /// Plans a convolution of levels.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    ofBytes geometry: ConvolutionGeometry, isPicture: Bool, zeroPoints: [UInt8], addsResidual: Bool,
    _ requantization: Requantization, workers: Workers, library: KernelLibrary
  ) throws(CNNError) {
    try Self.check(ofBytes: geometry, isPicture: isPicture, library.target)
    self.geometry = geometry
    output = geometry.blockedOutput.with(element: requantization.levels == nil ? .float32 : .uint8)
    schedule = WinogradSchedule(
      .f2, geometry.blockedInput.with(element: .uint8), padding: geometry.border, output: output,
      epilogue: Epilogue(hasBias: true, addsResidual: addsResidual), requantization: requantization,
      zeroPoint: zeroPoints.first ?? 0, workers: workers, library: library)
  }

  /// Multiplications and additions in the products.
  public var operations: Int { geometry.operations(products: WinogradTiles.products(.f2, output)) }
  /// The bytes of the packed filter.
  public var filterCount: Int { schedule.packing.count * 4 }
  /// The numbers of the bias, and of the multipliers.
  public var biasCount: Int { (geometry.outputChannels + 15) / 16 * 16 }
  /// The bytes it works in.
  public var workspaceByteCount: Int { schedule.workspaceByteCount }

  /// Packs a weight `[output, input, 3, 3]` as transformed levels.
  public func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers
  ) {
    schedule.packing.filter.packTransformed(weight, levels, into: packed, workers: workers)
  }

  /// Computes the convolution; see `ByteConvolution`.
  public func run(
    _ x: UnsafeRawPointer, filter: UnsafeRawPointer, bias: UnsafeRawPointer?, multipliers: UnsafePointer<Float>?,
    residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    schedule.run(
      x, filter: filter, bias: bias, multipliers: multipliers, residual: residual, into: y, workspace: workspace,
      workers: workers)
  }
}
