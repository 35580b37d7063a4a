import CNNCore

/// The meaning of a safetensors header, with everything checked that a file can get wrong.
enum SafetensorsHeader {
  /// The key whose value is not a tensor but the metadata.
  static let metadataKey = "__metadata__"

  /// The strings under `__metadata__`.
  static func metadata(of header: JSONObject) throws(CNNError) -> [String: String] {
    guard let value = header[metadataKey] else { return [:] }
    guard let object = value.objectValue else {
      throw CNNError(.malformedFile, "\(metadataKey) is not an object")
    }
    var metadata: [String: String] = [:]
    for (key, value) in object.members {
      guard let string = value.stringValue else {
        throw CNNError(.malformedFile, "\(metadataKey) '\(abbreviated(key))' is not a string")
      }
      metadata[key] = string
    }
    return metadata
  }

  /// The tensors in the order of their bytes, which must fill `data` (a range of the file) without hole or overlap.
  static func tensors(of header: JSONObject, in data: Range<Int>) throws(CNNError) -> [SafetensorsFile.Tensor] {
    var tensors: [SafetensorsFile.Tensor] = []
    for (name, value) in header.members where name != metadataKey {
      do throws(CNNError) {
        guard let row = value.objectValue else { throw CNNError(.malformedFile, "expected an object") }
        tensors.append(try tensor(name, row, in: data))
      } catch {
        throw CNNError(.malformedFile, "tensor '\(abbreviated(name))': \(error.message)")
      }
    }
    tensors.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound) < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    var end = data.lowerBound
    for tensor in tensors {
      guard tensor.byteRange.lowerBound == end else {
        let problem = tensor.byteRange.lowerBound < end ? "overlaps the one before" : "leaves a hole before it"
        throw CNNError(.malformedFile, "tensor '\(abbreviated(tensor.name))' \(problem)")
      }
      end = tensor.byteRange.upperBound
    }
    guard end == data.upperBound else {
      throw CNNError(.malformedFile, "there are \(data.upperBound - end) bytes after the last tensor")
    }
    return tensors
  }

  private static func tensor(
    _ name: String, _ row: JSONObject, in data: Range<Int>
  ) throws(CNNError) -> SafetensorsFile.Tensor {
    let typeName = try row.string("dtype")
    guard let type = StoredType(rawValue: typeName) else {
      throw unknownName("dtype", typeName, among: StoredType.allCases.map(\.rawValue))
    }
    let shape = try row.integers("shape")
    guard shape.count <= SafetensorsFile.maximumRank else {
      throw CNNError(.malformedFile, "\(shape.count) dimensions are too many")
    }
    let byteCount = try Checked.product(shape + [type.byteCount], "shape")
    let offsets = try row.integers("data_offsets")
    guard offsets.count == 2, 0 <= offsets[0], offsets[0] <= offsets[1], offsets[1] <= data.count else {
      throw CNNError(.malformedFile, "data_offsets are not a range within the \(data.count) bytes of data")
    }
    guard offsets[1] - offsets[0] == byteCount else {
      throw CNNError(
        .malformedFile,
        "\(typeName) of shape \(shape) takes \(byteCount) bytes, data_offsets span \(offsets[1] - offsets[0])")
    }
    return SafetensorsFile.Tensor(
      name: name, type: type, shape: shape,
      byteRange: data.lowerBound + offsets[0]..<data.lowerBound + offsets[1])
  }

  /// The beginning of a name from a file, for a message.
  private static func abbreviated(_ name: String) -> String {
    name.utf8.count <= 100 ? name : String(name.unicodeScalars.prefix(100)) + "..."
  }
}
