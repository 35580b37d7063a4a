/// How a picture has to be turned to stand upright, as cameras note it (Exif 2.32, tag 0x0112).
public enum ExifOrientation: Int, Sendable, CaseIterable {
  /// As it is.
  case upright = 1
  /// Mirrored left to right.
  case mirrored
  /// To be turned by half a turn.
  case upsideDown
  /// Mirrored top to bottom.
  case flipped
  /// Rows and columns exchanged.
  case transposed
  /// To be turned clockwise by a quarter of a turn.
  case turnedLeft
  /// Rows and columns exchanged about the other diagonal.
  case transversed
  /// To be turned counterclockwise by a quarter of a turn.
  case turnedRight

  /// Whether height and width are exchanged.
  var exchangesAxes: Bool { rawValue >= 5 }

  /// Reads it from Exif data, which is a TIFF file: its byte order, and where the list of tags is. Damaged data and
  /// unknown values are upright: the picture itself is there.
  init(tiff bytes: UnsafeRawBufferPointer) {
    self = Self.read(ByteReader(bytes)) ?? .upright
  }

  private static func read(_ reader: ByteReader) -> ExifOrientation? {
    let littleEndian = reader.has([0x49, 0x49, 0x2A, 0], at: 0)
    guard littleEndian || reader.has([0x4D, 0x4D, 0, 0x2A], at: 0),
      let start = reader.integer32(4, littleEndian: littleEndian),
      let count = reader.integer16(start, littleEndian: littleEndian)
    else { return nil }
    for entry in 0..<count {
      // Tag, type, count, and the value where it fits 4 bytes.
      let offset = start + 2 + entry * 12
      guard let tag = reader.integer16(offset, littleEndian: littleEndian),
        let type = reader.integer16(offset + 2, littleEndian: littleEndian)
      else { return nil }
      guard tag == 0x0112 else { continue }
      let value =
        switch type {
        case 1: reader.byte(offset + 8)
        case 3: reader.integer16(offset + 8, littleEndian: littleEndian)
        case 4: reader.integer32(offset + 8, littleEndian: littleEndian)
        default: Int?.none
        }
      return value.flatMap { ExifOrientation(rawValue: $0) }
    }
    return nil
  }
}
