import CNNCore
import CNNRuntime

/// A pooling by generated kernels.
public struct BlockedPooling: Sendable {
  /// The images before and after.
  public let input, output: BlockedTensor
  private let schedule: WindowSchedule

  /// Whether no window lies beside the image altogether or is too large for the kernels.
  public static func isPossible(_ g: Pooling.Geometry) -> Bool {
    WindowSchedule.isPossible(
      width: g.window.width, stride: g.stride.width, dilation: g.dilation.width, outputWidth: g.output.width)
      && WindowSchedule.isPossible(
        height: g.window.height, stride: g.stride.height, dilation: g.dilation.height, padding: g.paddingBefore.height,
        inputHeight: g.input.height, outputHeight: g.output.height)
  }

  /// Plans a pooling; nil where a window lies beside the image altogether or is too large for the kernels.
  /// - Parameters:
  ///   - isMaximum: the largest number of each window, or else the average.
  ///   - countsPadding: whether an average counts the zeros beside the image.
  public init?(
    _ geometry: Pooling.Geometry, isMaximum: Bool, countsPadding: Bool, library: KernelLibrary
  ) {
    let g = geometry
    guard Self.isPossible(g) else { return nil }
    input = BlockedTensor(images: g.images, height: g.input.height, width: g.input.width, channels: g.channels)
    output = BlockedTensor(images: g.images, height: g.output.height, width: g.output.width, channels: g.channels)
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
