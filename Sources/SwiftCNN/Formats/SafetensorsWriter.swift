import CNNCore

/// Writes safetensors files.
public enum SafetensorsWriter {
  /// A tensor to write.
  public struct Tensor {
    /// The name, such as `layer1.0.conv1.weight`.
    public var name: String
    /// The sizes, outermost first; empty for a scalar.
    public var shape: [Int]
    /// The element type.
    public var type: ElementType
    /// The elements in row-major order, in memory that stays valid until `write` returns.
    public var bytes: UnsafeRawBufferPointer

    /// Describes `bytes` as a tensor.
    public init(name: String, shape: [Int], type: ElementType, bytes: UnsafeRawBufferPointer) {
      self.name = name
      self.shape = shape
      self.type = type
      self.bytes = bytes
    }
  }

  /// Replaces the file `path` by one with these tensors and metadata, at once and whole, or leaves it as it is.
  ///
  /// Equal arguments give equal files. The bytes go from the caller's memory to the file without a copy; they start at
  /// a multiple of 64, and wider element types come first so that every tensor is aligned, as the reference does it.
  /// - Throws: `.invalidArgument` for a name used twice or reserved by the format; `.shapeMismatch` if bytes and shape
  ///   disagree; `.inputOutput` naming the path if the system refuses, for example because the disk is full.
  public static func write(
    to path: String, tensors: [Tensor], metadata: [String: String] = [:]
  ) throws(CNNError) {
    let ordered = [4, 1].flatMap { width in tensors.filter { $0.type.byteCount == width } }
    let header = try headerText(ordered, metadata)
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      try withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { (length) throws(CNNError) in
        try file.write(length)
      }
      try file.write(header)
      for tensor in ordered { try file.write(tensor.bytes) }
    }
  }

  /// The header, padded with spaces.
  private static func headerText(_ tensors: [Tensor], _ metadata: [String: String]) throws(CNNError) -> String {
    var header = JSONObject()
    if !metadata.isEmpty {
      var strings = JSONObject()
      for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { strings[key] = .string(value) }
      header[SafetensorsHeader.metadataKey] = .object(strings)
    }
    var end = 0
    for tensor in tensors {
      guard tensor.name != SafetensorsHeader.metadataKey, header[tensor.name] == nil else {
        throw CNNError(.invalidArgument, "two tensors are named '\(tensor.name)', or the name is reserved")
      }
      let byteCount = try Checked.product(tensor.shape + [tensor.type.byteCount], "tensor '\(tensor.name)'")
      guard byteCount == tensor.bytes.count else {
        throw CNNError(
          .shapeMismatch,
          "tensor '\(tensor.name)' has \(tensor.bytes.count) bytes; \(tensor.type) of shape \(tensor.shape) takes \(byteCount)"
        )
      }
      let start = end
      end = try Checked.sum([start, byteCount], "the tensors of the file")
      header[tensor.name] = [
        "dtype": .string(StoredType(tensor.type).rawValue),
        "shape": .integers(tensor.shape),
        "data_offsets": .integers([start, end]),
      ]
    }
    let text = try JSON.object(header).serialized()
    guard text.utf8.count <= SafetensorsFile.maximumHeaderLength - 64 else {
      throw CNNError(.invalidArgument, "names and metadata take \(text.utf8.count) bytes, too many for the format")
    }
    return text + String(repeating: " ", count: 63 - (text.utf8.count + 8 + 63) % 64)
  }
}
