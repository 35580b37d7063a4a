import CNNCore

/// What the chunks of a PNG file say (PNG specification, third edition, section 5), before anything is decoded: whether
/// all of it is there, and which of them the decoder has to see.
struct PNGStructure {
  static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  private(set) var height = 0, width = 0
  /// Whether there is colour, and whether each pixel has an alpha of its own.
  private(set) var hasColor = false, hasAlphaChannel = false
  private(set) var orientation = ExifOrientation.upright

  /// Where the chunks are that make the picture, with their lengths, types and check sums.
  private(set) var essential: [Range<Int>] = []
  /// Where it is told which colours are transparent.
  private var transparency: Range<Int>?

  /// Whether pixels may be transparent.
  var hasAlpha: Bool { hasAlphaChannel || transparency != nil }

  private var bitsPerPixel = 0
  private var dataByteCount = 0
  private var hasExif = false

  /// The length, type and check sum of a chunk.
  private static let chunkOverhead = 12

  /// Deflate makes 258 bytes of two bits at most (RFC 1951).
  private static let largestExpansion = 1032

  /// Walks through all chunks up to the last, IEND; what comes after it does not count.
  /// - Throws: `.malformedFile`.
  init(_ bytes: UnsafeRawBufferPointer) throws(CNNError) {
    let reader = ByteReader(bytes)
    var position = Self.signature.count
    while true {
      guard let length = reader.integer32(position), let type = reader.integer32(position + 4),
        let data = reader.slice(position + 8..<position + 8 + length),
        reader.count - position - Self.chunkOverhead >= length
      else {
        throw CNNError(.malformedFile, "it ends after \(reader.count) bytes, before its last chunk")
      }
      let chunk = position..<position + Self.chunkOverhead + length
      position = chunk.upperBound
      guard (type == Self.name("IHDR")) == essential.isEmpty else {
        throw CNNError(.malformedFile, "its header (IHDR) is not the first chunk")
      }
      switch type {
      case Self.name("IHDR"):
        try readHeader(ByteReader(data))
        essential.append(chunk)
      case Self.name("PLTE"):
        essential.append(chunk)
      case Self.name("IDAT"):
        dataByteCount += length
        essential.append(chunk)
      case Self.name("IEND"):
        essential.append(chunk)
        try checkWhole()
        return
      case Self.name("tRNS"):
        transparency = transparency ?? chunk
      case Self.name("eXIf"):
        if !hasExif { orientation = ExifOrientation(tiff: data) }
        hasExif = true
      default:
        // A small first letter says that the picture can be shown without the chunk.
        guard type & 0x2000_0000 != 0 else {
          let name = String(decoding: (0..<4).map { UInt8(type >> (24 - 8 * $0) & 0xFF) }, as: UTF8.self)
          throw CNNError(.malformedFile, "its chunk '\(name)' is not of the PNG standard, but necessary")
        }
      }
    }
  }

  private static func name(_ text: StaticString) -> Int {
    text.withUTF8Buffer { $0.reduce(0) { $0 << 8 | Int($1) } }
  }

  private mutating func readHeader(_ reader: ByteReader) throws(CNNError) {
    guard reader.count == 13, let width = reader.integer32(0), let height = reader.integer32(4),
      let depth = reader.byte(8), let colorType = reader.byte(9)
    else { throw CNNError(.malformedFile, "its header (IHDR) has \(reader.count) bytes; expected 13") }
    guard width > 0, height > 0 else {
      throw CNNError(.malformedFile, "its header gives the size \(width) x \(height); expected 1 x 1 or more")
    }
    try checkPictureSize(height: height, width: width)
    // The colour type's bits: 1 palette, 2 colour, 4 alpha.
    guard [1, 2, 4, 8, 16].contains(depth), [0, 2, 3, 4, 6].contains(colorType) else {
      throw CNNError(
        .malformedFile, "its header gives the bit depth \(depth) and the colour type \(colorType), which do not exist")
    }
    hasColor = colorType & 2 != 0
    hasAlphaChannel = colorType & 4 != 0
    let channels = colorType == 3 ? 1 : (hasColor ? 3 : 1) + (hasAlphaChannel ? 1 : 0)
    bitsPerPixel = channels * depth
    (self.height, self.width) = (height, width)
  }

  /// Throws where the compressed data cannot be as many pixels, whatever it is.
  private func checkWhole() throws(CNNError) {
    let needed = width * height / 8 * bitsPerPixel
    guard dataByteCount >= needed / Self.largestExpansion else {
      throw CNNError(
        .malformedFile, "its \(dataByteCount) bytes of data are too few for a picture of \(width) x \(height) pixels")
    }
  }

  /// The file without all that is not the picture itself: times, texts, colour profiles, gamma.
  func copyingEssentials(of bytes: UnsafeRawBufferPointer, withTransparency: Bool) throws(CNNError) -> Memory {
    var chunks = essential
    if withTransparency, let transparency, let data = chunks.firstIndex(where: { isData($0, bytes) }) {
      chunks.insert(transparency, at: data)
    }
    let total = chunks.reduce(Self.signature.count) { $0 + $1.count }
    let copy = try Memory(byteCount: total, for: "a PNG file")
    copy.base.copyMemory(from: Self.signature, byteCount: Self.signature.count)
    var position = Self.signature.count
    for chunk in chunks {
      let source = UnsafeRawBufferPointer(rebasing: bytes[chunk])
      if let base = source.baseAddress { (copy.base + position).copyMemory(from: base, byteCount: source.count) }
      position += source.count
    }
    return copy
  }

  private func isData(_ chunk: Range<Int>, _ bytes: UnsafeRawBufferPointer) -> Bool {
    ByteReader(bytes).integer32(chunk.lowerBound + 4) == Self.name("IDAT")
  }
}
