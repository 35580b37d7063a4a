import CNNCore

/// A picture in memory: uint8 pixels `[height, width, channels]`, row after row.
public struct Picture: Sendable {
  /// The number of rows.
  public let height: Int
  /// The number of pixels in a row.
  public let width: Int
  /// The numbers of a pixel: 1 (grey), 3 (red, green, blue) or 4 (and alpha).
  public let channels: Int
  private let memory: Memory

  /// The largest number of pixels that is read or made: a quarter of a gigabyte at 24 bits, Pillow's limit too.
  public static let maximumPixelCount = 178_956_970

  /// What may be read beyond the last pixel, so that kernels can load whole words.
  static let slack = 16

  /// A black picture.
  /// - Throws: `.invalidArgument` for a size below 1, more pixels than `maximumPixelCount`, or channels that are not 1, 3
  ///   or 4; `.outOfMemory`.
  public init(height: Int, width: Int, channels: Int) throws(CNNError) {
    guard height >= 1, width >= 1, height <= Self.maximumPixelCount / width else {
      throw CNNError(
        .invalidArgument,
        "the picture is \(width) x \(height) pixels; expected 1 x 1 or more, and \(Self.maximumPixelCount) at most")
    }
    guard [1, 3, 4].contains(channels) else {
      throw CNNError(.invalidArgument, "the picture has \(channels) channels; expected 1, 3 or 4")
    }
    (self.height, self.width, self.channels) = (height, width, channels)
    memory = try Memory(byteCount: height * width * channels + Self.slack, for: "a picture of \(width) x \(height)")
  }

  /// A copy of pixels that lie row after row.
  /// - Parameter pixels: `height * width * channels` bytes.
  public init(copying pixels: UnsafeRawPointer, height: Int, width: Int, channels: Int) throws(CNNError) {
    try self.init(height: height, width: width, channels: channels)
    memory.base.copyMemory(from: pixels, byteCount: byteCount)
  }

  /// The size of the pixels in bytes.
  public var byteCount: Int { height * width * channels }

  /// The length of a row in bytes.
  var rowByteCount: Int { width * channels }

  /// The first pixel; valid as long as the picture is. Whoever made the picture may write while nobody else has it.
  var base: UnsafeMutablePointer<UInt8> { memory.base.assumingMemoryBound(to: UInt8.self) }

  /// Calls `body` with the pixels.
  public func withPixels<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<UInt8>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withExtendedLifetime(memory) { () throws(Failure) in
      try body(UnsafeMutableBufferPointer(start: base, count: byteCount))
    }
  }
}
