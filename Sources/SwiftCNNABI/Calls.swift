import CNNCore
import CNNGraph
import CSwiftCNN
import Glibc
import SwiftCNN

/// Runs the body of a C function: an error becomes a status and this thread's message.
/// - Parameter allocates: whether it needs memory; what only frees does not.
func call(allocates: Bool = true, _ body: () throws(CNNError) -> Void) -> scnn_status {
  do throws(CNNError) {
    if allocates { try MemoryReserve.require() }
    try body()
    return scnn_status(SCNN_OK)
  } catch {
    LastError.set(error.message(in: .c))
    if error.code == .inputOutput { errno = error.systemCode }
    return error.code.rawValue
  }
}

/// Each thread's last message.
enum LastError {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { free($0) }
    return key
  }()

  /// Makes the key, while the process has one thread.
  static func prepare() { _ = key }

  static func set(_ message: String) {
    let old = pthread_getspecific(key)
    pthread_setspecific(key, strdup(message))
    free(old)
  }

  /// The message as a C string, or nil where there was none.
  static var message: UnsafePointer<CChar>? {
    pthread_getspecific(key).map { UnsafePointer($0.assumingMemoryBound(to: CChar.self)) }
  }
}

/// A required C string. Throws where it is NULL or not UTF-8.
func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(CNNError) -> String {
  guard let pointer else { throw CNNError(.invalidArgument, "\(name) is NULL") }
  guard let text = String(validatingCString: pointer) else {
    throw CNNError(.invalidArgument, "\(name) is not valid UTF-8")
  }
  return text
}

/// A C string that may be NULL.
func optionalText(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(CNNError) -> String? {
  pointer == nil ? nil : try text(pointer, name)
}

/// Options in JSON; NULL is none.
func options(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(CNNError) -> JSONObject {
  guard let text = try optionalText(pointer, name) else { return JSONObject() }
  do throws(CNNError) {
    guard let object = try JSON(parsing: text).objectValue else {
      throw CNNError(.invalidArgument, "expected a JSON object")
    }
    return object
  } catch {
    throw error.prefixed(name).coded(.invalidArgument)
  }
}

/// Writes a text with its closing NUL.
func write(
  _ text: String, to buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) throws(CNNError) {
  let count = text.utf8.count
  length?.pointee = count
  guard let buffer, capacity > count else {
    throw CNNError(
      .bufferTooSmall, "the text has \(count) bytes and a NUL; the buffer has \(buffer == nil ? 0 : capacity)")
  }
  var position = 0
  for byte in text.utf8 {
    buffer[position] = CChar(bitPattern: byte)
    position += 1
  }
  buffer[position] = 0
}

/// A pointer that must not be NULL.
func required<Pointer>(_ pointer: Pointer?, _ name: String) throws(CNNError) -> Pointer {
  guard let pointer else { throw CNNError(.invalidArgument, "\(name) is NULL") }
  return pointer
}

/// The bytes of a file in the caller's memory.
func bytes(_ pointer: UnsafeRawPointer?, _ count: Int) throws(CNNError) -> UnsafeRawBufferPointer {
  guard count >= 0, pointer != nil || count == 0 else {
    throw CNNError(.invalidArgument, pointer == nil ? "bytes is NULL" : "count is \(UInt(bitPattern: count)) bytes")
  }
  return UnsafeRawBufferPointer(start: pointer, count: count)
}

/// The sizes of a shape given as `rank` numbers.
func sizes(_ rank: Int32, _ name: String, _ size: (Int) -> Int64) throws(CNNError) -> [Int] {
  guard (0...Int32(SCNN_MAX_RANK)).contains(rank) else {
    throw CNNError(.invalidArgument, "\(name): the rank is \(rank); expected 0 to \(SCNN_MAX_RANK)")
  }
  return (0..<Int(rank)).map { Int(size($0)) }
}

/// A tensor as the library's functions take it.
func view(_ pointer: UnsafePointer<scnn_tensor>?, _ name: String) throws(CNNError) -> TensorView {
  try view(required(pointer, name).pointee, name)
}

/// What a model is given: a tensor, or a list of them, one for each input.
/// - Parameter needsData: whether more than shapes is looked at.
func inputs(_ pointer: UnsafePointer<scnn_tensor>?, _ name: String, needsData: Bool = true) throws(CNNError)
  -> [TensorView]
{
  let tensor = try required(pointer, name).pointee
  guard tensor.dtype == Int32(SCNN_TENSORS) else { return [try view(tensor, name, needsData: needsData)] }
  guard tensor.rank == 1, (1...4096).contains(tensor.shape.0) else {
    throw CNNError(
      .invalidArgument,
      "\(name): a list of tensors has rank \(tensor.rank) and \(tensor.shape.0) of them; expected rank 1 and 1 to 4096")
  }
  let list = try required(tensor.data, "\(name): the data")
  var views: [TensorView] = []
  for index in 0..<Int(tensor.shape.0) {
    let element = list.loadUnaligned(fromByteOffset: index * MemoryLayout<scnn_tensor>.stride, as: scnn_tensor.self)
    views.append(try view(element, "\(name)[\(index)]", needsData: needsData))
  }
  return views
}

private func view(_ tensor: scnn_tensor, _ name: String, needsData: Bool = true) throws(CNNError) -> TensorView {
  guard tensor.dtype != Int32(SCNN_TENSORS) else {
    throw CNNError(.invalidArgument, "\(name) is a list of tensors; expected one tensor")
  }
  let elements: [Int32: ElementType] = [
    Int32(SCNN_FLOAT32): .float32, Int32(SCNN_INT32): .int32, Int32(SCNN_UINT8): .uint8,
  ]
  guard let element = elements[tensor.dtype] else {
    throw CNNError(.invalidArgument, "\(name): dtype \(tensor.dtype) is not known")
  }
  let shape = withUnsafeBytes(of: tensor.shape) { Array($0.bindMemory(to: Int64.self)) }
  let dimensions = try sizes(tensor.rank, name) { shape[$0] }
  guard dimensions.allSatisfy({ $0 >= 0 }) else {
    throw CNNError(.invalidArgument, "\(name) has shape \(describe(dimensions)); sizes cannot be negative")
  }
  // Where only the shape matters, any address does: it is not followed.
  guard let base = tensor.data ?? (needsData ? nil : UnsafeRawPointer(bitPattern: 64)) else {
    throw CNNError(.invalidArgument, "\(name): the data is NULL")
  }
  return TensorView(element, shape: dimensions, base: base)
}

/// A tensor in memory of the library's.
func tensor(_ view: TensorView?) -> scnn_tensor {
  var tensor = scnn_tensor()
  guard let view else { return tensor }
  tensor.data = view.base
  tensor.dtype = dtypeCode(view.element)
  tensor.rank = Int32(clamping: view.shape.count)
  withUnsafeMutableBytes(of: &tensor.shape) { bytes in
    let sizes = bytes.bindMemory(to: Int64.self)
    for (axis, size) in view.shape.prefix(sizes.count).enumerated() { sizes[axis] = Int64(size) }
  }
  return tensor
}

/// The header's number for an element type.
func dtypeCode(_ element: ElementType) -> Int32 {
  switch element {
  case .float32: Int32(SCNN_FLOAT32)
  case .int32: Int32(SCNN_INT32)
  case .uint8: Int32(SCNN_UINT8)
  case .bfloat16, .int8, .int16: -1  // Only inside of plans.
  }
}

/// A tensor that may be missing.
func optionalView(_ pointer: UnsafePointer<scnn_tensor>?, _ name: String) throws(CNNError) -> TensorView? {
  pointer == nil ? nil : try view(pointer, name)
}

/// Writes a shape, with -1 for sizes that vary.
func write(
  _ shape: [Int?], to sizes: UnsafeMutablePointer<Int64>?, _ rank: UnsafeMutablePointer<Int32>?
) throws(CNNError) {
  let sizes = try required(sizes, "shape"), rank = try required(rank, "rank")
  for (index, size) in shape.prefix(Int(SCNN_MAX_RANK)).enumerated() { sizes[index] = Int64(size ?? -1) }
  rank.pointee = Int32(shape.count)
}

/// Writes a text that a model gives.
func writeText(
  of handle: OpaquePointer?, to buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
  _ length: UnsafeMutablePointer<Int>?, _ text: (Model) throws(CNNError) -> String
) -> scnn_status {
  call { () throws(CNNError) in try write(text(model(handle)), to: buffer, capacity, length) }
}

/// Writes a text that a model, or what is kept with it, gives in one of several formats.
func writeText(
  of handle: OpaquePointer?, as format: UnsafePointer<CChar>?, to buffer: UnsafeMutablePointer<CChar>?,
  _ capacity: Int, _ length: UnsafeMutablePointer<Int>?, _ formatted: (ModelHandle, String) throws(CNNError) -> String
) -> scnn_status {
  call { () throws(CNNError) in
    let handle = try modelHandle(handle), format = try text(format, "format")
    try write(formatted(handle, format), to: buffer, capacity, length)
  }
}

/// Writes results into an array of exactly their number.
func write(_ results: [Double], to array: UnsafeMutablePointer<Double>?, _ count: Int) throws(CNNError) {
  let array = try required(array, "results")
  guard count == results.count else {
    throw CNNError(.bufferTooSmall, "there is room for \(count) results; there are \(results.count)")
  }
  for (index, result) in results.enumerated() { array[index] = result }
}

/// Memory of the caller for `count` floats.
func floats(_ pointer: UnsafeMutablePointer<Float>?, _ count: Int, _ name: String) throws(CNNError)
  -> UnsafeMutableBufferPointer<Float>
{
  guard count >= 0, count <= Int.max / 4 else {
    throw CNNError(.invalidArgument, "count is \(count); expected the number of elements")
  }
  return UnsafeMutableBufferPointer(start: try required(pointer, name), count: count)
}
