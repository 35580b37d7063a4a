/// What is drawn of a network: boxes with a row for each operation. Operations that follow each other without a branch are
/// in one box.
struct DrawnUnits {
  /// One operation, input or output.
  struct Row {
    let text, name, shape: String
    let kind: Kind
  }

  /// What kind of operation it is, which its colour shows.
  enum Kind {
    case end, convolution, dense, normalization, activation, pooling, merge, other
  }

  /// A box. Its group is the block of layers that it belongs to, by name.
  struct Unit {
    var rows: [Row]
    let group: String?
    var sources: [Int]
  }

  private(set) var units: [Unit] = []

  init(_ graph: Graph) {
    var unitOf: [Int: Int] = [:]
    // The value that the last row of each box gives; nil where no other row may follow.
    var last: [Value?] = []
    let consumers = graph.consumers(), given = Set(graph.outputs.map(\.value.index))
    let names = Set(graph.nodes.map(\.name))
    var prefixes: Set<Substring> = []
    for name in names {
      for dot in name.indices where name[dot] == "." { prefixes.insert(name[..<dot]) }
    }
    func shape(_ value: Value) -> String {
      graph.shape(of: value).dropFirst().map { $0.map(String.init) ?? "?" }.joined(separator: "×")
    }
    for input in graph.inputs {
      unitOf[input.value.index] = units.count
      let row = Row(text: "input", name: input.name, shape: shape(input.value), kind: .end)
      units.append(Unit(rows: [row], group: nil, sources: []))
      last.append(nil)
    }
    for node in graph.nodes {
      var sources: [Int] = []
      for operand in node.operands {
        if let source = unitOf[operand.index], !sources.contains(source) { sources.append(source) }
      }
      let group = Self.group(of: node.name, prefixes), (text, kind) = Self.label(node, graph)
      let row = Row(text: text, name: node.name, shape: shape(node.results[0]), kind: kind)
      let index: Int
      if sources.count == 1, let operand = node.operands.first(where: { unitOf[$0.index] != nil }),
        consumers[operand.index].count == 1, !given.contains(operand.index), units[sources[0]].group == group,
        last[sources[0]] == operand
      {
        index = sources[0]
        units[index].rows.append(row)
        last[index] = node.results[0]
      } else {
        index = units.count
        units.append(Unit(rows: [row], group: group, sources: sources))
        last.append(node.results[0])
      }
      for result in node.results { unitOf[result.index] = index }
    }
    for output in graph.outputs {
      let row = Row(text: "output", name: output.name, shape: shape(output.value), kind: .end)
      units.append(Unit(rows: [row], group: nil, sources: [unitOf[output.value.index]].compactMap(\.self)))
    }
  }

  /// The block that a layer is of: `layer1.0` of `layer1.0.conv1`, `features.2.1` of `features.2.1.block.0.0`.
  private static func group(of name: String, _ prefixes: Set<Substring>) -> String? {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let proper = prefixes.contains(name[...]) ? parts[...] : parts.dropLast()
    guard let first = proper.firstIndex(where: { Int($0) != nil }) else {
      return proper.isEmpty ? nil : proper.joined(separator: ".")
    }
    let end = proper[first...].firstIndex { Int($0) == nil } ?? proper.endIndex
    return proper[..<end].joined(separator: ".")
  }

  /// What an operation does, in few words.
  private static func label(_ node: Node, _ graph: Graph) -> (text: String, kind: Kind) {
    func times(_ sizes: [Int]) -> String { sizes.map(String.init).joined(separator: "×") }
    func strided(_ stride: [Int]) -> String {
      stride.allSatisfy { $0 == 1 } ? "" : " /\(Set(stride).count == 1 ? String(stride[0]) : times(stride))"
    }
    let name = String(type(of: node.operation).name.map { $0 == "_" ? " " : $0 })
    switch node.operation {
    case let operation as Convolution2D:
      let weight = graph.type(of: node.operands[1]).shape
      let channels = graph.type(of: node.operands[0]).shape.last
      let groups =
        operation.groups == 1 ? "" : operation.groups == channels ? " depthwise" : " \(operation.groups) groups"
      return ("\(times(Array(weight.suffix(2)))) conv\(groups)\(strided(operation.stride))", .convolution)
    case let operation as Pooling2D:
      return (
        "\(times(operation.window.kernel)) \(operation.kind.rawValue) pool\(strided(operation.window.stride))", .pooling
      )
    case let operation as GlobalPooling2D: return ("global \(operation.kind.rawValue) pool", .pooling)
    case let operation as Activation: return (operation.function.rawValue, .activation)
    case is ConvolutionTranspose2D: return (name, .convolution)
    case is Dense: return (name, .dense)
    case is BatchNormalization: return (name, .normalization)
    case is Softmax: return (name, .activation)
    case is Add, is Multiply, is Concatenate: return (name, .merge)
    default: return (name, .other)
    }
  }
}
