import CNNCore
import CNNGraph
import FoundationEssentials

/// Reads the bytes of a file beside the model: its name as the model gives it, the first byte and how many, or nil for all
/// that follow. It sees to it that the name leads nowhere else.
public typealias ONNXExternalReader = (_ location: String, _ offset: Int, _ length: Int?) throws(CNNError) -> Memory

/// Turns the tensors of a file into constants.
struct TensorReader {
  let readExternal: ONNXExternalReader

  /// - Throws: naming what in the tensor is not as it should be.
  func constant(_ tensor: Onnx_TensorProto, named name: String? = nil) throws(CNNError) -> Constant {
    let shape = try Self.shape(tensor.dims)
    let count = try Checked.product(shape, "the tensor")
    let code = Int(tensor.dataType)
    guard let byteCount = try ElementCode.byteCount(code, count: count) else {
      throw CNNError(.invalidArgument, "the element type is \(ElementCode.name(code)), which is not read")
    }
    // Each of the others becomes a `Size`, and is a size of something.
    guard ElementCode.isFloat(code) || Self.isSmall(code) || count <= Constant.maximumCount else {
      throw CNNError(
        .outOfMemory, "it has \(count) whole numbers; at most \(Constant.maximumCount) are possible")
    }
    if tensor.dataLocation == .external {
      let memory = try external(tensor.externalData, byteCount: byteCount)
      let bytes = UnsafeRawBufferPointer(start: memory.base, count: memory.byteCount)
      guard bytes.count == byteCount else {
        throw CNNError(.malformedFile, "its external data has \(bytes.count) bytes; \(byteCount) are needed")
      }
      defer { withExtendedLifetime(memory) {} }
      return try decode(bytes, code, count, shape, name)
    }
    if tensor.hasRawData {
      return try tensor.rawData.bytes.withUnsafeBytes { (bytes) throws(CNNError) in
        guard bytes.count == byteCount else {
          throw CNNError(
            .malformedFile, "it has \(bytes.count) bytes; its shape \(describe(shape)) needs \(byteCount)")
        }
        return try decode(bytes, code, count, shape, name)
      }
    }
    return try listed(tensor, code, count, shape, name)
  }

  static func shape(_ dims: [Int64]) throws(CNNError) -> [Int] {
    guard dims.count <= TensorType.maximumRank else {
      throw CNNError(.malformedFile, "it has \(dims.count) axes; at most \(TensorType.maximumRank) are possible")
    }
    let shape = dims.map { Int($0) }
    guard shape.allSatisfy({ $0 >= 0 }) else {
      throw CNNError(.malformedFile, "its shape is \(describe(shape)); sizes cannot be negative")
    }
    return shape
  }

  private func external(_ entries: [Onnx_StringStringEntryProto], byteCount: Int) throws(CNNError) -> Memory {
    func entry(_ key: String) -> String? { entries.first { $0.key == key }?.value }
    guard let location = entry("location") else {
      throw CNNError(.malformedFile, "its external data has no location")
    }
    func number(_ key: String) throws(CNNError) -> Int? {
      guard let text = entry(key) else { return nil }
      guard let value = Int(text), value >= 0 else {
        throw CNNError(.malformedFile, "the \(key) of its external data is '\(text)'; expected a number of bytes")
      }
      return value
    }
    let length = try number("length")
    guard length ?? byteCount == byteCount else {
      throw CNNError(.malformedFile, "its external data has \(length ?? 0) bytes; its shape needs \(byteCount)")
    }
    return try readExternal(location, try number("offset") ?? 0, byteCount)
  }

  private func decode(
    _ bytes: UnsafeRawBufferPointer, _ code: Int, _ count: Int, _ shape: [Int], _ name: String?
  ) throws(CNNError) -> Constant {
    func number<Number: BitwiseCopyable>(_ index: Int, _: Number.Type) -> Number {
      bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Number>.size, as: Number.self)
    }
    if Self.isSmall(code) {
      let levels = try ONNXFloats(count: count, name ?? "a constant") { target throws(CNNError) in
        switch code {
        case ElementCode.uint8: for i in 0..<count { target[i] = Float(number(i, UInt8.self)) }
        case ElementCode.int8: for i in 0..<count { target[i] = Float(number(i, Int8.self)) }
        case ElementCode.uint16: for i in 0..<count { target[i] = Float(number(i, UInt16.self)) }
        case ElementCode.int16: for i in 0..<count { target[i] = Float(number(i, Int16.self)) }
        default: for i in 0..<count { target[i] = Self.half(bytes[i / 2], i, code) }
        }
      }
      return try Constant(shape: shape, .levels(levels), source: name, element: code)
    }
    guard ElementCode.isFloat(code) else {
      let values: [Int] =
        switch code {
        case ElementCode.bool: (0..<count).map { Int(number($0, UInt8.self)) }
        case ElementCode.int32: (0..<count).map { Int(number($0, Int32.self)) }
        case ElementCode.uint32: (0..<count).map { Int(number($0, UInt32.self)) }
        case ElementCode.uint64: (0..<count).map { Int(clamping: number($0, UInt64.self)) }
        default: (0..<count).map { Int(number($0, Int64.self)) }
        }
      return try Constant(shape: shape, .sizes(values.map { .known($0) }), source: name, element: code)
    }
    let floats = try ONNXFloats(count: count, name ?? "a constant") { target throws(CNNError) in
      switch code {
      case ElementCode.float16: for i in 0..<count { target[i] = Float(halfBits: number(i, UInt16.self)) }
      case ElementCode.bfloat16: for i in 0..<count { target[i] = Float(BFloat16(bitPattern: number(i, UInt16.self))) }
      case ElementCode.float64: for i in 0..<count { target[i] = Float(number(i, Double.self)) }
      default: UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
      }
    }
    return try Constant(shape: shape, .floats(floats), source: name)
  }

  /// Whether values of the type are held as floats: weights may be of it, and are many.
  private static func isSmall(_ code: Int) -> Bool { ElementCode.levels(code) != nil && code != ElementCode.int32 }

  /// One of the two numbers in a byte.
  private static func half(_ byte: UInt8, _ index: Int, _ code: Int) -> Float {
    let bits = index % 2 == 0 ? byte & 15 : byte >> 4
    return code == ElementCode.int4 && bits > 7 ? Float(bits) - 16 : Float(bits)
  }

  /// Values that stand in the lists of the message.
  private func listed(_ tensor: Onnx_TensorProto, _ code: Int, _ count: Int, _ shape: [Int], _ name: String?)
    throws(CNNError) -> Constant
  {
    func check(_ listed: Int) throws(CNNError) {
      guard listed == count else {
        throw CNNError(.malformedFile, "it has \(listed) values; its shape \(describe(shape)) needs \(count)")
      }
    }
    switch code {
    case ElementCode.float32, ElementCode.float64:
      let isDouble = code == ElementCode.float64
      try check(isDouble ? tensor.doubleData.count : tensor.floatData.count)
      let floats = try ONNXFloats(isDouble ? tensor.doubleData.map { Float($0) } : tensor.floatData)
      return try Constant(shape: shape, .floats(floats), source: name)
    case ElementCode.float16, ElementCode.bfloat16:
      // Each in the lower half of a whole number.
      try check(tensor.int32Data.count)
      let isHalf = code == ElementCode.float16
      let floats = try ONNXFloats(
        tensor.int32Data.map { value in
          let bits = UInt16(truncatingIfNeeded: value)
          return isHalf ? Float(halfBits: bits) : Float(BFloat16(bitPattern: bits))
        })
      return try Constant(shape: shape, .floats(floats), source: name)
    case ElementCode.int64:
      try check(tensor.int64Data.count)
      return try Constant(shape: shape, .sizes(tensor.int64Data.map { .known(Int($0)) }), source: name)
    case ElementCode.uint32, ElementCode.uint64:
      try check(tensor.uint64Data.count)
      return try Constant(shape: shape, .sizes(tensor.uint64Data.map { .known(Int(clamping: $0)) }), source: name)
    case ElementCode.int4, ElementCode.uint4:
      let bytes = tensor.int32Data.map { UInt8(truncatingIfNeeded: $0) }
      guard bytes.count == count / 2 + count % 2 else {
        throw CNNError(
          .malformedFile, "it has \(bytes.count) pairs of values; its shape \(describe(shape)) needs \(count) values")
      }
      let levels = try ONNXFloats((0..<count).map { Self.half(bytes[$0 / 2], $0, code) })
      return try Constant(shape: shape, .levels(levels), source: name, element: code)
    case _ where Self.isSmall(code):
      try check(tensor.int32Data.count)
      guard let levels = ElementCode.levels(code), tensor.int32Data.allSatisfy({ levels.contains(Int($0)) }) else {
        throw CNNError(.malformedFile, "it has values that are no \(ElementCode.name(code))")
      }
      return try Constant(
        shape: shape, .levels(try ONNXFloats(tensor.int32Data.map { Float($0) })), source: name, element: code)
    default:
      try check(tensor.int32Data.count)
      return try Constant(
        shape: shape, .sizes(tensor.int32Data.map { .known(Int($0)) }), source: name, element: code)
    }
  }
}
