import CNNCore
import CNNGraph

/// The masks of a network's parameters as tensors of a model file: a bit for each number, in the parameter's order, the
/// lowest of each byte first.
struct MaskTensors {
  private let masks: [(name: String, byteCount: Int, offset: Int)]
  private let memory: Memory

  /// Those that a network has.
  init(_ network: Graph) throws(CNNError) {
    var masks: [(name: String, byteCount: Int, offset: Int)] = [], end = 0
    for parameter in network.parameters {
      guard let mask = parameter.mask else { continue }
      let count = SparsityMask.byteCount(mask.count)
      masks.append((ModelFile.maskPrefix + parameter.name, count, end))
      end += count
    }
    memory = try Memory(byteCount: end, for: "masks")
    self.masks = masks
    let all = UnsafeMutableRawBufferPointer(start: memory.base, count: end)
    var offset = 0
    for mask in network.parameters.compactMap(\.mask) {
      let bytes = mask.bytes
      UnsafeMutableRawBufferPointer(rebasing: all[offset..<offset + bytes.count]).copyBytes(from: bytes)
      offset += bytes.count
    }
  }

  var isEmpty: Bool { masks.isEmpty }

  /// The tensors, which are there as long as these.
  var tensors: [SafetensorsWriter.Tensor] {
    masks.map {
      .init(
        name: $0.name, shape: [$0.byteCount], type: .uint8,
        bytes: UnsafeRawBufferPointer(start: memory.base + $0.offset, count: $0.byteCount))
    }
  }

  /// A network with the masks that its file has.
  /// - Throws: `.malformedFile` naming a mask that is none of a parameter, or of another size; as `FileReader.read`.
  static func joined(_ network: Graph, of file: SafetensorsFile) throws(CNNError) -> Graph {
    let tensors = file.tensors.filter { $0.name.hasPrefix(ModelFile.maskPrefix) }
    if tensors.isEmpty { return network }
    let parameters = Dictionary(
      network.parameters.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var masks: [String: SparsityMask] = [:]
    for tensor in tensors {
      let name = String(tensor.name.dropFirst(ModelFile.maskPrefix.count))
      guard let parameter = parameters[name] else {
        throw CNNError(.malformedFile, "'\(tensor.name)' is a mask of '\(name)', which is no parameter of the network")
      }
      let count = try Checked.product(parameter.shape, "parameter '\(name)'")
      guard tensor.type == .uint8, tensor.shape == [SparsityMask.byteCount(count)] else {
        throw CNNError(
          .malformedFile,
          "the mask '\(tensor.name)' is \(tensor.type.rawValue) of shape \(describe(tensor.shape)); expected "
            + "\(StoredType.uint8.rawValue) of shape [\(SparsityMask.byteCount(count))], a bit for each number")
      }
      let bytes = try Memory(byteCount: tensor.byteRange.count, for: "'\(tensor.name)'")
      let all = UnsafeMutableRawBufferPointer(start: bytes.base, count: bytes.byteCount)
      if all.count > 0 { try file.readBytes(tensor.name, into: all) }
      guard let mask = SparsityMask(count: count, bytes: UnsafeRawBufferPointer(all)) else {
        throw CNNError(.malformedFile, "the mask '\(tensor.name)' has bits behind those of its \(count) numbers")
      }
      masks[name] = mask
    }
    var result = network
    result.setMasks { masks[$0.name] }
    return result
  }
}
