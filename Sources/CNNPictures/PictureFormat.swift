import CNNCore

/// The formats of picture files that can be read.
public enum PictureFormat: String, Sendable, CaseIterable {
  /// JPEG: baseline and progressive, 8 bits; grey, colour, CMYK.
  case jpeg = "JPEG"
  /// PNG: every kind of the standard.
  case png = "PNG"

  /// The format by the first bytes; a file's name says nothing.
  /// - Throws: `.malformedFile` that names the format where it is another well-known one.
  public init(of bytes: UnsafeRawBufferPointer) throws(CNNError) {
    let reader = ByteReader(bytes)
    if reader.has([0xFF, 0xD8, 0xFF], at: 0) {
      self = .jpeg
    } else if reader.has(PNGStructure.signature, at: 0) {
      self = .png
    } else {
      throw CNNError(.malformedFile, "\(Self.described(reader)); expected a JPEG or PNG picture")
    }
  }

  private static func described(_ reader: ByteReader) -> String {
    if reader.count == 0 { return "it is empty" }
    let others: [(name: String, beginning: String, offset: Int)] = [
      ("a GIF", "GIF8", 0), ("a WebP", "WEBP", 8), ("a BMP", "BM", 0), ("a TIFF", "II*\0", 0), ("a TIFF", "MM\0*", 0),
      ("a HEIC or AVIF", "ftyp", 4), ("a JPEG 2000", "jP  ", 4), ("a JPEG XL", "JXL ", 4), ("an SVG or XML", "<", 0),
    ]
    let match = others.first { reader.has(Array($0.beginning.utf8), at: $0.offset) }
    if let match { return "it is \(match.name) file" }
    let first = (0..<min(4, reader.count)).compactMap { reader.byte($0) }
    let hexadecimal = first.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    return "it begins with the bytes \(hexadecimal)"
  }
}
