import CNNCore

/// Writes safetensors files.
public enum SafetensorsWriter {
  /// A tensor to write.
  public struct Tensor {
    /// The name, such as `layer1.0.conv1.weight`.
    public var name: String
    /// The sizes, outermost first; empty for a scalar.
    public var shape: [Int]
    /// The element type in memory.
    public var type: ElementType
    /// The element type in the file: that in memory, or of float32 a shorter one, to which numbers are rounded.
    public var storedType: StoredType
    /// Of float32 that is stored as int8, what the bytes stand for.
    public var levels: WeightLevels?
    /// The elements in row-major order, in memory that stays valid until `write` returns.
    public var bytes: UnsafeRawBufferPointer

    /// Describes `bytes` as a tensor, of the element type `storedType` in the file where that is not the one in memory; a
    /// weight with `levels` is stored as signed bytes.
    public init(
      name: String, shape: [Int], type: ElementType, storedAs storedType: StoredType? = nil,
      levels: WeightLevels? = nil, bytes: UnsafeRawBufferPointer
    ) {
      self.name = name
      self.shape = shape
      self.type = type
      self.levels = levels
      self.storedType = levels == nil ? storedType ?? StoredType(type) : .int8
      self.bytes = bytes
    }
  }

  /// Replaces the file `path` by one with these tensors and metadata, at once and whole, or leaves it as it is.
  ///
  /// Equal arguments give equal files. The bytes go from the caller's memory to the file without a copy, where they are
  /// stored in the type that they have; they start at a multiple of 64, and wider element types come first so that every
  /// tensor is aligned, as the reference does it.
  /// - Throws: `.invalidArgument` for a name used twice or reserved by the format, and for a type in which the elements
  ///   cannot be stored; `.shapeMismatch` if bytes and shape disagree; `.inputOutput` naming the path if the system
  ///   refuses, for example because the disk is full; `.outOfMemory`.
  public static func write(
    to path: String, tensors: [Tensor], metadata: [String: String] = [:]
  ) throws(CNNError) {
    let (header, ordered) = try layout(tensors, metadata)
    try AtomicFile.write(to: path) { (file) throws(CNNError) in
      try file.write(header)
      for tensor in ordered {
        let stored = try tensor.stored()
        defer { withExtendedLifetime(stored.owner) {} }
        try file.write(stored.bytes)
      }
    }
  }

  /// Writes the contents of such a file to memory, where they fit in.
  /// - Returns: how many bytes they are. Where `destination` has fewer nothing is written.
  /// - Throws: as `write(to:tensors:metadata:)`.
  public static func write(
    into destination: UnsafeMutableRawBufferPointer, tensors: [Tensor], metadata: [String: String] = [:]
  ) throws(CNNError) -> Int {
    let (header, ordered) = try layout(tensors, metadata)
    let byteCount = try Checked.sum([header.count] + ordered.map(\.storedByteCount), "the contents of the file")
    guard byteCount <= destination.count else { return byteCount }
    destination.copyBytes(from: header)
    var end = header.count
    for tensor in ordered {
      let stored = try tensor.stored()
      defer { withExtendedLifetime(stored.owner) {} }
      UnsafeMutableRawBufferPointer(rebasing: destination[end...]).copyMemory(from: stored.bytes)
      end += stored.bytes.count
    }
    return byteCount
  }

  /// The bytes before the tensors, the header's length first, and the tensors in the order in which they follow.
  private static func layout(_ tensors: [Tensor], _ metadata: [String: String]) throws(CNNError) -> ([UInt8], [Tensor])
  {
    for tensor in tensors { try tensor.checkType() }
    let ordered = [4, 2, 1].flatMap { width in tensors.filter { $0.storedType.byteCount == width } }
    let header = Array(try headerText(ordered, metadata).utf8)
    return (withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header, ordered)
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
      end = try Checked.sum([start, tensor.storedByteCount], "the tensors of the file")
      header[tensor.name] = [
        "dtype": .string(tensor.storedType.rawValue),
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

extension SafetensorsWriter.Tensor {
  /// How many bytes it has in the file.
  var storedByteCount: Int { bytes.count / type.byteCount * storedType.byteCount }

  /// Its bytes as the file has them: the caller's, or where they are converted, those in `owner`, which has to be kept.
  func stored() throws(CNNError) -> (bytes: UnsafeRawBufferPointer, owner: Memory?) {
    guard storedType != StoredType(type) else { return (bytes, nil) }
    let rounded = try Memory(byteCount: storedByteCount, for: "'\(name)' as \(storedType)")
    let result = UnsafeMutableRawBufferPointer(start: rounded.base, count: storedByteCount)
    let numbers = bytes.bindMemory(to: Float.self)
    if let levels {
      levels.round(numbers, outputs: shape.first ?? 1, into: result.bindMemory(to: Int8.self))
    } else {
      BFloat16.convert(numbers, to: result.bindMemory(to: BFloat16.self))
    }
    return (UnsafeRawBufferPointer(result), rounded)
  }

  /// - Throws: `.invalidArgument` where elements of its type cannot be stored as it says.
  func checkType() throws(CNNError) {
    guard
      storedType == StoredType(type) || (type, storedType) == (.float32, .bfloat16)
        || type == .float32 && storedType == .int8 && levels != nil
    else {
      throw CNNError(.invalidArgument, "tensor '\(name)' is \(type), which cannot be stored as \(storedType)")
    }
  }
}
