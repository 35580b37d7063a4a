import Glibc

/// Numbers at offsets into bytes that nobody has checked: what lies outside is nil.
struct ByteReader {
  let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var count: Int { bytes.count }

  func byte(_ offset: Int) -> Int? {
    offset >= 0 && offset < bytes.count ? Int(bytes[offset]) : nil
  }

  func integer16(_ offset: Int, littleEndian: Bool = false) -> Int? {
    guard let first = byte(offset), let second = byte(offset &+ 1) else { return nil }
    return littleEndian ? second << 8 | first : first << 8 | second
  }

  func integer32(_ offset: Int, littleEndian: Bool = false) -> Int? {
    guard let first = integer16(offset, littleEndian: littleEndian),
      let second = integer16(offset &+ 2, littleEndian: littleEndian)
    else { return nil }
    return littleEndian ? second << 16 | first : first << 16 | second
  }

  /// The bytes in a range; nil where it is not within.
  func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer? {
    guard range.lowerBound >= 0, range.upperBound <= bytes.count else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[range])
  }

  /// Whether these bytes are at `offset`.
  func has(_ wanted: [UInt8], at offset: Int) -> Bool {
    guard offset >= 0, offset <= bytes.count, bytes.count - offset >= wanted.count else { return false }
    return wanted.indices.allSatisfy { bytes[offset + $0] == wanted[$0] }
  }

  /// Where `value` is next, from `offset` on; nil if nowhere.
  func offset(of value: UInt8, from offset: Int) -> Int? {
    guard let base = bytes.baseAddress, offset >= 0, offset < bytes.count,
      let found = memchr(base + offset, Int32(value), bytes.count - offset)
    else { return nil }
    return base.distance(to: UnsafeRawPointer(found))
  }
}
