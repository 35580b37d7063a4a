/// The numbers by which ONNX names element types (`TensorProto.DataType`).
enum ElementCode {
  static let float32 = 1, uint8 = 2, int8 = 3, uint16 = 4, int16 = 5, int32 = 6, int64 = 7, bool = 9, float16 = 10
  static let float64 = 11, uint32 = 12, uint64 = 13, bfloat16 = 16

  private static let names = [
    float32: "float32", uint8: "uint8", int8: "int8", uint16: "uint16", int16: "int16", int32: "int32",
    int64: "int64", 8: "string", bool: "bool", float16: "float16", float64: "float64", uint32: "uint32",
    uint64: "uint64", 14: "complex64", 15: "complex128", bfloat16: "bfloat16",
  ]

  /// The type's usual name.
  static func name(_ code: Int) -> String { names[code] ?? "number \(code)" }

  /// Whether its values are numbers with a fraction.
  static func isFloat(_ code: Int) -> Bool { [float32, float16, float64, bfloat16].contains(code) }

  /// Whether its values are whole numbers or truth values.
  static func isInteger(_ code: Int) -> Bool { byteCounts[code] != nil && !isFloat(code) }

  private static let byteCounts = [
    float32: 4, uint8: 1, int8: 1, uint16: 2, int16: 2, int32: 4, int64: 8, bool: 1, float16: 2, float64: 8, uint32: 4,
    uint64: 8, bfloat16: 2,
  ]

  /// The size of one element in bytes; nil where the library does not read the type.
  static func byteCount(_ code: Int) -> Int? { byteCounts[code] }
}
