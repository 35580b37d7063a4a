import CNNCore
import CNNGraph

/// The element types that files of tensors have. Raw values are their names in safetensors.
public enum StoredType: String, Sendable, Hashable, CaseIterable {
  /// IEEE double precision
  case float64 = "F64"
  /// IEEE single precision
  case float32 = "F32"
  /// IEEE half precision
  case float16 = "F16"
  /// The upper half of a single
  case bfloat16 = "BF16"
  /// Signed integers of 64 bits
  case int64 = "I64"
  /// Signed integers of 32 bits
  case int32 = "I32"
  /// Signed integers of 16 bits
  case int16 = "I16"
  /// Signed integers of 8 bits
  case int8 = "I8"
  /// Unsigned integers of 64 bits
  case uint64 = "U64"
  /// Unsigned integers of 32 bits
  case uint32 = "U32"
  /// Unsigned integers of 16 bits
  case uint16 = "U16"
  /// Unsigned integers of 8 bits
  case uint8 = "U8"
  /// One byte, 0 for false
  case bool = "BOOL"

  /// The type of the file for a type of this library.
  public init(_ type: ElementType) {
    switch type {
    case .float32: self = .float32
    case .bfloat16: self = .bfloat16
    case .int32: self = .int32
    case .uint8: self = .uint8
    case .int8: self = .int8
    case .int16: self = .int16
    }
  }

  /// The type of the file for numbers of a precision.
  public init(_ precision: Precision) {
    switch precision {
    case .float32: self = .float32
    case .bfloat16: self = .bfloat16
    }
  }

  /// The size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .float64, .int64, .uint64: 8
    case .float32, .int32, .uint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .int8, .uint8, .bool: 1
    }
  }

  /// Whether the elements are whole numbers (`bool` included).
  public var isInteger: Bool {
    switch self {
    case .float64, .float32, .float16, .bfloat16: false
    default: true
    }
  }

  /// Converts elements in the file's byte order (little endian) to floats, rounding to nearest where they do not fit.
  func convert(_ bytes: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>) {
    switch self {
    case .float64:
      map(bytes, to: destination) { (bits: UInt64) in Float(Double(bitPattern: UInt64(littleEndian: bits))) }
    case .float32: map(bytes, to: destination) { (bits: UInt32) in Float(bitPattern: UInt32(littleEndian: bits)) }
    case .float16: map(bytes, to: destination) { (bits: UInt16) in Float(halfBits: UInt16(littleEndian: bits)) }
    case .bfloat16:
      map(bytes, to: destination) { (bits: UInt16) in Float(BFloat16(bitPattern: UInt16(littleEndian: bits))) }
    case .int64: map(bytes, to: destination) { Float(Int64(littleEndian: $0)) }
    case .int32: map(bytes, to: destination) { Float(Int32(littleEndian: $0)) }
    case .int16: map(bytes, to: destination) { Float(Int16(littleEndian: $0)) }
    case .int8: map(bytes, to: destination) { (value: Int8) in Float(value) }
    case .uint64: map(bytes, to: destination) { Float(UInt64(littleEndian: $0)) }
    case .uint32: map(bytes, to: destination) { Float(UInt32(littleEndian: $0)) }
    case .uint16: map(bytes, to: destination) { Float(UInt16(littleEndian: $0)) }
    case .uint8: map(bytes, to: destination) { (value: UInt8) in Float(value) }
    case .bool: map(bytes, to: destination) { (value: UInt8) in value == 0 ? 0 : 1 }
    }
  }

  /// Converts whole numbers to 64 bits; unsigned ones above `Int64.max` come out negative. Floating point gives zeros.
  func convert(_ bytes: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Int64>) {
    switch self {
    case .float64, .float32, .float16, .bfloat16: destination.update(repeating: 0)
    case .int64: map(bytes, to: destination) { Int64(littleEndian: $0) }
    case .int32: map(bytes, to: destination) { Int64(Int32(littleEndian: $0)) }
    case .int16: map(bytes, to: destination) { Int64(Int16(littleEndian: $0)) }
    case .int8: map(bytes, to: destination) { (value: Int8) in Int64(value) }
    case .uint64: map(bytes, to: destination) { Int64(truncatingIfNeeded: UInt64(littleEndian: $0)) }
    case .uint32: map(bytes, to: destination) { Int64(UInt32(littleEndian: $0)) }
    case .uint16: map(bytes, to: destination) { Int64(UInt16(littleEndian: $0)) }
    case .uint8: map(bytes, to: destination) { (value: UInt8) in Int64(value) }
    case .bool: map(bytes, to: destination) { (value: UInt8) in value == 0 ? 0 : 1 }
    }
  }
}

extension FileReader {
  /// Reads elements of `type` as floats, one for each place in `destination`.
  /// - Throws: `.inputOutput`, or `.malformedFile` if the file ends before.
  func read(
    _ range: Range<Int>, of type: StoredType, into destination: UnsafeMutableBufferPointer<Float>
  ) throws(CNNError) {
    #if _endian(little)
      if type == .float32 {
        return try read(into: UnsafeMutableRawBufferPointer(destination), at: range.lowerBound)
      }
    #endif
    try readChunks(range, width: type.byteCount) { type.convert($0, to: .init(rebasing: destination[$1])) }
  }

  /// Calls `body` with the bytes of `range` piece by piece, and the range of elements, of `width` bytes, that each holds.
  func readChunks(
    _ range: Range<Int>, width: Int, _ body: (UnsafeRawBufferPointer, Range<Int>) -> Void
  ) throws(CNNError) {
    let chunk = try Memory(byteCount: min(range.count, 1 << 16), for: "'\(path)'")
    var start = range.lowerBound
    while start < range.upperBound {
      let bytes = UnsafeMutableRawBufferPointer(
        start: chunk.base, count: min(chunk.byteCount, range.upperBound - start))
      try read(into: bytes, at: start)
      let first = (start - range.lowerBound) / width
      body(UnsafeRawBufferPointer(bytes), first..<first + bytes.count / width)
      start += bytes.count
    }
  }
}

private func map<Stored: BitwiseCopyable, Element>(
  _ bytes: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Element>, _ convert: (Stored) -> Element
) {
  for index in destination.indices {
    destination[index] = convert(
      bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Stored>.size, as: Stored.self))
  }
}
