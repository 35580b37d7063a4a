import CNNCore
import CNNRuntime

/// A pooling by generated kernels.
public struct BlockedPooling: Sendable {
  /// The images before and after.
  public let input, output: BlockedTensor
  private let schedule: WindowSchedule

  /// Why a pooling is not computed, in a few words; nil where it is.
  /// - Parameters:
  ///   - input: the type of the numbers of the image, and `output` of the result.
  public static func refusal(
    _ g: Pooling.Geometry, input: ElementType = .float32, output: ElementType = .float32, _ target: CodeTarget
  ) -> String? {
    guard isPossible(g) else { return "there is no kernel for a window of this size" }
    return WindowSchedule.refusal(
      g.blockedInput.with(element: input), g.blockedOutput.with(element: output), target)
  }

  /// Whether no window lies beside the image altogether or is too large for the kernels.
  private static func isPossible(_ g: Pooling.Geometry) -> Bool {
    WindowSchedule.isPossible(
      width: g.window.width, stride: g.stride.width, dilation: g.dilation.width, outputWidth: g.output.width)
      && WindowSchedule.isPossible(
        height: g.window.height, stride: g.stride.height, dilation: g.dilation.height, padding: g.paddingBefore.height,
        inputHeight: g.input.height, outputHeight: g.output.height)
  }

  /// Plans a pooling.
  /// - Parameters:
  ///   - isMaximum: the largest number of each window, or else the average.
  ///   - countsPadding: whether an average counts the zeros beside the image.
  ///   - inputElement: the type of the numbers of the image, and `outputElement` of the result; in between they are float32.
  ///   - border: of zeros around the result, which is bfloat16 then.
  /// - Throws: `.invalidArgument` with the refusal.
  public init(
    _ geometry: Pooling.Geometry, isMaximum: Bool, countsPadding: Bool, input inputElement: ElementType = .float32,
    output outputElement: ElementType = .float32, border: BlockedTensor.Border = .none, library: KernelLibrary
  ) throws(CNNError) {
    let g = geometry
    if let reason = Self.refusal(g, input: inputElement, output: outputElement, library.target) {
      throw CNNError(.invalidArgument, "a pooling cannot be computed by windows: \(reason)")
    }
    input = g.blockedInput.with(element: inputElement)
    output = g.blockedOutput.with(element: outputElement).with(border: border)
    schedule = WindowSchedule(
      isMaximum ? .maximum : .average(countsPadding: countsPadding), input,
      kernel: [g.window.height, g.window.width], stride: [g.stride.height, g.stride.width],
      dilation: [g.dilation.height, g.dilation.width],
      padding: .init(
        top: g.paddingBefore.height, left: g.paddingBefore.width, bottom: g.paddingAfter.height,
        right: g.paddingAfter.width),
      output: PixelGrid(output), library: library)
  }

  /// Pools `x` into `y`.
  public func run(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    schedule.run(x, filter: nil, bias: nil, into: y, mean: nil, workers: workers)
  }
}

extension Pooling.Geometry {
  /// The image in blocks of channels.
  var blockedInput: BlockedTensor {
    BlockedTensor(images: images, height: input.height, width: input.width, channels: channels)
  }

  /// The result in blocks of channels.
  var blockedOutput: BlockedTensor {
    BlockedTensor(images: images, height: output.height, width: output.width, channels: channels)
  }
}
