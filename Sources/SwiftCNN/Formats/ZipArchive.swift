import CNNCore

/// A zip archive whose entries are stored as they are, which is how PyTorch writes its files.
///
/// Only the directory at the end is believed, and checked; nothing is ever inflated, so that a small file cannot become a
/// large one. (PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 to 4.3.16 and 4.5.3.)
struct ZipArchive: Sendable {
  /// The bytes an archive begins with.
  static let signature: [UInt8] = [0x50, 0x4B, 0x03, 0x04]
  /// More than any file of weights needs.
  static let maximumDirectoryByteCount = 1 << 26

  /// Where the directory says that an entry is.
  private struct Entry {
    let headerOffset: Int
    let byteCount: Int
    let isStored: Bool
  }

  private let file: FileReader
  private let entries: [String: Entry]
  /// The names of the entries.
  var names: some Collection<String> { entries.keys }

  /// Reads the directory.
  /// - Throws: `.malformedFile` saying what is wrong; `.inputOutput`.
  init(_ file: FileReader) throws(CNNError) {
    self.file = file
    let (start, byteCount) = try ZipArchive.directory(of: file)
    guard byteCount <= ZipArchive.maximumDirectoryByteCount else {
      throw CNNError(
        .malformedFile,
        "the archive's directory has \(byteCount) bytes; expected \(ZipArchive.maximumDirectoryByteCount) at most")
    }
    var bytes = try ByteReader(file, start..<start + byteCount, "the archive's directory")
    var entries: [String: Entry] = [:]
    while bytes.remaining > 0 {
      let (name, entry) = try ZipArchive.entry(&bytes)
      guard entries.updateValue(entry, forKey: name) == nil else {
        throw CNNError(.malformedFile, "the archive has two entries '\(name.prefix(100))'")
      }
    }
    self.entries = entries
  }

  /// Where in the file the bytes of the entry `name` are.
  /// - Throws: `.malformedFile` if there is none, it is compressed, or it does not lie in the file.
  func byteRange(of name: String) throws(CNNError) -> Range<Int> {
    guard let entry = entries[name] else {
      throw CNNError(.malformedFile, "the archive has no entry '\(name.prefix(100))'")
    }
    guard entry.isStored else {
      throw CNNError(
        .malformedFile, "the archive's entry '\(name.prefix(100))' is compressed; PyTorch stores its entries")
    }
    guard entry.headerOffset <= file.byteCount - 30 else {
      throw CNNError(.malformedFile, "the archive's entry '\(name.prefix(100))' lies beyond the end of the file")
    }
    var header = try ByteReader(file, entry.headerOffset..<entry.headerOffset + 30, "an entry of the archive")
    guard try header.uint32() == 0x0403_4B50 else {
      throw CNNError(.malformedFile, "the archive's entry '\(name.prefix(100))' does not begin with its signature")
    }
    try header.skip(22)
    let lengths = (try Int(header.uint16()), try Int(header.uint16()))
    let start = entry.headerOffset + 30 + lengths.0 + lengths.1
    guard start <= file.byteCount, entry.byteCount <= file.byteCount - start else {
      throw CNNError(.malformedFile, "the archive's entry '\(name.prefix(100))' does not end within the file")
    }
    return start..<start + entry.byteCount
  }

  /// Finds the directory by the record at the end of the file, or by the larger one that it points to.
  private static func directory(of file: FileReader) throws(CNNError) -> (start: Int, byteCount: Int) {
    // The record has 22 bytes and a comment of 65,535 at most.
    let tail = max(0, file.byteCount - 22 - 65_535)..<file.byteCount
    let bytes = try ByteReader(file, tail, "the end of the archive")
    guard let found = bytes.lastRange(of: [0x50, 0x4B, 0x05, 0x06]) else {
      throw CNNError(.malformedFile, "the archive has no directory: the file is cut off")
    }
    var record = try bytes.reader(from: found + 12)
    var (byteCount, start) = (try Int(record.uint32()), try Int(record.uint32()))
    if start == 0xFFFF_FFFF || byteCount == 0xFFFF_FFFF {
      let locator = tail.lowerBound + found - 20
      guard locator >= 0 else { throw CNNError(.malformedFile, "the archive has no 64-bit directory record") }
      var pointer = try ByteReader(file, locator..<locator + 20, "the archive's 64-bit directory")
      guard try pointer.uint32() == 0x0706_4B50 else {
        throw CNNError(.malformedFile, "the archive has no 64-bit directory record")
      }
      try pointer.skip(4)
      let position = try pointer.size()
      guard position <= file.byteCount - 56 else {
        throw CNNError(.malformedFile, "the archive's 64-bit directory record lies beyond the end of the file")
      }
      var large = try ByteReader(file, position..<position + 56, "the archive's 64-bit directory")
      guard try large.uint32() == 0x0606_4B50 else {
        throw CNNError(.malformedFile, "the archive's 64-bit directory record does not begin with its signature")
      }
      try large.skip(36)
      (byteCount, start) = (try large.size(), try large.size())
    }
    guard start <= file.byteCount, byteCount <= file.byteCount - start else {
      throw CNNError(.malformedFile, "the archive's directory does not lie within the file")
    }
    return (start, byteCount)
  }

  /// The next row of the directory.
  private static func entry(_ bytes: inout ByteReader) throws(CNNError) -> (String, Entry) {
    guard try bytes.uint32() == 0x0201_4B50 else {
      throw CNNError(.malformedFile, "the archive's directory has a row that does not begin with its signature")
    }
    try bytes.skip(6)
    let method = try bytes.uint16()
    try bytes.skip(8)
    let compressed = try Int(bytes.uint32())
    var byteCount = try Int(bytes.uint32())
    let nameLength = try Int(bytes.uint16()), extraLength = try Int(bytes.uint16())
    let commentLength = try Int(bytes.uint16())
    try bytes.skip(8)
    var offset = try Int(bytes.uint32())
    let name = try bytes.text(nameLength)
    var extra = try bytes.part(extraLength)
    try bytes.skip(commentLength)
    let isStored = method == 0 && compressed == byteCount
    if byteCount == 0xFFFF_FFFF || offset == 0xFFFF_FFFF {
      // The 64-bit sizes, those and only those that are all ones above, in this order.
      while extra.remaining >= 4 {
        let kind = try extra.uint16()
        var field = try extra.part(Int(extra.uint16()))
        guard kind == 1 else { continue }
        if byteCount == 0xFFFF_FFFF { byteCount = try field.size() }
        if compressed == 0xFFFF_FFFF { try field.skip(8) }
        if offset == 0xFFFF_FFFF { offset = try field.size() }
        break
      }
    }
    return (name, Entry(headerOffset: offset, byteCount: byteCount, isStored: isStored))
  }
}
