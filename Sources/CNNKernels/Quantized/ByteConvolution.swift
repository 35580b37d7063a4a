import CNNCore
import CNNRuntime

/// A convolution of levels by products, with everything it needs to know worked out. Its integers are those of
/// `QuantizedConvolution`.
///
/// Images lie in blocks of 64 channels, or are a picture as NHWC; what lies behind the last channel is anything. The filter is
/// rounded and packed once.
public protocol ByteConvolution: Sendable {
  /// What profiles call it.
  static var name: String { get }

  /// What it multiplies by on a target.
  static func instruction(on target: CodeTarget) -> String

  /// What multiplies on a target, and how many products it carries out in the time of one of the unit's usual numbers.
  static func arithmetic(on target: CodeTarget) -> (unit: ArithmeticUnit, rate: Double)

  /// Why it cannot compute a convolution, in a few words; nil where it can.
  /// - Parameter isPicture: whether the image is NHWC, few channels of a picture; else it is in blocks.
  static func refusal(ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget) -> String?

  /// How many cycles each of the workers will take, in the measure of `ConvolutionAlgorithm`, where it can.
  static func cycles(
    ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget, workers: Workers
  ) -> Double

  /// Plans a convolution.
  /// - Parameters:
  ///   - isPicture: whether the image is NHWC.
  ///   - zeroPoints: the level around the image, one, or of a picture one for each channel.
  ///   - addsResidual: whether levels laid out like the result are added.
  ///   - requantization: what becomes of the sums.
  /// - Throws: `.invalidArgument` with the refusal.
  init(
    ofBytes geometry: ConvolutionGeometry, isPicture: Bool, zeroPoints: [UInt8], addsResidual: Bool,
    _ requantization: Requantization, workers: Workers, library: KernelLibrary
  ) throws(CNNError)

  /// The sizes.
  var geometry: ConvolutionGeometry { get }
  /// The result.
  var output: BlockedTensor { get }
  /// Multiplications and additions in the products, without Winograd's transforms.
  var operations: Int { get }
  /// The bytes of the packed filter.
  var filterCount: Int { get }
  /// The numbers of the bias, and how many multipliers there are.
  var biasCount: Int { get }
  /// The bytes it works in.
  var workspaceByteCount: Int { get }

  /// Packs a weight `[output, input / groups, height, width]` as levels.
  func pack(
    _ weight: UnsafePointer<Float>, _ levels: WeightLevels, into packed: UnsafeMutablePointer<Int8>, workers: Workers)

  /// Computes the convolution.
  /// - Parameters:
  ///   - x: the image.
  ///   - bias: `biasCount` integers, see `QuantizedFilter.sums`.
  ///   - multipliers: see `Requantization.multipliers`, for vectors of the target.
  ///   - residual: laid out like the result, where one is added.
  ///   - workspace: `workspaceByteCount` bytes at a multiple of 64.
  func run(
    _ x: UnsafeRawPointer, filter: UnsafeRawPointer, bias: UnsafeRawPointer?, multipliers: UnsafePointer<Float>?,
    residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer,
    workers: Workers)
}

extension ByteConvolution {
  /// Integers in vector registers.
  public static func arithmetic(on target: CodeTarget) -> (unit: ArithmeticUnit, rate: Double) {
    (.integers, 1)
  }

  /// Those of the definition.
  public var operations: Int { geometry.operationCount }

  /// Why an image as it lies is not convolved by products; nil where it is.
  static func refusal(ofImage g: ConvolutionGeometry, isPicture: Bool) -> String? {
    isPicture ? BytePicture.refusal(g) : g.productRefusal
  }

  /// - Throws: `.invalidArgument` with the refusal.
  static func check(ofBytes g: ConvolutionGeometry, isPicture: Bool, _ target: CodeTarget) throws(CNNError) {
    if let reason = refusal(ofBytes: g, isPicture: isPicture, target) {
      throw CNNError(.invalidArgument, "a convolution of levels cannot be computed by '\(name)': \(reason)")
    }
  }
}
