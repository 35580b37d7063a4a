import CNNCore
import CNNGraph

/// Long lists of numbers among the attributes of a network's operations, as the scales of a weight's channels. A model file
/// has them as tensors, in which a number takes 4 bytes instead of the 13 of its text; `{"tensor": name}` stands in the text.
enum ListTensors {
  /// Before their names, as in `attributes.fc.weight.levels/scale`.
  static let prefix = "attributes."
  private static let key = "tensor"
  /// The fewest numbers that take less as a tensor, whose row in the header has some hundred bytes.
  private static let fewest = 16
  /// The most numbers of all lists together: those of a text as long as a header may be have as many bytes.
  private static let most = SafetensorsFile.maximumHeaderLength / 4

  /// The text of a network without its long lists, and these.
  static func separated(_ network: Graph) -> (network: JSON, lists: [(name: String, numbers: [Float])]) {
    var lists: [(name: String, numbers: [Float])] = [], count = 0
    let text = network.json.mappingAttributes { name, value in
      guard let list = value.arrayValue, list.count >= fewest, count + list.count <= most else { return nil }
      let numbers = list.compactMap(float)
      guard numbers.count == list.count else { return nil }
      lists.append((prefix + name, numbers))
      count += numbers.count
      return [key: .string(prefix + name)]
    }
    return (text, lists)
  }

  /// The float that a number is, and comes back from; nil where there is none.
  private static func float(_ value: JSON) -> Float? {
    guard case .number(let number) = value else { return nil }
    let float = Float(number)
    return float.shortest == number ? float : nil
  }

  /// The text of a network with its long lists.
  /// - Throws: `.malformedFile` naming a tensor that is no list, and where there are too many numbers; as `FileReader.read`.
  static func joined(
    _ network: JSON, _ tensors: [SafetensorsFile.Tensor], of file: FileReader
  ) throws(CNNError) -> JSON {
    let named = tensors.filter { $0.name.hasPrefix(prefix) }
    if named.isEmpty { return network }
    let tensors = Dictionary(named.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var left = most
    return try network.mappingAttributes { (_, value) throws(CNNError) -> JSON? in
      guard let name = value.objectValue?[key]?.stringValue, let tensor = tensors[name] else { return nil }
      guard tensor.type == .float32, tensor.shape.count == 1, tensor.elementCount <= left else {
        throw CNNError(
          .malformedFile,
          "tensor '\(name)' is \(tensor.type.rawValue) of shape \(describe(tensor.shape)); expected a list of at most "
            + "\(left) numbers of \(StoredType.float32.rawValue)")
      }
      left -= tensor.elementCount
      let numbers = try Memory(byteCount: tensor.byteRange.count, for: "'\(name)'")
      try file.read(tensor.byteRange, of: .float32, into: numbers.floats)
      return .numbers(numbers.floats.map(\.shortest))
    }
  }
}

extension JSON {
  /// A network's text with other values of its nodes' attributes.
  /// - Parameter change: what an attribute's value becomes, which is called as its node and itself, as `fc.weight.levels/scale`;
  ///   nil where it stays.
  fileprivate func mappingAttributes<Failure: Error>(
    _ change: (_ name: String, _ value: JSON) throws(Failure) -> JSON?
  ) throws(Failure) -> JSON {
    guard var network = objectValue, var nodes = network["nodes"]?.arrayValue else { return self }
    for index in nodes.indices {
      guard var node = nodes[index].objectValue, var attributes = node["attributes"]?.objectValue,
        let name = node["name"]?.stringValue
      else { continue }
      for (attribute, value) in attributes.members {
        if let changed = try change("\(name)/\(attribute)", value) { attributes[attribute] = changed }
      }
      node["attributes"] = .object(attributes)
      nodes[index] = .object(node)
    }
    network["nodes"] = .array(nodes)
    return .object(network)
  }
}
