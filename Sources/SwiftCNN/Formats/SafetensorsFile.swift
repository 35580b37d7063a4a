import CNNCore
import CNNGraph

/// A file in the safetensors format, open for reading: named tensors and string metadata.
///
/// The file is 8 bytes with the length of the header (little endian), the header (a JSON object that gives each tensor's
/// type, shape and place), and the bytes of the tensors, back to back. Opening checks all of it; reading a tensor
/// touches only its own bytes. It may be used by several threads at once.
///
/// https://github.com/huggingface/safetensors#format
public final class SafetensorsFile: Sendable {
  /// One tensor's row in the header.
  public struct Tensor: Sendable, Equatable {
    /// The name, such as `layer1.0.conv1.weight`.
    public let name: String
    /// The element type in the file.
    public let type: StoredType
    /// The sizes, outermost first; empty for a scalar.
    public let shape: [Int]
    /// Where its bytes are, counted from the beginning of the file.
    public let byteRange: Range<Int>

    /// The number of elements.
    public var elementCount: Int { byteRange.count / type.byteCount }
  }

  /// The path it was opened with.
  public var path: String { file.path }
  /// The strings under `__metadata__`.
  public let metadata: [String: String]
  /// The tensors in the order of their bytes in the file, which is the fast order to read them in.
  public let tensors: [Tensor]

  private let file: FileReader
  /// The network in the metadata of a model file with signed bytes among its weights, which stand for what it says; else nil.
  private let network: Graph?
  private let weightLevels: [String: WeightLevels]
  private let positions: [String: Int]

  /// The longest header that is accepted: a hundred times that of the largest network here. (The reference
  /// implementation takes 100 MB, which as text and tree would need gigabytes.)
  public static let maximumHeaderLength = 1 << 24
  /// The largest number of dimensions that is accepted.
  public static let maximumRank = 32

  /// Opens the file and checks its header.
  /// - Throws: `.inputOutput` if `path` cannot be read or is not a regular file; `.malformedFile` if it is not
  ///   safetensors: the message names the path, the tensor and the problem.
  public convenience init(path: String) throws(CNNError) { try self.init(FileReader(path: path)) }

  /// Checks the header of a file that is open.
  init(_ file: FileReader) throws(CNNError) {
    self.file = file
    do throws(CNNError) {
      let header = try SafetensorsFile.readHeader(of: file)
      metadata = try SafetensorsHeader.metadata(of: header.members)
      tensors = try SafetensorsHeader.tensors(of: header.members, in: header.end..<file.byteCount)
    } catch {
      throw error.code == .malformedFile ? error.prefixed("'\(file.path)' is not a safetensors file") : error
    }
    var positions: [String: Int] = [:]
    for (position, tensor) in tensors.enumerated() { positions[tensor.name] = position }
    self.positions = positions
    let text = tensors.contains { $0.type == .int8 } ? metadata[ModelFile.graphKey] : nil
    network = text.flatMap { [tensors] text in try? Self.network(text, tensors, file) }
    weightLevels = network?.weightLevels ?? [:]
  }

  /// The network that the metadata has as `text`, with those of its numbers that are tensors.
  /// - Throws: `.malformedFile` naming what is wrong with it; as `read(_:into:)`.
  func readNetwork(_ text: String) throws(CNNError) -> Graph {
    if let network { return network }
    return try Self.network(text, tensors, file)
  }

  private static func network(_ text: String, _ tensors: [Tensor], _ file: FileReader) throws(CNNError) -> Graph {
    try Graph(json: ListTensors.joined(JSON(parsing: text), tensors, of: file))
  }

  /// The row of the tensor `name`; nil if the file has none.
  public subscript(name: String) -> Tensor? { positions[name].map { tensors[$0] } }

  /// Reads the tensor `name` as floats in row-major order, whatever its type in the file: integers and doubles are
  /// rounded to the nearest float, booleans become 0 and 1. The signed bytes of a quantised model's weights become what they
  /// stand for.
  /// - Throws: `.unknownName`; `.shapeMismatch` if `destination` has not exactly one place for each element;
  ///   `.inputOutput` or `.malformedFile` if reading fails.
  public func read(_ name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CNNError) {
    let tensor = try tensor(name, count: destination.count)
    try file.read(tensor.byteRange, of: tensor.type, into: destination)
    if tensor.type == .int8, let levels = weightLevels[name] {
      levels.restore(destination, outputs: tensor.shape.first ?? 1)
    }
  }

  /// Reads the tensor `name`, of an integer type or boolean, as integers in row-major order.
  /// - Throws: `.unknownName`; `.shapeMismatch` if `destination` has not exactly one place for each element or the
  ///   elements are floating point; `.inputOutput` or `.malformedFile` if reading fails or a number does not fit.
  public func read(_ name: String, into destination: UnsafeMutableBufferPointer<Int64>) throws(CNNError) {
    let tensor = try tensor(name, count: destination.count)
    guard tensor.type.isInteger else {
      throw CNNError(.shapeMismatch, "tensor '\(name)' in '\(path)' is \(tensor.type.rawValue); expected integers")
    }
    try file.readChunks(tensor.byteRange, width: tensor.type.byteCount) {
      tensor.type.convert($0, to: .init(rebasing: destination[$1]))
    }
    if tensor.type == .uint64, destination.contains(where: { $0 < 0 }) {
      throw CNNError(.malformedFile, "tensor '\(name)' in '\(path)' has a number beyond \(Int64.max)")
    }
  }

  /// Reads the bytes of the tensor `name` as they are in the file, little endian.
  /// - Throws: `.unknownName`; `.shapeMismatch` if `destination` has not exactly the size of the tensor;
  ///   `.inputOutput` or `.malformedFile` if reading fails.
  public func readBytes(_ name: String, into destination: UnsafeMutableRawBufferPointer) throws(CNNError) {
    let tensor = try tensor(name)
    guard destination.count == tensor.byteRange.count else {
      throw CNNError(
        .shapeMismatch,
        "tensor '\(name)' in '\(path)' has \(tensor.byteRange.count) bytes; there is room for \(destination.count)")
    }
    try file.read(into: destination, at: tensor.byteRange.lowerBound)
  }

  private func tensor(_ name: String) throws(CNNError) -> Tensor {
    guard let tensor = self[name] else {
      throw unknownName("tensor", name, among: tensors.map(\.name)).prefixed("'\(path)'")
    }
    return tensor
  }

  private func tensor(_ name: String, count: Int) throws(CNNError) -> Tensor {
    let tensor = try tensor(name)
    guard tensor.elementCount == count else {
      throw CNNError(
        .shapeMismatch, "tensor '\(name)' in '\(path)' has \(tensor.elementCount) elements; expected \(count)")
    }
    return tensor
  }

  private static func readHeader(of file: FileReader) throws(CNNError) -> (members: JSONObject, end: Int) {
    guard file.byteCount >= 8 else { throw CNNError(.malformedFile, "it has only \(file.byteCount) bytes") }
    let prefix = try Memory(byteCount: 8, for: "the header")
    try file.read(into: UnsafeMutableRawBufferPointer(start: prefix.base, count: 8), at: 0)
    let length = UInt64(littleEndian: prefix.base.load(as: UInt64.self))
    guard length <= UInt64(min(maximumHeaderLength, file.byteCount - 8)) else {
      throw CNNError(.malformedFile, "its header should have \(length) bytes, the file has \(file.byteCount)")
    }
    let text = try Memory(byteCount: Int(length), for: "the header")
    let bytes = UnsafeMutableRawBufferPointer(start: text.base, count: Int(length))
    try file.read(into: bytes, at: 8)
    guard bytes.first == UInt8(ascii: "{") else { throw CNNError(.malformedFile, "its header is not a JSON object") }
    guard let members = try JSON(parsing: UnsafeRawBufferPointer(bytes)).objectValue else {
      throw CNNError(.malformedFile, "its header is not a JSON object")
    }
    return (members, 8 + Int(length))
  }
}
