/// What a file is by its first bytes: the formats that come to hand where weights, networks and pictures are kept.
public enum FileSignature {
  /// How many bytes tell.
  public static let byteCount = 512

  /// The format of a file that begins so, with its article, as "a GIF picture"; nil for one that is not known.
  public static func name(of start: UnsafeRawBufferPointer) -> String? {
    if start.isEmpty { return "empty" }
    for row in rows where has(row.bytes, at: row.offset, in: start) { return row.name }
    return protocolBuffer(start) ?? text(start)
  }

  private static let rows: [(name: String, bytes: [UInt8], offset: Int)] =
    [
      ("a zip archive", [0x50, 0x4B, 0x03, 0x04], 0), ("an empty zip archive", [0x50, 0x4B, 0x05, 0x06], 0),
      ("an HDF5 file", [0x89, 0x48, 0x44, 0x46], 0), ("a JPEG picture", [0xFF, 0xD8, 0xFF], 0),
      ("a PNG picture", [0x89, 0x50, 0x4E, 0x47], 0), ("a gzip archive", [0x1F, 0x8B], 0),
      ("a Zstandard archive", [0x28, 0xB5, 0x2F, 0xFD], 0), ("an xz archive", [0xFD, 0x37, 0x7A, 0x58, 0x5A], 0),
      ("a 7z archive", [0x37, 0x7A, 0xBC, 0xAF], 0), ("a NumPy array (.npy)", [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59], 0),
      ("a pickle", [0x80, 2], 0), ("a pickle", [0x80, 3], 0), ("a pickle", [0x80, 4], 0), ("a pickle", [0x80, 5], 0),
      ("a program", [0x7F, 0x45, 0x4C, 0x46], 0),
    ]
    + [
      ("a GIF picture", "GIF8", 0), ("a WebP picture", "WEBP", 8), ("a BMP picture", "BM", 0),
      ("a TIFF picture", "II*\0", 0), ("a TIFF picture", "MM\0*", 0), ("a HEIC or AVIF picture or a video", "ftyp", 4),
      ("a JPEG 2000 picture", "jP  ", 4), ("a JPEG XL picture", "JXL ", 4), ("a PDF", "%PDF", 0),
      ("a bzip2 archive", "BZh", 0), ("a RAR archive", "Rar!", 0), ("a tar archive", "ustar", 257),
      ("a TensorFlow Lite model", "TFL3", 4), ("a GGUF model", "GGUF", 0),
      ("a Git LFS pointer: the file itself was not fetched (git lfs pull)", "version https://git-lfs", 0),
    ].map { (name: $0.0, bytes: Array($0.1.utf8), offset: $0.2) }

  private static func has(_ bytes: [UInt8], at offset: Int, in start: UnsafeRawBufferPointer) -> Bool {
    start.count >= offset + bytes.count && start[offset...].starts(with: bytes)
  }

  /// ONNX and TensorFlow have no signature, but their first fields: a number, the version, and then a text; or a node.
  private static func protocolBuffer(_ start: UnsafeRawBufferPointer) -> String? {
    guard start.count >= 4 else { return nil }
    if start[0] == 0x08, (1...31).contains(start[1]), [0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42].contains(start[2]) {
      // The first field of a SavedModel's graph is longer than the name of a program that writes ONNX.
      if start[1] == 1, start[2] == 0x12, start[3] >= 0x80 { return "a TensorFlow SavedModel" }
      return "an ONNX model"
    }
    return start[0] == 0x0A && start[2] == 0x0A ? "a TensorFlow graph" : nil
  }

  private static func text(_ start: UnsafeRawBufferPointer) -> String? {
    // A character of several bytes may be cut at the end; other texts than UTF-8 are not told.
    let isText = start.allSatisfy { $0 >= 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D || $0 == 0x0C }
    guard isText, String(validating: whole(start), as: UTF8.self) != nil else { return nil }
    let content = start.drop { $0 <= 0x20 || [0xEF, 0xBB, 0xBF].contains($0) }
    func begins(_ word: String) -> Bool {
      zip(content, word.utf8).allSatisfy { $0 == $1 || $0 | 0x20 == $1 } && content.count >= word.utf8.count
    }
    if begins("<!doctype html") || begins("<html") || begins("<head") {
      return "an HTML page, as a download gives instead of a file where it is refused"
    }
    if begins("<svg") { return "an SVG drawing" }
    if begins("<net") || begins("<?xml") { return "an XML file, as OpenVINO's networks are" }
    if begins("<") { return "an SVG or XML file" }
    if begins("{") || begins("[") { return "a JSON file" }
    return "a text file"
  }

  /// The bytes without a last character that may be cut.
  private static func whole(_ start: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    guard start.count >= byteCount else { return start }
    var end = start.count
    while end > start.count - 4, end > 0, start[end - 1] & 0xC0 == 0x80 { end -= 1 }
    if end > 0, start[end - 1] >= 0xC0 { end -= 1 }
    return UnsafeRawBufferPointer(rebasing: start[..<end])
  }
}
