import CNNCore
import CNNRuntime

/// What the gradient of a convolution's filter is planned for.
public struct WeightGradientRequest: Sendable {
  /// The sizes of the convolution.
  public var geometry: ConvolutionGeometry
  /// How the image lies in memory.
  public var input: ConvolutionInput
  /// The type of the numbers of an image in blocks.
  public var inputElement: ElementType
  /// The type of the numbers of the result's gradient.
  public var gradientElement: ElementType
  /// What the work is divided among.
  public var workers: Workers

  /// The gradient where the image is in blocks, and all is float32, unless told otherwise.
  public init(
    _ geometry: ConvolutionGeometry, input: ConvolutionInput = .blocked, inputElement: ElementType = .float32,
    gradientElement: ElementType = .float32, workers: Workers
  ) {
    (self.geometry, self.input, self.workers) = (geometry, input, workers)
    (self.inputElement, self.gradientElement) = (inputElement, gradientElement)
  }

  /// The image in blocks of channels, and the gradient of the result.
  var blockedInput: BlockedTensor { geometry.blockedInput.with(element: inputElement) }
  var blockedGradient: BlockedTensor { geometry.blockedOutput.with(element: gradientElement) }

  /// The channels of a block, in which groups begin that are products.
  var blockChannels: Int { blockedInput.channelsPerBlock }
}

/// One way of computing the gradient of a convolution's filter on images in blocks of channels.
public protocol WeightGradientAlgorithm: Sendable {
  /// How profiles call it.
  var name: String { get }

  /// Why it cannot compute this one, in a few words; nil where it can.
  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String?

  /// Whether the image, where it is in blocks, and the gradient may be stored as bfloat16 in any case, each by itself: it
  /// computes in float32.
  var readsBFloat16: Bool { get }

  /// Whether it needs the system's permission to use tiles.
  var usesTiles: Bool { get }

  /// How many cycles each of the workers will take, of a request that it accepts; counted as those of
  /// `ConvolutionAlgorithm`.
  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double

  /// Plans it.
  /// - Throws: `.invalidArgument` with the refusal.
  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient
}

extension WeightGradientAlgorithm {
  /// They may not.
  public var readsBFloat16: Bool { false }

  /// It does not.
  public var usesTiles: Bool { false }

  /// - Throws: `.invalidArgument` with the refusal, if there is one.
  func check(_ request: WeightGradientRequest, _ target: CodeTarget) throws(CNNError) {
    if let reason = refusal(request, target) {
      throw CNNError(.invalidArgument, "a filter's gradient cannot be computed by the algorithm \(name): \(reason)")
    }
  }
}

/// The algorithms of a filter's gradient on images in blocks of channels.
public enum WeightGradientAlgorithms {
  /// All that read float32; of equally cheap ones the first is taken.
  public static let all: [any WeightGradientAlgorithm] = [
    PhasedWeightGradientAlgorithm(transform: .f4),
    PhasedWeightGradientAlgorithm(transform: .f3WithFourTaps),
    PictureWeightGradientAlgorithm(),
    DirectWeightGradientAlgorithm(),
    WinogradWeightGradientAlgorithm(transform: .f2),
    WinogradWeightGradientAlgorithm(transform: .f4),
    DepthwiseWeightGradientAlgorithm(),
  ]

  /// Those that multiply bfloat16.
  public static let ofBFloat16: [any WeightGradientAlgorithm] = [
    TileWeightGradientAlgorithm(), DirectWeightGradientAlgorithm(),
  ]

  /// The cheapest that computes a request in float32; nil where none does.
  public static func best(_ request: WeightGradientRequest, _ target: CodeTarget) -> (any WeightGradientAlgorithm)? {
    let isOfFloats = request.inputElement == .float32 && request.gradientElement == .float32
    let accepting = all.filter { (isOfFloats || $0.readsBFloat16) && $0.refusal(request, target) == nil }
    return ConvolutionCost.cheapest(accepting) { $0.cycles(request, target) }
  }

  /// Plans a request by the best algorithm.
  /// - Throws: `.invalidArgument` with all refusals where no algorithm accepts it.
  public static func plan(
    _ request: WeightGradientRequest, library: KernelLibrary
  ) throws(CNNError) -> any BlockedWeightGradient {
    guard let algorithm = best(request, library.target) else {
      let reasons = all.map { "\($0.name): \($0.refusal(request, library.target) ?? "")" }
      throw CNNError(.invalidArgument, "no algorithm computes this gradient (\(reasons.joined(separator: "; ")))")
    }
    return try algorithm.plan(request, library: library)
  }
}

/// The planned gradient of a convolution's filter by generated kernels, with everything it needs to know worked out.
public protocol BlockedWeightGradient: Sendable {
  /// What it was planned for.
  var request: WeightGradientRequest { get }
  /// The name of its algorithm.
  var algorithm: String { get }
  /// Multiplications and additions in the products, without Winograd's transforms.
  var operations: Int { get }
  /// The bytes it works in.
  var workspaceByteCount: Int { get }

  /// Computes the gradient.
  /// - Parameters:
  ///   - x: the image as the request says, without a border.
  ///   - dy: the gradient of the result, laid out like `output`.
  ///   - dWeight: receives `[output, input / groups, height, width]`.
  ///   - workspace: `workspaceByteCount` bytes at a multiple of 64.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers)
}

extension BlockedWeightGradient {
  /// The sizes.
  public var geometry: ConvolutionGeometry { request.geometry }
  /// The image, where it is blocked.
  public var input: BlockedTensor { request.blockedInput }
  /// The gradient of the result.
  public var output: BlockedTensor { request.blockedGradient }

  /// As the definition has them, unless the algorithm says otherwise.
  public var operations: Int { geometry.operationCount }
}
