import CNNCore

/// Goes through a part of a file that was read as a whole, little endian; every read is checked.
struct ByteReader {
  private let memory: Memory
  private let range: Range<Int>
  private let what: String
  /// The place of the next byte.
  private(set) var position: Int

  /// Reads `range` of the file.
  /// - Parameter what: what it is, for messages.
  /// - Throws: `.inputOutput`, `.malformedFile` where the file ends before, `.outOfMemory`.
  init(_ file: FileReader, _ range: Range<Int>, _ what: String) throws(CNNError) {
    memory = try Memory(byteCount: range.count, for: what)
    try file.read(into: UnsafeMutableRawBufferPointer(start: memory.base, count: range.count), at: range.lowerBound)
    (self.range, position, self.what) = (0..<range.count, 0, what)
  }

  private init(_ memory: Memory, _ range: Range<Int>, _ what: String) {
    (self.memory, self.range, self.what, position) = (memory, range, what, range.lowerBound)
  }

  /// How many bytes are left.
  var remaining: Int { range.upperBound - position }

  private mutating func take(_ count: Int) throws(CNNError) -> UnsafeRawBufferPointer {
    guard count >= 0, count <= remaining else { throw CNNError(.malformedFile, "\(what) ends in the middle") }
    defer { position += count }
    return UnsafeRawBufferPointer(start: memory.base + position, count: count)
  }

  mutating func skip(_ count: Int) throws(CNNError) { _ = try take(count) }

  mutating func uint8() throws(CNNError) -> UInt8 { try take(1)[0] }

  mutating func uint16() throws(CNNError) -> UInt16 {
    try UInt16(littleEndian: take(2).loadUnaligned(as: UInt16.self))
  }

  mutating func uint32() throws(CNNError) -> UInt32 {
    try UInt32(littleEndian: take(4).loadUnaligned(as: UInt32.self))
  }

  mutating func uint64() throws(CNNError) -> UInt64 {
    try UInt64(littleEndian: take(8).loadUnaligned(as: UInt64.self))
  }

  /// A number of bytes, which no file has more than 2^62 of.
  mutating func size() throws(CNNError) -> Int {
    let size = try uint64()
    guard size < 1 << 62 else { throw CNNError(.malformedFile, "\(what) has a size of \(size)") }
    return Int(size)
  }

  /// The next `count` bytes as UTF-8.
  mutating func text(_ count: Int) throws(CNNError) -> String {
    let bytes = try take(count)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw CNNError(.malformedFile, "\(what) has a text that is not UTF-8")
    }
    return text
  }

  /// The next `count` bytes as UTF-8, with a mark in the place of what is none, as Python writes of odd file names.
  mutating func repairedText(_ count: Int) throws(CNNError) -> String {
    String(decoding: try take(count), as: UTF8.self)
  }

  /// The bytes up to the next line feed, which is passed over, as UTF-8.
  mutating func line() throws(CNNError) -> String {
    var end = position
    while end < range.upperBound, memory.base.load(fromByteOffset: end, as: UInt8.self) != 0x0A { end += 1 }
    let text = try text(end - position)
    try skip(1)
    return text
  }

  /// A reader of the next `count` bytes, which are passed over.
  mutating func part(_ count: Int) throws(CNNError) -> ByteReader {
    let start = position
    try skip(count)
    return ByteReader(memory, start..<start + count, what)
  }

  /// A reader of everything from `position` on.
  func reader(from position: Int) throws(CNNError) -> ByteReader {
    guard range.contains(position) else { throw CNNError(.malformedFile, "\(what) ends in the middle") }
    return ByteReader(memory, position..<range.upperBound, what)
  }

  /// The last place at which these bytes stand.
  func lastRange(of pattern: [UInt8]) -> Int? {
    let bytes = UnsafeRawBufferPointer(start: memory.base, count: range.upperBound)
    guard range.count >= pattern.count else { return nil }
    return (range.lowerBound...range.upperBound - pattern.count).last { bytes[$0...].starts(with: pattern) }
  }
}
