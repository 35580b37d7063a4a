import CNNCore
import CNNGraph
import struct CNNRuntime.Workers
import CNNPictures

extension Picture {
  /// The largest file that is read as a picture, in bytes: more than `maximumPixelCount` pixels take uncompressed.
  private static let maximumFileSize = 1 << 31

  /// Reads a JPEG or PNG file, whatever its name, and turns it upright by its Exif orientation.
  /// - Throws: `.inputOutput` with the system's message, `.malformedFile` saying what is wrong with the file,
  ///   `.outOfMemory`, `.invalidState` naming the Debian package where the library for the format is not there.
  public init(contentsOf path: String, as color: PictureColor = .rgb) throws(CNNError) {
    try self.init(
      reading: FileReader(path: path), as: color, workers: Workers(count: Threads.count), reduction: { _, _ in 1 })
  }

  /// Reads an open file, perhaps at a part of its size; see `init(decoding:as:workers:reduction:)`.
  init(
    reading file: FileReader, as color: PictureColor, workers: Workers,
    reduction: (_ height: Int, _ width: Int) -> Int
  ) throws(CNNError) {
    let path = file.path
    guard file.byteCount <= Self.maximumFileSize else {
      throw CNNError(
        .malformedFile, "'\(path)' has \(file.byteCount) bytes; expected \(Self.maximumFileSize) at most of a picture")
    }
    let contents = try Memory(byteCount: file.byteCount, for: "'\(path)'")
    try file.read(into: UnsafeMutableRawBufferPointer(start: contents.base, count: file.byteCount), at: 0)
    do throws(CNNError) {
      let bytes = UnsafeRawBufferPointer(start: contents.base, count: file.byteCount)
      try self.init(decoding: bytes, as: color, workers: workers, reduction: reduction)
    } catch {
      throw error.code == .malformedFile ? error.prefixed("'\(path)' is no picture that can be read") : error
    }
  }

  /// Decodes a JPEG or PNG file in memory, as `init(contentsOf:as:)` does.
  public init(decoding bytes: UnsafeRawBufferPointer, as color: PictureColor = .rgb) throws(CNNError) {
    try self.init(decoding: bytes, as: color, workers: Workers(count: Threads.count))
  }

  /// A copy of an array uint8 `[height, width, channels]`, or `[height, width]` for grey.
  /// - Throws: `.shapeMismatch` for another shape or element type.
  public init(_ pixels: TensorView) throws(CNNError) {
    let shape = pixels.shape.count == 2 ? pixels.shape + [1] : pixels.shape
    guard pixels.element == .uint8, shape.count == 3, [1, 3, 4].contains(shape[2]) else {
      throw CNNError(
        .shapeMismatch,
        "the picture is \(pixels.element) of shape \(describe(pixels.shape)); expected uint8 [height, width, channels] "
          + "with 1, 3 or 4 channels\(shape.count == 3 && [1, 3, 4].contains(shape[0]) ? ", which come last" : "")")
    }
    guard shape[0] >= 1, shape[1] >= 1 else {
      throw CNNError(.shapeMismatch, "the picture has shape \(describe(pixels.shape)): it has no pixels")
    }
    try self.init(copying: pixels.base, height: shape[0], width: shape[1], channels: shape[2])
  }

  /// The picture in another size; each byte is the one that Pillow's `Image.resize` gives.
  public func resized(height: Int, width: Int, filter: ResamplingFilter = .bilinear) throws(CNNError) -> Picture {
    try resized(height: height, width: width, filter: filter, workers: Workers(count: Threads.count))
  }
}
