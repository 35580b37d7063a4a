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

  /// The library of the system that decodes it.
  public var libraryName: String {
    switch self {
    case .jpeg: TurboJPEG.name
    case .png: LibPNG.name
    }
  }

  /// Opens the library of the system that decodes it, which otherwise the first picture does.
  /// - Throws: `.invalidState` naming the Debian package where there is none.
  public func openLibrary() throws(CNNError) {
    switch self {
    case .jpeg: _ = try TurboJPEG.library()
    case .png: _ = try LibPNG.library()
    }
  }

  private static func described(_ reader: ByteReader) -> String {
    let start = UnsafeRawBufferPointer(rebasing: reader.bytes.prefix(FileSignature.byteCount))
    if let name = FileSignature.name(of: start) { return "it is \(name)" }
    let first = (0..<min(4, reader.count)).compactMap { reader.byte($0) }
    let hexadecimal = first.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    return "it begins with the bytes \(hexadecimal)"
  }
}
