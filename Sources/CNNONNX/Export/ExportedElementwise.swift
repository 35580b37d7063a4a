import CNNCore
import CNNGraph

extension Activation: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let operand = try exporter.tensor(node.operands[0]), x = operand.name, y = node.name
    defer { exporter.define(node.results[0], order: operand.order) }
    /// Something between.
    func step(_ kind: String, _ inputs: [String]) -> String { exporter.intermediate(kind, inputs, node) }
    switch function {
    case .relu: exporter.append("Relu", [x], y)
    case .relu6: exporter.append("Clip", [x, exporter.scalar(0), exporter.scalar(6)], y)
    case .sigmoid: exporter.append("Sigmoid", [x], y)
    case .tanh: exporter.append("Tanh", [x], y)
    case .softplus: exporter.append("Softplus", [x], y)
    case .softsign: exporter.append("Softsign", [x], y)
    case .exponential: exporter.append("Exp", [x], y)
    case .erf: exporter.append("Erf", [x], y)
    case .logarithm: exporter.append("Log", [x], y)
    case .hardSwish: exporter.append("HardSwish", [x], y)
    case .hardSigmoid: exporter.append("HardSigmoid", [x], y, ["alpha": .number(1.0 / 6), "beta": .number(0.5)])
    case .elu: exporter.append("Elu", [x], y, ["alpha": .number(constants[0])])
    case .selu:
      exporter.append(
        "Selu", [x], y, ["alpha": .number(1.673_263_242_354_377_3), "gamma": .number(1.050_700_987_355_480_5)])
    case .power: exporter.append("Pow", [x, exporter.scalar(constants[0])], y)
    case .clip:
      let minimum = constants[0].isFinite ? exporter.scalar(constants[0]) : ""
      let maximum = constants[1].isFinite ? exporter.scalar(constants[1]) : ""
      exporter.append("Clip", maximum.isEmpty ? (minimum.isEmpty ? [x] : [x, minimum]) : [x, minimum, maximum], y)
    case .silu: exporter.append("Mul", [x, step("Sigmoid", [x])], y)
    case .mish: exporter.append("Mul", [x, step("Tanh", [step("Softplus", [x])])], y)
    case .gelu:
      let erf = step("Erf", [step("Div", [x, exporter.scalar(2.0.squareRoot())])])
      let product = step("Mul", [x, step("Add", [erf, exporter.scalar(1)])])
      exporter.append("Mul", [product, exporter.scalar(0.5)], y)
    case .geluTanh:
      let cube = step("Mul", [step("Mul", [step("Mul", [x, x]), x]), exporter.scalar(0.044715)])
      let inner = step("Mul", [step("Add", [x, cube]), exporter.scalar(0.797_884_560_802_865_4)])
      let product = step("Mul", [x, step("Add", [step("Tanh", [inner]), exporter.scalar(1)])])
      exporter.append("Mul", [product, exporter.scalar(0.5)], y)
    case .leakyRelu:
      let (alpha, threshold, maximum) = (constants[0], constants[1], constants[2])
      if threshold == 0 && maximum == .infinity && alpha == -1 {
        exporter.append("Abs", [x], y)
        return
      }
      if threshold == 0 && maximum == .infinity {
        exporter.append("LeakyRelu", [x], y, ["alpha": .number(alpha)])
        return
      }
      let limit = exporter.scalar(threshold)
      let isAbove = step("Greater", [x, limit])
      let upper = maximum.isFinite ? step("Min", [x, exporter.scalar(maximum)]) : x
      let lower = step("Mul", [step("Sub", [x, limit]), exporter.scalar(alpha)])
      exporter.append("Where", [isAbove, upper, lower], y)
    }
  }
}

extension Rescaling: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.tensor(node.operands[0])
    let isScaled = scale.contains { $0 != 1 }, isMoved = offset.contains { $0 != 0 }
    var name = x.name
    if isScaled {
      let factor = exporter.perChannel(scale, order: x.order)
      if isMoved {
        name = exporter.intermediate("Mul", [name, factor], node)
      } else {
        exporter.append("Mul", [name, factor], node.name)
      }
    }
    if isMoved {
      exporter.append("Add", [name, exporter.perChannel(offset, order: x.order)], node.name)
    } else if !isScaled {
      exporter.append("Identity", [name], node.name)
    }
    exporter.define(node.results[0], order: x.order)
  }
}

/// An operation on two tensors that is one operator.
protocol ONNXExportablePair: ElementwisePair, ONNXExportable {
  /// The operator's name.
  static var operatorName: String { get }
}

extension ONNXExportablePair {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    try exporter.combine(Self.operatorName, node)
  }
}

extension Add: ONNXExportablePair { static let operatorName = "Add" }
extension Multiply: ONNXExportablePair { static let operatorName = "Mul" }
extension Maximum: ONNXExportablePair { static let operatorName = "Max" }
extension Minimum: ONNXExportablePair { static let operatorName = "Min" }

extension Comparison: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    switch kind {
    case .greater: try exporter.combine("Greater", node, isMask: true)
    case .greaterOrEqual: try exporter.combine("GreaterOrEqual", node, isMask: true)
    case .equal: try exporter.combine("Equal", node, isMask: true)
    }
  }
}

extension Select: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let leading = try exporter.leading(node.operands)
    var inputs: [String] = []
    for operand in node.operands { inputs.append(try exporter.aligned(leading, operand).second) }
    inputs[0] = exporter.intermediate("Cast", [inputs[0]], node, ["to": .integer(ElementCode.bool)])
    exporter.append("Where", inputs, node.name)
    exporter.define(node.results[0], order: try exporter.tensor(leading).order)
  }
}

extension GraphExporter {
  /// The operand that says how the axes stand: the one with more axes, or else the one that is an image already.
  fileprivate func leading(_ operands: [Value]) throws(CNNError) -> Value {
    var result = operands[0]
    for operand in operands.dropFirst() {
      let (rank, other) = (source.type(of: result).rank, source.type(of: operand).rank)
      let (isPlain, isOtherPlain) = (try tensor(result).isPlain, try tensor(operand).isPlain)
      if other > rank || other == rank && isPlain && !isOtherPlain { result = operand }
    }
    return result
  }

  /// An operator of two operands that are both repeated as needed.
  fileprivate mutating func combine(_ kind: String, _ node: Node, isMask: Bool = false) throws(CNNError) {
    let leading = try leading(node.operands)
    var inputs: [String] = []
    for operand in node.operands { inputs.append(try aligned(leading, operand).second) }
    if isMask {
      append("Cast", [intermediate(kind, inputs, node)], node.name, ["to": .integer(ElementCode.float32)])
    } else {
      append(kind, inputs, node.name)
    }
    define(node.results[0], order: try tensor(leading).order)
  }
}

extension Softmax: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    try exporter.overChannels("Softmax", node)
  }
}

extension LogSoftmax: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    try exporter.overChannels("LogSoftmax", node)
  }
}

extension GraphExporter {
  fileprivate mutating func overChannels(_ kind: String, _ node: Node) throws(CNNError) {
    let x = try tensor(node.operands[0])
    append(kind, [x.name], node.name, ["axis": .integer(x.order.firstIndex(of: x.order.count - 1) ?? 0)])
    define(node.results[0], order: x.order)
  }
}

extension Fill: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let count = shape.reduce(1, *)
    if count <= 1 << 16 {
      let constant = exporter.floats(Array(repeating: value, count: count), shape: shape)
      exporter.define(node.results[0], as: constant, order: Array(shape.indices))
      return
    }
    exporter.append("Expand", [exporter.scalar(value), exporter.integers(shape.map(Int64.init))], node.name)
    exporter.define(node.results[0], order: Array(shape.indices))
  }
}
