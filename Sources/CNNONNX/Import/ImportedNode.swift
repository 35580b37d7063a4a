import CNNCore
import CNNGraph

/// A tensor of the network under construction: its axes in the file may stand in another order than in memory.
struct Traced: Equatable {
  let value: Value
  /// For each axis of the file's tensor which one of `value` it is. The batch, where the file has one, is 0 there.
  let order: [Int]

  /// An image: channels second in the file, last in memory.
  static let image = [0, 3, 1, 2]

  /// The position of the batch among the file's axes; nil where the whole tensor is one sample.
  var batch: Int? { order.firstIndex(of: 0) }
}

/// What a name in the file stands for.
enum Known {
  case tensor(Traced)
  case constant(Constant)
}

/// A node of the file with what it reads.
struct ImportedNode {
  /// Nil for an optional input that is left out.
  var inputs: [Known?]
  let outputs: [String]
  /// The version of the operator set.
  let version: Int
  private let attributes: [String: Onnx_AttributeProto]
  private var unread: Set<String>

  init(_ proto: Onnx_NodeProto, inputs: [Known?], version: Int) throws(CNNError) {
    (self.inputs, outputs, self.version) = (inputs, proto.output, version)
    var attributes: [String: Onnx_AttributeProto] = [:]
    for attribute in proto.attribute {
      guard attributes.updateValue(attribute, forKey: attribute.name) == nil else {
        throw CNNError(.malformedFile, "attribute '\(attribute.name)' is given twice")
      }
      guard attribute.refAttrName.isEmpty else {
        throw CNNError(.malformedFile, "attribute '\(attribute.name)' refers to a function's, and there is none")
      }
    }
    self.attributes = attributes
    unread = Set(attributes.keys)
  }

  // MARK: Attributes

  private mutating func take(_ name: String, _ type: Onnx_AttributeProto.AttributeType, _ expected: String)
    throws(CNNError) -> Onnx_AttributeProto?
  {
    unread.remove(name)
    guard let attribute = attributes[name] else { return nil }
    // Files older than the field leave it out.
    guard attribute.type == type || attribute.type == .undefined else {
      throw CNNError(.malformedFile, "attribute '\(name)' is something else than \(expected)")
    }
    return attribute
  }

  mutating func integer(_ name: String) throws(CNNError) -> Int? {
    try take(name, .int, "a whole number").map { Int($0.i) }
  }

  mutating func integer(_ name: String, default fallback: Int) throws(CNNError) -> Int {
    try integer(name) ?? fallback
  }

  mutating func flag(_ name: String, default fallback: Bool) throws(CNNError) -> Bool {
    try integer(name, default: fallback ? 1 : 0) != 0
  }

  mutating func integers(_ name: String) throws(CNNError) -> [Int]? {
    guard let attribute = try take(name, .ints, "whole numbers") else { return nil }
    guard attribute.ints.count <= Constant.maximumCount else {
      throw CNNError(.malformedFile, "attribute '\(name)' has \(attribute.ints.count) numbers")
    }
    return attribute.ints.map { Int($0) }
  }

  /// A number that need not be finite.
  mutating func number(_ name: String) throws(CNNError) -> Double? {
    guard let attribute = try take(name, .float, "a number") else { return nil }
    guard !attribute.f.isNaN else { throw CNNError(.malformedFile, "attribute '\(name)' is not a number") }
    return Double(attribute.f)
  }

  mutating func number(_ name: String, default fallback: Double) throws(CNNError) -> Double {
    try number(name) ?? fallback
  }

  mutating func numbers(_ name: String) throws(CNNError) -> [Float]? {
    try take(name, .floats, "numbers")?.floats
  }

  mutating func text(_ name: String, default fallback: String) throws(CNNError) -> String {
    guard let attribute = try take(name, .string, "a word") else { return fallback }
    guard let text = String(validating: attribute.s, as: UTF8.self) else {
      throw CNNError(.malformedFile, "attribute '\(name)' is not valid UTF-8")
    }
    return text
  }

  mutating func tensor(_ name: String) throws(CNNError) -> Onnx_TensorProto? {
    try take(name, .tensor, "a tensor")?.t
  }

  /// Marks an attribute as known that changes nothing here.
  mutating func pass(_ names: String...) { for name in names { unread.remove(name) } }

  /// Throws where an attribute is one that nobody asked for.
  func finish() throws(CNNError) {
    if let name = unread.min() { throw CNNError(.invalidArgument, "attribute '\(name)' is not supported") }
  }

  // MARK: Inputs

  /// Whether there is an input of that number.
  func has(_ index: Int) -> Bool { inputs.indices.contains(index) && inputs[index] != nil }

  func input(_ index: Int) throws(CNNError) -> Known {
    guard inputs.indices.contains(index), let input = inputs[index] else {
      throw CNNError(.malformedFile, "input \(index) is missing")
    }
    return input
  }

  /// An input that is computed.
  func tensor(_ index: Int) throws(CNNError) -> Traced {
    guard case .tensor(let tensor) = try input(index) else {
      throw CNNError(.invalidArgument, "input \(index) is a constant; expected something computed of the input")
    }
    return tensor
  }

  /// An input that is known.
  func constant(_ index: Int, _ role: String) throws(CNNError) -> Constant {
    guard case .constant(let constant) = try input(index) else {
      throw CNNError(
        .invalidArgument, "\(role) (input \(index)) is computed of the network's input; expected a constant")
    }
    return constant
  }

  func optionalConstant(_ index: Int, _ role: String) throws(CNNError) -> Constant? {
    has(index) ? try constant(index, role) : nil
  }

  /// A single number that is known.
  func optionalScalar(_ index: Int, _ role: String) throws(CNNError) -> Double? {
    guard let constant = try optionalConstant(index, role) else { return nil }
    let numbers = try constant.numbers(role)
    guard numbers.count == 1 else {
      throw CNNError(.invalidArgument, "\(role) has \(numbers.count) numbers; expected one")
    }
    return Double(numbers[0])
  }

  /// An attribute of older versions that is an input of later ones.
  mutating func integers(_ name: String, orInput index: Int) throws(CNNError) -> [Int]? {
    if let values = try integers(name) { return values }
    return try optionalConstant(index, name)?.integers(name)
  }
}
