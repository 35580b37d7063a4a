import CNNRuntime

/// Max and average pooling of [images, height, width, channels] tensors.
///
/// Global pooling is pooling with a window as large as the image.
public enum Pooling {
  /// The shapes of one pooling operation.
  public struct Geometry: Sendable, Hashable {
    /// The number of images.
    public var images: Int
    /// The number of channels.
    public var channels: Int
    /// The height and width of the input.
    public var input: Size
    /// The height and width of the output; windows must begin inside the padded input.
    public var output: Size
    /// The height and width of the window.
    public var window: Size
    /// The distance between neighbouring windows.
    public var stride: Size
    /// The distance between neighbouring elements of one window; max pooling only.
    public var dilation: Size
    /// Padding above and to the left of the input.
    public var paddingBefore: Size
    /// Padding below and to the right of the input; it matters only for averages that count padding.
    public var paddingAfter: Size

    /// A vertical and a horizontal number.
    public struct Size: Sendable, Hashable {
      /// The vertical number.
      public var height: Int
      /// The horizontal number.
      public var width: Int

      /// Creates a pair.
      public init(_ height: Int, _ width: Int) {
        self.height = height
        self.width = width
      }
    }

    /// Creates a geometry.
    public init(
      images: Int, channels: Int, input: Size, output: Size, window: Size, stride: Size, dilation: Size = Size(1, 1),
      paddingBefore: Size = Size(0, 0), paddingAfter: Size = Size(0, 0)
    ) {
      self.images = images
      self.channels = channels
      self.input = input
      self.output = output
      self.window = window
      self.stride = stride
      self.dilation = dilation
      self.paddingBefore = paddingBefore
      self.paddingAfter = paddingAfter
    }

    /// Pooling of every whole image to one pixel.
    public static func global(images: Int, channels: Int, height: Int, width: Int) -> Geometry {
      Geometry(
        images: images, channels: channels, input: Size(height, width), output: Size(1, 1),
        window: Size(height, width), stride: Size(1, 1))
    }
  }

  /// The largest element of every window; padding is -infinity, NaN wins.
  ///
  /// `x` is [images, input, channels], `y` is [images, output, channels].
  public static func maximum(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, _ geometry: Geometry, workers: Workers
  ) {
    forEachOutputRow(geometry, workers) { row in
      MaximumForward(x: x + row.image * geometry.inputCount, y: y + row.outputOffset, row: row, geometry: geometry)
    }
  }

  /// The gradient of `maximum` from its `x` and `y`: each `dy` goes to the first element of the window that attains the
  /// maximum, as in PyTorch. Finding that element again costs less memory traffic than an index stored beside `y`.
  ///
  /// `dx` is overwritten and overlaps nothing.
  public static func maximumBackward(
    _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    into dx: UnsafeMutablePointer<Float>, _ geometry: Geometry, workers: Workers
  ) {
    forEachImage(geometry, workers, clearing: dx) { image in
      MaximumBackward(
        x: x + image * geometry.inputCount, y: y + image * geometry.outputCount, dy: dy + image * geometry.outputCount,
        dx: dx + image * geometry.inputCount, geometry: geometry)
    }
  }

  /// The mean of every window, over its elements inside the input, or with `countsPadding` inside the padded input. A
  /// window with no element inside the input gives 0.
  ///
  /// `x` is [images, input, channels], `y` is [images, output, channels]. Dilation is ignored.
  public static func average(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, countsPadding: Bool, _ geometry: Geometry,
    workers: Workers
  ) {
    forEachOutputRow(geometry, workers) { row in
      AverageForward(
        x: x + row.image * geometry.inputCount, y: y + row.outputOffset, row: row, geometry: geometry,
        countsPadding: countsPadding)
    }
  }

  /// The gradient of `average`. `dx` is overwritten and overlaps nothing.
  public static func averageBackward(
    _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, countsPadding: Bool, _ geometry: Geometry,
    workers: Workers
  ) {
    forEachImage(geometry, workers, clearing: dx) { image in
      AverageBackward(
        dy: dy + image * geometry.outputCount, dx: dx + image * geometry.inputCount, geometry: geometry,
        countsPadding: countsPadding)
    }
  }

  @inline(__always)
  private static func forEachOutputRow(
    _ geometry: Geometry, _ workers: Workers, _ kernel: (OutputRow) -> some BlockKernel
  ) {
    workers.forEachItem(of: geometry.images * geometry.output.height, channels: geometry.channels) { item, block in
      forEachBlock(of: block, kernel(OutputRow(item, geometry)))
    }
  }

  /// Windows overlap, so a gradient is gathered by one worker for all the windows of an image.
  @inline(__always)
  private static func forEachImage(
    _ geometry: Geometry, _ workers: Workers, clearing dx: UnsafeMutablePointer<Float>,
    _ kernel: (_ image: Int) -> some BlockKernel
  ) {
    workers.forEachItem(of: geometry.images, channels: geometry.channels) { image, block in
      let first = dx + image * geometry.inputCount
      if block.count == geometry.channels {
        first.update(repeating: 0, count: geometry.inputCount)
      } else {
        for pixel in 0..<geometry.input.height * geometry.input.width {
          (first + pixel * geometry.channels + block.lowerBound).update(repeating: 0, count: block.count)
        }
      }
      forEachBlock(of: block, kernel(image))
    }
  }
}
