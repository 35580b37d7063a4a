import CNNCore
import CNNRuntime

/// One way of computing a convolution on images in blocks of channels.
public protocol ConvolutionAlgorithm: Sendable {
  /// How profiles call it.
  var name: String { get }

  /// Why it cannot compute this one, in a few words; nil where it can.
  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String?

  /// Whether images may be stored as bfloat16, where the target has instructions on it; it computes in float32.
  var readsBFloat16: Bool { get }

  /// Whether the result may be stored as bfloat16, where the target has instructions on it.
  var writesBFloat16: Bool { get }

  /// How many cycles each of the workers will take, of a request that it accepts.
  ///
  /// A model: a worker does one multiply-add of 16 lanes a cycle, with one register of AVX-512 or two of AVX2 (Zen 4 has no
  /// more, and where a core could do two, it is shared by two workers), and waits for memory as `ConvolutionCost` says.
  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double

  /// Plans it.
  /// - Throws: `.invalidArgument` with the refusal.
  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution
}

extension ConvolutionAlgorithm {
  /// They may not.
  public var readsBFloat16: Bool { false }

  /// It may not.
  public var writesBFloat16: Bool { readsBFloat16 }

  /// Itself, where it accepts a request.
  func accepting(_ request: ConvolutionRequest, _ target: CodeTarget) -> (any ConvolutionAlgorithm)? {
    refusal(request, target) == nil ? self : nil
  }

  /// - Throws: `.invalidArgument` with the refusal, if there is one.
  func check(_ request: ConvolutionRequest, _ target: CodeTarget) throws(CNNError) {
    if let reason = refusal(request, target) {
      throw CNNError(.invalidArgument, "a convolution cannot be computed by the algorithm \(name): \(reason)")
    }
  }
}

/// The algorithms of convolutions on images in blocks of channels.
public enum ConvolutionAlgorithms {
  /// All of them; of equally cheap ones the first is taken.
  public static let all: [any ConvolutionAlgorithm] = [
    PhasedWinogradAlgorithm(transform: .f4),
    PhasedWinogradAlgorithm(transform: .f3WithFourTaps),
    DirectAlgorithm(),
    WinogradAlgorithm(transform: .f2),
    WinogradAlgorithm(transform: .f4),
    DepthwiseAlgorithm(),
  ]

  /// The one for weights with masks.
  public static let sparse: any ConvolutionAlgorithm = SparseAlgorithm()

  /// The one that multiplies images of bfloat16 too.
  public static let product: any ConvolutionAlgorithm = DirectAlgorithm()

  /// The cheapest that computes a request in float32; nil where none does.
  public static func best(_ request: ConvolutionRequest, _ target: CodeTarget) -> (any ConvolutionAlgorithm)? {
    let accepting = all.filter {
      (request.inputElement == .float32 || $0.readsBFloat16) && $0.refusal(request, target) == nil
    }
    return ConvolutionCost.cheapest(accepting) { $0.cycles(request, target) }
  }

  /// Plans a request by the best algorithm.
  /// - Throws: `.invalidArgument` with all refusals where no algorithm accepts it.
  public static func plan(
    _ request: ConvolutionRequest, library: KernelLibrary
  ) throws(CNNError) -> any BlockedConvolution {
    guard let algorithm = best(request, library.target) else {
      let reasons = all.map { "\($0.name): \($0.refusal(request, library.target) ?? "")" }
      throw CNNError(.invalidArgument, "no algorithm computes this convolution (\(reasons.joined(separator: "; ")))")
    }
    return try algorithm.plan(request, library: library)
  }
}

/// A planned convolution by generated kernels, with everything it needs to know worked out.
///
/// The filter is packed once, times a factor per output channel, into the only form that the kernels read.
public protocol BlockedConvolution: Sendable {
  /// What it was planned for.
  var request: ConvolutionRequest { get }
  /// The name of its algorithm.
  var algorithm: String { get }
  /// The number of words of 32 bits of the packed filter.
  var filterCount: Int { get }
  /// Multiplications and additions in the products, without Winograd's transforms.
  var operations: Int { get }
  /// The bytes it works in.
  var workspaceByteCount: Int { get }
  /// How the filter is packed, where that is done block by block of the weight's channels.
  var packing: FilterPacking? { get }

  /// Packs a weight, which lies as the request says, each output channel times its `scale`.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers)

  /// Computes the convolution.
  /// - Parameters:
  ///   - x: the image as the request says.
  ///   - filter: as packed.
  ///   - bias: `biasCount` floats, where the epilogue has one.
  ///   - residual: laid out like the result, where the epilogue adds one.
  ///   - mean: where the sums are accumulated, the `mean`.
  ///   - workspace: `workspaceByteCount` bytes at a multiple of 64.
  func run(
    _ x: UnsafeRawPointer, filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers)
}

extension BlockedConvolution {
  /// The sizes.
  public var geometry: ConvolutionGeometry { request.geometry }
  /// The image, where it is blocked.
  public var input: BlockedTensor { request.blockedInput }
  /// The result.
  public var output: BlockedTensor { request.outputGrid.tensor }
  /// The mean over the pixels of the result, as an image of one pixel.
  public var mean: BlockedTensor { output.onePixel.with(element: .float32) }
  /// The number of floats of the bias: one for each lane of a result of float32, those behind the last channel anything.
  public var biasCount: Int { output.with(element: .float32).blocks * BlockedTensor.blockChannels }

  /// None, unless the algorithm says otherwise.
  public var packing: FilterPacking? { nil }
  /// As the definition has them, unless the algorithm says otherwise.
  public var operations: Int { geometry.operationCount }
}
