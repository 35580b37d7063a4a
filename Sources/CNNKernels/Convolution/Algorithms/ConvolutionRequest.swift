import CNNCore
import CNNRuntime

/// How an image lies in memory that a convolution reads.
public enum ConvolutionInput: Hashable, Sendable {
  case blocked
  /// Blocked, with a border of zeros that is at least as wide as the convolution's; for products.
  case padded(BlockedTensor.Border)
  /// NHWC: the few channels of a picture.
  case picture(ImageInput.Element)
}

/// What a convolution on images in blocks of channels is planned for.
public struct ConvolutionRequest: Sendable {
  /// The sizes.
  public var geometry: ConvolutionGeometry
  /// How the image lies in memory.
  public var input: ConvolutionInput
  /// What follows in the same pass over memory.
  public var epilogue: Epilogue
  /// Whether the results are also summed over the pixels of each image.
  public var accumulatesSum: Bool
  /// How the weight lies; nil for `[output, input / groups, height, width]`.
  public var filterOrder: FilterOrder?
  /// The products that the mask of a sparse weight leaves; nil where the weight has none.
  public var sparseFilter: SparseFilter?
  /// The pixels to which the results go; nil for a tensor of just these.
  public var places: PixelGrid?
  /// The types of the numbers of an image in blocks, and of the result.
  public var inputElement = ElementType.float32, outputElement = ElementType.float32
  /// What the work is divided among.
  public var workers: Workers

  /// A convolution of one image in blocks, which nothing follows, unless told otherwise.
  public init(
    _ geometry: ConvolutionGeometry, input: ConvolutionInput = .blocked, epilogue: Epilogue = Epilogue(),
    accumulatesSum: Bool = false, filterOrder: FilterOrder? = nil, places: PixelGrid? = nil, workers: Workers
  ) {
    (self.geometry, self.input, self.epilogue) = (geometry, input, epilogue)
    (self.accumulatesSum, self.filterOrder, self.places) = (accumulatesSum, filterOrder, places)
    self.workers = workers
  }

  /// The image in blocks of channels.
  var blockedInput: BlockedTensor { geometry.blockedInput.with(element: inputElement) }
  /// The pixels to which the results go.
  var outputGrid: PixelGrid { places ?? PixelGrid(geometry.blockedOutput.with(element: outputElement)) }

  /// The channels of the largest block of the image or the result, in which groups begin that are products.
  var productBlockChannels: Int { max(blockedInput.channelsPerBlock, outputGrid.tensor.channelsPerBlock) }

  /// What tells the filter's order from that for images of float32.
  public var elementSuffix: String {
    elementRefusal == nil ? "" : " of \(inputElement.rawValue) to \(outputElement.rawValue)"
  }

  /// Why an algorithm that reads and writes float32 alone does not take it; nil where it may.
  var elementRefusal: String? {
    inputElement == .float32 && outputElement == .float32 ? nil : "it reads and writes float32 alone"
  }
}

extension ConvolutionInput {
  /// The images, where they are NHWC.
  func picture(_ geometry: ConvolutionGeometry) -> ImageInput? {
    if case .picture(let element) = self { ImageInput(element, geometry) } else { nil }
  }

  /// Whether the image is in blocks of channels.
  public var isInBlocks: Bool { if case .picture = self { false } else { true } }

  /// The border that the image comes with.
  var border: BlockedTensor.Border? { if case .padded(let border) = self { border } else { nil } }

  /// Why the border with which the image comes is not enough for a convolution; nil where it is, or none comes.
  func borderRefusal(_ g: ConvolutionGeometry) -> String? {
    border.map { $0.contains(g.border) } ?? true ? nil : "the image's border is narrower than the padding"
  }
}

extension ConvolutionGeometry {
  /// Whether every channel has a filter of its own, which gives one channel.
  public var isChannelwise: Bool { groups > 1 && groups == inputChannels && outputChannels == inputChannels }

  /// Why it is no product of matrices, in a few words; nil where it is one or several.
  var productRefusal: String? {
    isChannelwise ? "every channel has a filter of its own, which is no product" : nil
  }

  /// The image in blocks of channels.
  var blockedInput: BlockedTensor {
    BlockedTensor(images: batch, height: inputHeight, width: inputWidth, channels: inputChannels)
  }

  /// The result in blocks of channels.
  var blockedOutput: BlockedTensor {
    BlockedTensor(images: batch, height: outputHeight, width: outputWidth, channels: outputChannels)
  }

  /// The zeros around the image.
  public var border: BlockedTensor.Border {
    BlockedTensor.Border(top: padTop, left: padLeft, bottom: padBottom, right: padRight)
  }

  /// The pixels of all results.
  var outputPixels: Int { batch * outputHeight * outputWidth }
  /// The numbers of a filter for each pair of channels.
  var taps: Int { kernelHeight * kernelWidth }
  /// Multiplications and additions of so many products for each pair of channels.
  func operations(products: Int) -> Int { 2 * products * outputChannels * groupInputChannels }
}
