import CNNCore

/// The numbers by which ONNX names element types (`TensorProto.DataType`).
enum ElementCode {
  static let float32 = 1, uint8 = 2, int8 = 3, uint16 = 4, int16 = 5, int32 = 6, int64 = 7, bool = 9, float16 = 10
  static let float64 = 11, uint32 = 12, uint64 = 13, bfloat16 = 16
  /// Two in a byte, the first in the lower half.
  static let uint4 = 21, int4 = 22

  private static let names = [
    float32: "float32", uint8: "uint8", int8: "int8", uint16: "uint16", int16: "int16", int32: "int32",
    int64: "int64", 8: "string", bool: "bool", float16: "float16", float64: "float64", uint32: "uint32",
    uint64: "uint64", 14: "complex64", 15: "complex128", bfloat16: "bfloat16",
    17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", uint4: "uint4", int4: "int4",
  ]

  /// The type's usual name.
  static func name(_ code: Int) -> String { names[code] ?? "number \(code)" }

  /// Whether its values are numbers with a fraction.
  static func isFloat(_ code: Int) -> Bool { [float32, float16, float64, bfloat16].contains(code) }

  /// Whether its values are whole numbers or truth values.
  static func isInteger(_ code: Int) -> Bool { levels(code) != nil || [int64, uint32, uint64, bool].contains(code) }

  /// The lowest and the highest number of a type to which values are quantised; nil for other types.
  static func levels(_ code: Int) -> ClosedRange<Int>? {
    switch code {
    case uint4: 0...15
    case int4: -8...7
    case uint8: 0...255
    case int8: -128...127
    case uint16: 0...65535
    case int16: -32768...32767
    case int32: -(1 << 31)...(1 << 31) - 1
    default: nil
    }
  }

  /// The type with these levels.
  static func code(of levels: ClosedRange<Int>) -> Int? {
    [uint4, int4, uint8, int8, uint16, int16, int32].first { self.levels($0) == levels }
  }

  private static let byteCounts = [
    float32: 4, uint8: 1, int8: 1, uint16: 2, int16: 2, int32: 4, int64: 8, bool: 1, float16: 2, float64: 8, uint32: 4,
    uint64: 8, bfloat16: 2,
  ]

  /// The size of so many elements in bytes; nil where the library does not read the type.
  static func byteCount(_ code: Int, count: Int) throws(CNNError) -> Int? {
    if code == int4 || code == uint4 { return count / 2 + count % 2 }
    guard let size = byteCounts[code] else { return nil }
    return try Checked.product([count, size], "the tensor")
  }
}
