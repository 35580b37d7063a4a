import CNNCore

/// What the segments of a JPEG file say (ITU-T T.81, annex B), before anything is decoded: whether all of it is there, and
/// whether what it wants to become is in proportion to what it has.
struct JPEGStructure {
  /// The size of the picture as it is stored.
  private(set) var height = 0, width = 0
  /// The number of components: 1 grey, 3 colour, 4 CMYK.
  private(set) var componentCount = 0
  private(set) var orientation = ExifOrientation.upright

  /// How coefficients are coded.
  private enum Coding { case huffman, progressiveHuffman, arithmetic }

  private var coding = Coding.huffman
  /// The horizontal and vertical sampling factors of each component.
  private var sampling: [(horizontal: Int, vertical: Int)] = []
  private var scanCount = 0
  private var codedByteCount = 0
  private var hasExif = false

  /// More scans than any program writes: each visits the whole picture, however few bytes it has.
  private static let maximumScanCount = 100

  /// Walks through all segments up to the end-of-image marker; what comes after it does not count.
  /// - Throws: `.malformedFile`.
  init(_ bytes: UnsafeRawBufferPointer) throws(CNNError) {
    let reader = ByteReader(bytes)
    var position = 2
    while true {
      let marker = try Self.nextMarker(reader, &position)
      switch marker {
      case 0xD9:
        try checkWhole()
        return
      case 0xD0...0xD7, 0x01:
        continue
      case 0xD8:
        throw CNNError(.malformedFile, "a second start-of-image marker is within the picture")
      default:
        break
      }
      guard let length = reader.integer16(position), length >= 2,
        let segment = reader.slice(position + 2..<max(position + length, position + 2))
      else { throw Self.truncated(reader) }
      position += length
      switch marker {
      case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF:
        try readFrame(ByteReader(segment), process: marker - 0xC0)
      case 0xE1:
        readExif(segment)
      case 0xDA:
        try beginScan()
        let end = Self.endOfScan(reader, from: position)
        codedByteCount += end - position
        position = end
      default:
        break
      }
    }
  }

  private static func truncated(_ reader: ByteReader) -> CNNError {
    CNNError(.malformedFile, "it ends after \(reader.count) bytes, before its end-of-image marker")
  }

  /// The next marker, past bytes that belong to nothing, as libjpeg looks for it.
  private static func nextMarker(_ reader: ByteReader, _ position: inout Int) throws(CNNError) -> Int {
    while let start = reader.offset(of: 0xFF, from: position) {
      position = start + 1
      while let byte = reader.byte(position) {
        position += 1
        if byte == 0xFF { continue }
        if byte != 0 { return byte }
        break
      }
    }
    throw truncated(reader)
  }

  /// Where the coded data of a scan ends: at the next marker that is not one of its own.
  private static func endOfScan(_ reader: ByteReader, from start: Int) -> Int {
    var position = start
    while let mark = reader.offset(of: 0xFF, from: position) {
      guard let next = reader.byte(mark + 1) else { return reader.count }
      switch next {
      case 0, 0xD0...0xD7: position = mark + 2
      case 0xFF: position = mark + 1
      default: return mark
      }
    }
    return reader.count
  }

  private mutating func readFrame(_ reader: ByteReader, process: Int) throws(CNNError) {
    guard componentCount == 0 else { throw CNNError(.malformedFile, "it has two frame headers") }
    switch process {
    case 0, 1: coding = .huffman
    case 2: coding = .progressiveHuffman
    case 9, 10: coding = .arithmetic
    default: throw CNNError(.malformedFile, "it is a lossless or hierarchical JPEG (SOF\(process)); expected another")
    }
    guard let precision = reader.byte(0), let height = reader.integer16(1), let width = reader.integer16(3),
      let count = reader.byte(5), reader.count >= 6 + 3 * count
    else { throw CNNError(.malformedFile, "its frame header has only \(reader.count) bytes") }
    guard precision == 8 else {
      throw CNNError(.malformedFile, "it has \(precision) bits a component; expected 8")
    }
    guard height > 0, width > 0 else {
      throw CNNError(.malformedFile, "its frame header gives the size \(width) x \(height); expected 1 x 1 or more")
    }
    guard [1, 3, 4].contains(count) else {
      throw CNNError(.malformedFile, "it has \(count) components; expected 1, 3 or 4")
    }
    for component in 0..<count {
      let factors = reader.byte(7 + 3 * component) ?? 0
      let (horizontal, vertical) = (factors >> 4, factors & 15)
      guard (1...4).contains(horizontal), (1...4).contains(vertical) else {
        throw CNNError(.malformedFile, "a component is sampled by \(horizontal) x \(vertical); expected 1 to 4 each")
      }
      sampling.append((horizontal, vertical))
    }
    try checkPictureSize(height: height, width: width)
    (self.height, self.width, componentCount) = (height, width, count)
  }

  /// The first segment with Exif data counts.
  private mutating func readExif(_ segment: UnsafeRawBufferPointer) {
    let beginning: [UInt8] = [0x45, 0x78, 0x69, 0x66, 0, 0]  // "Exif", twice zero
    guard !hasExif, ByteReader(segment).has(beginning, at: 0) else { return }
    hasExif = true
    orientation = ExifOrientation(tiff: UnsafeRawBufferPointer(rebasing: segment[beginning.count...]))
  }

  private mutating func beginScan() throws(CNNError) {
    guard componentCount > 0 else { throw CNNError(.malformedFile, "a scan comes before the frame header") }
    scanCount += 1
    guard scanCount <= Self.maximumScanCount else {
      throw CNNError(.malformedFile, "it has more than \(Self.maximumScanCount) scans")
    }
  }

  /// Throws where there is no picture, or the coded data is shorter than the shortest that a picture of this size can
  /// have: libjpeg would make up the rest of a picture of gigabytes.
  private func checkWhole() throws(CNNError) {
    guard scanCount > 0 else { throw CNNError(.malformedFile, "it ends before the first scan") }
    let horizontal = sampling.map(\.horizontal).max() ?? 1, vertical = sampling.map(\.vertical).max() ?? 1
    let blocks = sampling.reduce(0) { sum, component in
      let columns = (width * component.horizontal + 8 * horizontal - 1) / (8 * horizontal)
      return sum + columns * ((height * component.vertical + 8 * vertical - 1) / (8 * vertical))
    }
    let isEnough =
      switch coding {
      // A bit for the mean of a block and one for the end of the block.
      case .huffman: codedByteCount * 8 >= 2 * blocks
      // The means' first scan; all else may be skipped in runs.
      case .progressiveHuffman: codedByteCount * 8 >= blocks
      // Has no shortest; this is a thirtieth of what a white page takes by the other codings.
      case .arithmetic: width * height <= 1 << 20 + codedByteCount * 4096
      }
    guard isEnough else {
      throw CNNError(
        .malformedFile, "its \(codedByteCount) bytes of data are too few for a picture of \(width) x \(height) pixels")
    }
  }
}

/// Throws where a file asks for more pixels than are ever read, before there is memory for them.
func checkPictureSize(height: Int, width: Int) throws(CNNError) {
  guard height <= Picture.maximumPixelCount / width else {
    throw CNNError(
      .malformedFile,
      "its size is \(width) x \(height); expected \(Picture.maximumPixelCount) pixels at most")
  }
}
