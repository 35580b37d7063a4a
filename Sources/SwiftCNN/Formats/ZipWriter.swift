import CNNCore

/// Writes a zip archive of stored entries, of less than 4 GiB, from front to end. (PKWARE's APPNOTE 6.3, section 4.3.)
struct ZipWriter {
  /// Entries begin at multiples of this, as PyTorch's do, so that they can be mapped.
  private static let alignment = 64

  private var directory: [UInt8] = []
  private var entryCount = 0
  private var position = 0

  /// Appends an entry.
  /// - Throws: `.invalidArgument` where the archive becomes too large; what the file throws.
  mutating func add(_ name: String, _ bytes: UnsafeRawBufferPointer, to file: borrowing FileWriter) throws(CNNError) {
    let length = 30 + name.utf8.count + 4
    let padding = (Self.alignment - (position + length) % Self.alignment) % Self.alignment
    guard bytes.count < Int(UInt32.max) - position - length - padding, entryCount < Int(UInt16.max) else {
      throw CNNError(
        .invalidArgument,
        "the tensors are more than a .pth file of 4 GiB holds; expected a path that ends in .safetensors")
    }
    // Version, flags, method, time and date (1 January 1980), checksum, sizes, length of the name.
    var common: [UInt8] = []
    common.append(UInt16(20), UInt16(0), UInt16(0), UInt16(0), UInt16(0x21))
    common.append(
      Self.checksum(of: bytes), UInt32(truncatingIfNeeded: bytes.count), UInt32(truncatingIfNeeded: bytes.count))
    common.append(UInt16(truncatingIfNeeded: name.utf8.count))
    var header: [UInt8] = []
    header.append(UInt32(0x0403_4B50))
    header += common
    header.append(UInt16(truncatingIfNeeded: padding + 4))
    header += name.utf8
    // A field of PyTorch's own kind that only takes up room.
    header.append(UInt16(0x4246), UInt16(truncatingIfNeeded: padding))
    header += Array(repeating: UInt8(ascii: "Z"), count: padding)
    directory.append(UInt32(0x0201_4B50))
    directory.append(UInt16(20))
    directory += common
    directory.append(UInt16(0), UInt16(0), UInt16(0), UInt16(0))
    directory.append(UInt32(0), UInt32(truncatingIfNeeded: position))
    directory += name.utf8
    try file.write(header)
    try file.write(bytes)
    position += header.count + bytes.count
    entryCount += 1
  }

  /// Appends an entry.
  mutating func add(_ name: String, _ bytes: [UInt8], to file: borrowing FileWriter) throws(CNNError) {
    // A copy in memory of its own, since a borrowed file cannot go into a closure.
    let copy = try Memory(byteCount: bytes.count, for: "'\(name)'")
    bytes.withUnsafeBytes {
      copy.base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(copy.base), byteCount: $0.count)
    }
    try add(name, UnsafeRawBufferPointer(start: copy.base, count: bytes.count), to: file)
  }

  /// Appends the directory.
  func finish(_ file: borrowing FileWriter) throws(CNNError) {
    var end = directory
    end.append(UInt32(0x0605_4B50))
    end.append(UInt16(0), UInt16(0), UInt16(truncatingIfNeeded: entryCount), UInt16(truncatingIfNeeded: entryCount))
    end.append(UInt32(truncatingIfNeeded: directory.count), UInt32(truncatingIfNeeded: position))
    end.append(UInt16(0))
    try file.write(end)
  }

  /// CRC-32 (polynomial 0x04C11DB7, reflected), a byte at a time.
  static func checksum(of bytes: UnsafeRawBufferPointer) -> UInt32 {
    table.withUnsafeBufferPointer { table in
      ~bytes.reduce(~UInt32(0)) { table[Int(($0 ^ UInt32($1)) & 0xFF)] ^ ($0 >> 8) }
    }
  }

  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 0 ? value >> 1 : 0xEDB8_8320 ^ (value >> 1) }
  }
}

extension [UInt8] {
  /// Appends numbers, little endian.
  fileprivate mutating func append<Number: FixedWidthInteger>(_ numbers: Number...) {
    for number in numbers { Swift.withUnsafeBytes(of: number.littleEndian) { self += $0 } }
  }
}
