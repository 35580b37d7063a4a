import CNNCore
import CNNGraph
import FoundationEssentials

/// A value of the network as a tensor of the ONNX graph.
struct ExportedTensor {
  let name: String
  /// Which axis of the network's value each axis of the tensor is: `[0, 3, 1, 2]` for an image, whose channels come second.
  let order: [Int]

  /// Whether the axes stand as in the network.
  var isPlain: Bool { order == Array(order.indices) }
}

/// An operation that ONNX has operators for.
protocol ONNXExportable: Operation {
  /// Adds them, and says with `define` what the node's results are.
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError)
}

/// Writes the nodes of a network one after the other.
struct GraphExporter {
  let source: Graph
  private(set) var proto = Onnx_GraphProto()
  private let options: ONNXExportOptions
  private var tensors: [Value: [ExportedTensor]] = [:]
  private var names: Set<String> = []
  private var constants: [String: String] = [:]
  private let batched: [Bool]
  /// The bytes that parameters are written as, by name.
  let weightLevels: [String: WeightLevels]
  /// The positions of the nodes that read each value.
  let consumers: [[Int]]
  /// The values of parameters, by name.
  private(set) var values: [String: UnsafeBufferPointer<Float>] = [:]

  init(_ source: Graph, options: ONNXExportOptions) {
    (self.source, self.options) = (source, options)
    weightLevels = source.weightLevels
    consumers = source.consumers()
    proto.name = options.name
    // The network's own names stay as they are; what is added makes way.
    names = Set(source.valueNames)
    batched = source.dependents(of: source.inputs.map(\.value))
  }

  mutating func run(values: (Parameter) throws(CNNError) -> UnsafeBufferPointer<Float>) throws(CNNError) {
    for input in source.inputs { addInput(input) }
    for parameter in source.parameters { try addParameter(parameter, values(parameter)) }
    for node in source.nodes {
      let kind = type(of: node.operation).name
      guard let operation = node.operation as? any ONNXExportable else {
        throw CNNError(.invalidArgument, "operation '\(kind)' ('\(node.name)') has no ONNX operator")
      }
      do throws(CNNError) {
        try operation.export(node, into: &self)
      } catch {
        throw error.prefixed("\(kind) '\(node.name)'")
      }
    }
    for output in source.outputs { try addOutput(output) }
    // A bias that is written as whole numbers is not needed as floats.
    let read = Set(proto.node.flatMap(\.input)).union(proto.output.map(\.name))
    proto.initializer.removeAll { !read.contains($0.name) }
  }

  // MARK: The border

  private mutating func addInput(_ input: Input) {
    let shape = source.shape(of: input.value)
    let order = borderOrder(rank: shape.count)
    proto.input.append(description(input.name, source.type(of: input.value).element, shape, order))
    tensors[input.value] = [ExportedTensor(name: input.name, order: order)]
  }

  private mutating func addParameter(_ parameter: Parameter, _ numbers: UnsafeBufferPointer<Float>) throws(CNNError) {
    guard let value = source.value(named: parameter.name) else { return }
    values[parameter.name] = numbers
    guard numbers.count == source.type(of: value).count else {
      throw CNNError(.internalFault, "parameter '\(parameter.name)' has \(numbers.count) values")
    }
    if let levels = weightLevels[parameter.name] {
      var bytes = [Int8](repeating: 0, count: numbers.count)
      bytes.withUnsafeMutableBufferPointer { levels.round(numbers, outputs: parameter.shape[0], into: $0) }
      add(parameter.name, parameter.shape, ElementCode.int8, bytes.withUnsafeBufferPointer { Data(buffer: $0) })
    } else {
      add(parameter.name, parameter.shape, ElementCode.float32, Data(buffer: numbers))
    }
    tensors[value] = [ExportedTensor(name: parameter.name, order: Array(parameter.shape.indices))]
  }

  private mutating func addOutput(_ output: Output) throws(CNNError) {
    let shape = source.shape(of: output.value), order = borderOrder(rank: shape.count)
    let name = try tensor(output.value, order: order)
    // An output has a name of its own, unless it is just what a node gives.
    var outputName = output.name
    if name != outputName || proto.input.contains(where: { $0.name == name })
      || proto.output.contains(where: { $0.name == name })
    {
      if names.contains(outputName) { outputName = unique("\(outputName).output") }
      names.insert(outputName)
      append("Identity", [name], outputName)
    }
    proto.output.append(description(outputName, source.type(of: output.value).element, shape, order))
  }

  private func borderOrder(rank: Int) -> [Int] {
    rank == 4 && options.layout == .nchw ? Self.channelsFirst(rank: rank) : Array(0..<rank)
  }

  private func description(_ name: String, _ element: ElementType, _ shape: [Int?], _ order: [Int])
    -> Onnx_ValueInfoProto
  {
    let codes = [
      ElementType.float32: ElementCode.float32, .int32: ElementCode.int32, .uint8: ElementCode.uint8,
    ]
    return .with {
      $0.name = name
      $0.type.tensorType.elemType = Int32(codes[element] ?? 0)
      $0.type.tensorType.shape.dim = order.map { axis in
        .with { dimension in
          if axis == 0 {
            dimension.dimParam = "batch"
          } else if let size = shape[axis] {
            dimension.dimValue = Int64(size)
          } else {
            dimension.dimParam = "\(name)_axis\(axis)"
          }
        }
      }
    }
  }

  // MARK: Tensors

  /// The axes of a value with the channels after the batch.
  static func channelsFirst(rank: Int) -> [Int] {
    rank < 2 ? Array(0..<rank) : [0, rank - 1] + Array(1..<rank - 1)
  }

  /// Whether the first axis of a value is the batch: not that of parameters, nor of what is made of them alone.
  func isBatched(_ value: Value) -> Bool { batched[value.index] }

  /// A value's tensor as it is at hand, preferring the form in which it was made.
  func tensor(_ value: Value) throws(CNNError) -> ExportedTensor {
    guard let tensor = tensors[value]?.first else {
      throw CNNError(.internalFault, "'\(source.name(of: value))' was not written")
    }
    return tensor
  }

  /// A value's tensor with its axes in this order, transposed where it is not at hand.
  mutating func tensor(_ value: Value, order: [Int]) throws(CNNError) -> String {
    if let known = tensors[value]?.first(where: { $0.order == order }) { return known.name }
    let made = try tensor(value)
    let moves = order.map { made.order.firstIndex(of: $0) ?? 0 }
    let name = unique("\(source.name(of: value)).transposed")
    // Axes of size 1 change places without anything being moved.
    let shape = source.shape(of: value), moving = order.filter { shape[$0] != 1 }
    var isInput = false
    if case .input = source.definition(of: value) { isInput = true }
    if moving == made.order.filter({ shape[$0] != 1 }), !shape.contains(nil), !isInput {
      let sizes = order.map { $0 == 0 && isBatched(value) ? 0 : Int64(shape[$0] ?? 1) }
      append("Reshape", [made.name, integers(sizes)], name)
    } else {
      append("Transpose", [made.name], name, ["perm": .integers(moves)])
    }
    tensors[value, default: []].append(ExportedTensor(name: name, order: order))
    return name
  }

  /// A value's tensor with its channels, the last axis, after the batch.
  mutating func channelsFirst(_ value: Value) throws(CNNError) -> String {
    try tensor(value, order: Self.channelsFirst(rank: source.type(of: value).rank))
  }

  /// A value's tensor with the axes of the network.
  mutating func plain(_ value: Value) throws(CNNError) -> String {
    try tensor(value, order: Array(0..<source.type(of: value).rank))
  }

  /// Says that a node's result is the tensor of its name, with these axes.
  mutating func define(_ result: Value, order: [Int]) {
    tensors[result] = [ExportedTensor(name: source.name(of: result), order: order)]
  }

  /// Says that a node's result is another tensor.
  mutating func define(_ result: Value, as name: String, order: [Int]) {
    tensors[result] = [ExportedTensor(name: name, order: order)]
  }

  // MARK: Nodes and constants

  /// Adds a node.
  mutating func append(
    _ kind: String, _ inputs: [String], _ output: String, _ attributes: KeyValuePairs<String, ExportedAttribute> = [:]
  ) {
    proto.node.append(
      .with {
        $0.opType = kind
        $0.name = output
        $0.input = inputs
        $0.output = [output]
        $0.attribute = attributes.map { name, value in value.proto(name) }
      })
  }

  /// Adds a node that gives something between the network's own values, and returns its name.
  mutating func intermediate(
    _ kind: String, _ inputs: [String], _ node: Node, _ attributes: KeyValuePairs<String, ExportedAttribute> = [:]
  ) -> String {
    let name = unique("\(node.name).\(kind.lowercased())")
    append(kind, inputs, name, attributes)
    return name
  }

  /// A name that nothing else has.
  mutating func unique(_ stem: String) -> String {
    var name = stem, number = 0
    while !names.insert(name).inserted {
      number += 1
      name = "\(stem)_\(number)"
    }
    return name
  }

  /// A constant number, written once.
  mutating func scalar(_ value: Double) -> String { floats([value], shape: []) }

  /// Constant numbers of this shape; nil for a list.
  mutating func floats(_ values: [Double], shape: [Int]?) -> String {
    let shape = shape ?? [values.count]
    return constant("float\(shape)\(values)", shape, ElementCode.float32, values.map { Float($0) })
  }

  /// A list of constant whole numbers.
  mutating func integers(_ values: [Int64]) -> String {
    constant("integer\(values)", [values.count], ElementCode.int64, values)
  }

  /// Levels of quantised numbers, of one byte each.
  mutating func levels(_ values: [Double], isSigned: Bool) -> String {
    let shape = values.count == 1 ? [] : [values.count], key = "levels\(isSigned)\(values)"
    return isSigned
      ? constant(key, shape, ElementCode.int8, values.map { Int8($0) })
      : constant(key, shape, ElementCode.uint8, values.map { UInt8($0) })
  }

  /// A list of whole numbers of a type, with a name of its own.
  mutating func list<Number>(_ values: [Number], _ code: Int, named stem: String) -> String {
    let name = unique(stem)
    add(name, [values.count], code, values.withUnsafeBufferPointer { Data(buffer: $0) })
    return name
  }

  private mutating func add(_ name: String, _ shape: [Int], _ code: Int, _ bytes: Data) {
    proto.initializer.append(
      .with {
        $0.name = name
        $0.dims = shape.map(Int64.init)
        $0.dataType = Int32(code)
        $0.rawData = bytes
      })
  }

  private mutating func constant<Number>(_ key: String, _ shape: [Int], _ code: Int, _ values: [Number]) -> String {
    if let known = constants[key] { return known }
    let name = unique("constant")
    constants[key] = name
    add(name, shape, code, values.withUnsafeBufferPointer { Data(buffer: $0) })
    return name
  }
}

/// The value of an attribute of an ONNX node.
enum ExportedAttribute {
  case integer(Int)
  case integers([Int])
  case number(Double)
  case text(String)

  func proto(_ name: String) -> Onnx_AttributeProto {
    .with {
      $0.name = name
      switch self {
      case .integer(let value):
        $0.i = Int64(value)
        $0.type = .int
      case .integers(let values):
        $0.ints = values.map(Int64.init)
        $0.type = .ints
      case .number(let value):
        $0.f = Float(value)
        $0.type = .float
      case .text(let value):
        $0.s = Data(value.utf8)
        $0.type = .string
      }
    }
  }
}
