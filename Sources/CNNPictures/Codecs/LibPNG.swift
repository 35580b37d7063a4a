import CImageCodecs
import CNNCore

/// libpng, through its simplified interface, which returns where something fails.
struct LibPNG: Sendable {
  private typealias Begin = @convention(c) (UnsafeMutablePointer<png_picture>?, UnsafeRawPointer?, Int) -> Int32
  private typealias Finish =
    @convention(c) (
      UnsafeMutablePointer<png_picture>?, UnsafeRawPointer?, UnsafeMutableRawPointer?, Int32, UnsafeMutableRawPointer?
    ) -> Int32
  private typealias Free = @convention(c) (UnsafeMutablePointer<png_picture>?) -> Void

  private let begin: Begin
  private let finish: Finish
  private let free: Free

  private static let loaded = Lazy<Result<LibPNG, CNNError>> {
    do throws(CNNError) { return .success(try LibPNG()) } catch { return .failure(error) }
  }

  static let name = "libpng16.so.16"

  /// The library of this machine.
  /// - Throws: `.invalidState` naming the Debian package where there is none.
  static func library() throws(CNNError) -> LibPNG { try loaded.value.get() }

  private init() throws(CNNError) {
    let library = try SharedLibrary(Self.name, package: "libpng16-16", purpose: "reading PNG pictures")
    begin = try library.function("png_image_begin_read_from_memory", as: Begin.self)
    finish = try library.function("png_image_finish_read", as: Finish.self)
    free = try library.function("png_image_free", as: Free.self)
  }

  /// Decodes a file whose structure is known.
  /// - Parameters:
  ///   - layout: one of `PNG_PICTURE_GREY`, `PNG_PICTURE_RGB` and `PNG_PICTURE_RGBA`.
  ///   - pixels: room for `height * rowByteCount` bytes.
  /// - Throws: `.malformedFile` with the library's message.
  func decode(
    _ bytes: UnsafeRawBufferPointer, layout: Int, into pixels: UnsafeMutablePointer<UInt8>, height: Int, width: Int,
    rowByteCount: Int
  ) throws(CNNError) {
    var picture = png_picture()
    picture.version = UInt32(PNG_PICTURE_VERSION)
    defer { free(&picture) }
    guard begin(&picture, bytes.baseAddress, bytes.count) != 0 else { throw Self.error(picture) }
    guard Int(picture.width) == width, Int(picture.height) == height else {
      throw CNNError(.internalFault, "libpng reads a size of \(picture.width) x \(picture.height) in the header")
    }
    picture.format = UInt32(layout)
    picture.flags |= UInt32(PNG_PICTURE_16_BITS_ARE_SRGB)
    guard finish(&picture, nil, pixels, Int32(rowByteCount), nil) != 0 else { throw Self.error(picture) }
  }

  private static func error(_ picture: png_picture) -> CNNError {
    let message = withUnsafeBytes(of: picture.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return CNNError(.malformedFile, "it cannot be decoded: \(message)")
  }
}
