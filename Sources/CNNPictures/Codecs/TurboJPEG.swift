import CImageCodecs
import CNNCore

/// libjpeg-turbo, through its interface that reports errors by codes.
struct TurboJPEG: Sendable {
  typealias Instance = UnsafeMutableRawPointer
  private typealias Begin = @convention(c) () -> Instance?
  private typealias Decompress =
    @convention(c) (
      Instance?, UnsafePointer<UInt8>?, UInt, UnsafeMutablePointer<UInt8>?, Int32, Int32, Int32, Int32, Int32
    ) -> Int32
  private typealias Code = @convention(c) (Instance?) -> Int32
  private typealias Message = @convention(c) (Instance?) -> UnsafePointer<CChar>?

  private let begin: Begin
  private let decompress: Decompress
  private let errorCode: Code
  private let errorMessage: Message
  private let end: Code

  private static let loaded = Lazy<Result<TurboJPEG, CNNError>> {
    do throws(CNNError) { return .success(try TurboJPEG()) } catch { return .failure(error) }
  }

  static let name = "libturbojpeg.so.0"

  /// The library of this machine.
  /// - Throws: `.invalidState` naming the Debian package where there is none.
  static func library() throws(CNNError) -> TurboJPEG { try loaded.value.get() }

  private init() throws(CNNError) {
    let library = try SharedLibrary(Self.name, package: "libturbojpeg0", purpose: "reading JPEG pictures")
    begin = try library.function("tjInitDecompress", as: Begin.self)
    decompress = try library.function("tjDecompress2", as: Decompress.self)
    errorCode = try library.function("tjGetErrorCode", as: Code.self)
    errorMessage = try library.function("tjGetErrorStr2", as: Message.self)
    end = try library.function("tjDestroy", as: Code.self)
  }

  /// Decodes a file whose structure is known.
  /// - Parameters:
  ///   - layout: one of `JPEG_RGB`, `JPEG_GREY` and `JPEG_CMYK`.
  ///   - pixels: room for `height * rowByteCount` bytes.
  ///   - height, width: the file's, or what `ReducedSize` makes of them: the decoder then gives that part of the size.
  /// - Throws: `.malformedFile` with the library's message, `.outOfMemory`.
  func decode(
    _ bytes: UnsafeRawBufferPointer, layout: Int, into pixels: UnsafeMutablePointer<UInt8>, height: Int, width: Int,
    rowByteCount: Int
  ) throws(CNNError) {
    guard let instance = begin() else { throw CNNError(.outOfMemory, "libjpeg-turbo could not begin to decode") }
    defer { _ = end(instance) }
    // The slow, exact transform and smooth upsampling are the defaults, as everywhere. It never writes beyond the height
    // and width given, whatever the file says.
    let status = decompress(
      instance, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt(bytes.count), pixels, Int32(width),
      Int32(rowByteCount), Int32(height), Int32(layout), Int32(JPEG_LIMIT_SCANS))
    if status == 0 || errorCode(instance) == JPEG_WARNING { return }
    let message = errorMessage(instance).map { String(cString: $0) } ?? "unknown error"
    throw CNNError(.malformedFile, "it cannot be decoded: \(message)")
  }
}
