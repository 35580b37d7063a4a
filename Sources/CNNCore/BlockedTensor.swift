/// Where the numbers of a batch of images lie inside a plan: 64 bytes of channels side by side, 16 of float32, then pixels,
/// then images, then the next channels.
///
/// A pixel's channels of a block are one cache line, so every generated kernel reads whole lines whatever the number of channels,
/// and the pixels of one block of channels follow each other without the long strides at which NHWC rows fall into the
/// same few cache sets. What lies in the lanes behind the last channel is not specified.
public struct BlockedTensor: Hashable, Sendable {
  /// The images of the batch.
  public let images: Int
  /// Rows and columns of an image, without the border.
  public let height, width: Int
  /// The channels that mean something.
  public let channels: Int
  /// Rows and columns of zeros around each image.
  public let border: Border
  /// The type of a number.
  public let element: ElementType

  /// A frame of zeros around an image, in pixels.
  public struct Border: Hashable, Sendable {
    /// Rows above and below, columns on the left and on the right.
    public var top = 0, left = 0, bottom = 0, right = 0

    /// A frame of these widths.
    public init(top: Int = 0, left: Int = 0, bottom: Int = 0, right: Int = 0) {
      (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
    }

    /// No frame.
    public static let none = Border()

    /// Whether it is at least as wide as another one on all sides.
    public func contains(_ other: Border) -> Bool { union(other) == self }

    /// The narrowest one that is at least as wide as both on all sides.
    public func union(_ other: Border) -> Border {
      Border(
        top: max(top, other.top), left: max(left, other.left), bottom: max(bottom, other.bottom),
        right: max(right, other.right))
    }
  }

  /// Channels of float32 in a block.
  public static let blockChannels = 16
  /// Bytes of one pixel of one block.
  public static let pixelByteCount = 64

  /// The tensor of these sizes.
  public init(
    images: Int, height: Int, width: Int, channels: Int, border: Border = .none, element: ElementType = .float32
  ) {
    (self.images, self.height, self.width, self.channels) = (images, height, width, channels)
    (self.border, self.element) = (border, element)
  }

  /// Channels in a block.
  public var channelsPerBlock: Int { Self.pixelByteCount / element.byteCount }
  /// The number of blocks of channels.
  public var blocks: Int { (channels + channelsPerBlock - 1) / channelsPerBlock }
  /// Rows of an image with its border.
  public var paddedHeight: Int { height + border.top + border.bottom }
  /// Columns of an image with its border.
  public var paddedWidth: Int { width + border.left + border.right }
  /// The pixels of one block, border included.
  public var pixels: Int { images * paddedHeight * paddedWidth }

  /// Bytes from a row to the next.
  public var rowByteCount: Int { paddedWidth * Self.pixelByteCount }
  /// Bytes from an image to the next, in the same block.
  public var imageByteCount: Int { paddedHeight * rowByteCount }

  /// Pixels from a block to the next: those of the block and a few more, so that blocks do not begin at the same place of
  /// the 4 KiB after which addresses share the sets of the first cache.
  public var blockPixels: Int {
    if blocks == 1 || pixels < 32 { return pixels }
    let period = 64, offset = 18
    return pixels + (period - (pixels - offset) % period) % period
  }
  /// Bytes from a block to the next.
  public var blockByteCount: Int { blockPixels * Self.pixelByteCount }
  /// Bytes of all.
  public var byteCount: Int { blocks * blockByteCount }
  /// Bytes from the first one to pixel (0, 0) of the first image.
  public var originByteOffset: Int { border.top * rowByteCount + border.left * Self.pixelByteCount }

  /// Bytes from the first one to an image of a block.
  public func byteOffset(image: Int, block: Int) -> Int { block * blockByteCount + image * imageByteCount }

  /// Bytes from the first one to a channel of the same pixel.
  public func byteOffset(channel: Int) -> Int {
    channel / channelsPerBlock * blockByteCount + channel % channelsPerBlock * element.byteCount
  }

  /// One pixel for each image: its means, sums or factors.
  public var onePixel: BlockedTensor {
    BlockedTensor(images: images, height: 1, width: 1, channels: channels, element: element)
  }

  /// The same images with another border.
  public func with(border: Border) -> BlockedTensor {
    BlockedTensor(
      images: images, height: height, width: width, channels: channels, border: border, element: element)
  }

  /// The same images of numbers of another type.
  public func with(element: ElementType) -> BlockedTensor {
    BlockedTensor(images: images, height: height, width: width, channels: channels, border: border, element: element)
  }

  /// The same images with another number of channels.
  public func with(channels: Int) -> BlockedTensor {
    BlockedTensor(
      images: images, height: height, width: width, channels: channels, border: border, element: element)
  }
}
