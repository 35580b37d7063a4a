import CNNCore

/// The sizes of a two-dimensional convolution over NHWC float32 data.
///
/// Input is `[batch, inputHeight, inputWidth, inputChannels]`, output is
/// `[batch, outputHeight, outputWidth, outputChannels]`, and the kernel is
/// `[kernelHeight, kernelWidth, inputChannels / groups, outputChannels]` with the output channels of one group side by
/// side. Output pixel `o` reads input `o * stride + tap * dilation - pad` along each axis, zero outside the input.
public struct ConvolutionGeometry: Sendable, Hashable {
  /// Number of images.
  public let batch: Int
  /// Height of an input image in pixels.
  public let inputHeight: Int
  /// Width of an input image in pixels.
  public let inputWidth: Int
  /// Channels of the input.
  public let inputChannels: Int
  /// Height of an output image in pixels, derived from the other sizes.
  public let outputHeight: Int
  /// Width of an output image in pixels, derived from the other sizes.
  public let outputWidth: Int
  /// Channels of the output.
  public let outputChannels: Int
  /// Taps of the kernel along the height.
  public let kernelHeight: Int
  /// Taps of the kernel along the width.
  public let kernelWidth: Int
  /// Input rows between neighbouring output rows.
  public let strideHeight: Int
  /// Input columns between neighbouring output columns.
  public let strideWidth: Int
  /// Input rows between neighbouring taps.
  public let dilationHeight: Int
  /// Input columns between neighbouring taps.
  public let dilationWidth: Int
  /// Rows of zeros above the image.
  public let padTop: Int
  /// Columns of zeros left of the image.
  public let padLeft: Int
  /// Rows of zeros below the image.
  public let padBottom: Int
  /// Columns of zeros right of the image.
  public let padRight: Int
  /// Number of groups that the channels are divided into.
  public let groups: Int

  /// No single size may be larger, so that sums of a few of them, and 32-bit matrix sizes, cannot overflow.
  static let largestSize = 1 << 24
  /// The input gradient is computed in as many phases as the product of the strides.
  static let largestStride = 1 << 10

  /// Checks the sizes and derives those of the output.
  /// - Throws: `.invalidArgument` naming the size that is out of its domain, `.shapeMismatch` if the groups do not divide
  ///   the channels or the kernel does not fit the padded input, `.outOfMemory` if a tensor's size overflows.
  public init(
    batch: Int, inputHeight: Int, inputWidth: Int, inputChannels: Int, outputChannels: Int, kernelHeight: Int,
    kernelWidth: Int, strideHeight: Int = 1, strideWidth: Int = 1, dilationHeight: Int = 1, dilationWidth: Int = 1,
    padTop: Int = 0, padLeft: Int = 0, padBottom: Int = 0, padRight: Int = 0, groups: Int = 1
  ) throws(CNNError) {
    let positive = [
      ("batch", batch), ("input height", inputHeight), ("input width", inputWidth), ("input channels", inputChannels),
      ("output channels", outputChannels), ("kernel height", kernelHeight), ("kernel width", kernelWidth),
      ("dilation height", dilationHeight), ("dilation width", dilationWidth), ("groups", groups),
    ]
    let strides = [("stride height", strideHeight), ("stride width", strideWidth)]
    let padding = [("top pad", padTop), ("left pad", padLeft), ("bottom pad", padBottom), ("right pad", padRight)]
    let domains = [
      (1...Self.largestSize, positive), (1...Self.largestStride, strides), (0...Self.largestSize, padding),
    ]
    for (domain, sizes) in domains {
      for (name, value) in sizes where !domain.contains(value) {
        throw CNNError(
          .invalidArgument,
          "convolution \(name) is \(value), expected \(domain.lowerBound) to \(domain.upperBound)")
      }
    }
    guard inputChannels % groups == 0, outputChannels % groups == 0 else {
      throw CNNError(
        .shapeMismatch,
        "convolution groups is \(groups), which does not divide \(inputChannels) input and \(outputChannels) output "
          + "channels")
    }
    self.batch = batch
    self.inputHeight = inputHeight
    self.inputWidth = inputWidth
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.kernelHeight = kernelHeight
    self.kernelWidth = kernelWidth
    self.strideHeight = strideHeight
    self.strideWidth = strideWidth
    self.dilationHeight = dilationHeight
    self.dilationWidth = dilationWidth
    self.padTop = padTop
    self.padLeft = padLeft
    self.padBottom = padBottom
    self.padRight = padRight
    self.groups = groups
    outputHeight = try Self.outputSize(
      "height", input: inputHeight + padTop + padBottom, kernel: kernelHeight, stride: strideHeight,
      dilation: dilationHeight)
    outputWidth = try Self.outputSize(
      "width", input: inputWidth + padLeft + padRight, kernel: kernelWidth, stride: strideWidth,
      dilation: dilationWidth)
    let bytes = MemoryLayout<Float>.stride
    _ = try Checked.product([batch, inputHeight, inputWidth, inputChannels, bytes], "convolution input")
    _ = try Checked.product([batch, outputHeight, outputWidth, outputChannels, bytes], "convolution output")
    _ = try Checked.product(
      [kernelHeight, kernelWidth, inputChannels / groups, outputChannels, bytes], "convolution kernel")
    // No tile of the algorithms holds more than a padded image with as much halo again, source and results.
    let paddedHeight = inputHeight + padTop + padBottom + strideHeight
    let paddedWidth = inputWidth + padLeft + padRight + strideWidth
    _ = try Checked.product(
      [2 * paddedHeight, 2 * paddedWidth, inputChannels + outputChannels, 4, bytes], "convolution padded input")
    // One matrix product spans a row of taps; its sizes and strides are 32-bit numbers.
    guard (kernelWidth + strideWidth) * max(inputChannels, outputChannels) <= Int(Int32.max) else {
      throw CNNError(
        .outOfMemory, "convolution kernel: \(kernelWidth) columns of \(inputChannels) channels are out of range")
    }
  }

  private static func outputSize(
    _ axis: String, input: Int, kernel: Int, stride: Int, dilation: Int
  ) throws(CNNError) -> Int {
    let extent = (kernel - 1) * dilation + 1
    guard extent <= input else {
      throw CNNError(
        .shapeMismatch, "convolution kernel spans \(extent) pixels of \(axis), the padded input has only \(input)")
    }
    return (input - extent) / stride + 1
  }

  /// A convolution of so many of the groups.
  func of(groups count: Int) throws(CNNError) -> ConvolutionGeometry {
    if count == groups { return self }
    return try ConvolutionGeometry(
      batch: batch, inputHeight: inputHeight, inputWidth: inputWidth, inputChannels: count * groupInputChannels,
      outputChannels: count * groupOutputChannels, kernelHeight: kernelHeight, kernelWidth: kernelWidth,
      strideHeight: strideHeight, strideWidth: strideWidth, dilationHeight: dilationHeight,
      dilationWidth: dilationWidth, padTop: padTop, padLeft: padLeft, padBottom: padBottom, padRight: padRight,
      groups: count)
  }

  /// Input channels that one output channel reads.
  public var groupInputChannels: Int { inputChannels / groups }
  /// Output channels of one group.
  public var groupOutputChannels: Int { outputChannels / groups }
  /// Number of floats of the input.
  public var inputCount: Int { batch * inputHeight * inputWidth * inputChannels }
  /// Number of floats of the output.
  public var outputCount: Int { batch * outputHeight * outputWidth * outputChannels }
  /// Number of floats of the kernel.
  public var weightCount: Int { kernelHeight * kernelWidth * groupInputChannels * outputChannels }
  /// Multiplications and additions of the forward pass, and of each of the two gradients.
  public var operationCount: Int { 2 * batch * outputHeight * outputWidth * weightCount }

  /// Every channel is convolved by itself.
  var isDepthwise: Bool { groupInputChannels == 1 && groups > 1 }

  /// The convolution is one matrix product over pixels (of each group).
  public var isPointwise: Bool {
    kernelHeight == 1 && kernelWidth == 1 && strideHeight == 1 && strideWidth == 1 && padTop == 0 && padLeft == 0
      && padBottom == 0 && padRight == 0
  }

  /// The walk over input rows.
  var rowAxis: ConvolutionAxis {
    ConvolutionAxis(
      sourceCount: inputHeight, outputCount: outputHeight, tapCount: kernelHeight, stride: strideHeight,
      dilation: dilationHeight, padding: padTop)
  }

  /// The walk over input columns.
  var columnAxis: ConvolutionAxis {
    ConvolutionAxis(
      sourceCount: inputWidth, outputCount: outputWidth, tapCount: kernelWidth, stride: strideWidth,
      dilation: dilationWidth, padding: padLeft)
  }
}
