import CNNCore
import CNNGraph
import Glibc

extension FakeQuantize: ONNXExportable {
  /// A pair of `QuantizeLinear` and `DequantizeLinear`; of a weight that is written as bytes the second alone.
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    if let parameter = exporter.source.parameter(defining: node.operands[0]),
      let levels = exporter.weightLevels[parameter.name]
    {
      let scale = exporter.floats(levels.scales.map { Double($0) }, shape: nil)
      // Each weight has its own: where ONNX Runtime makes weights unsigned it refuses files in which two share one.
      let zero = exporter.list(
        levels.scales.map { _ in Int8(0) }, ElementCode.int8, named: "\(parameter.name).zero_point")
      let weight = try exporter.plain(node.operands[0])
      exporter.append("DequantizeLinear", [weight, scale, zero], node.name, ["axis": .integer(0)])
      exporter.define(node.results[0], order: Array(0..<exporter.source.type(of: node.operands[0]).rank))
      return
    }
    let x = try exporter.tensor(node.operands[0])
    try exporter.appendPair(self, x.name, node, to: node.name, order: x.order)
    exporter.define(node.results[0], order: x.order)
  }

  /// The type of bytes that has these levels; nil where none has.
  fileprivate var bytes: ClosedRange<Double>? {
    [0...255, -128...127].first { range in
      range.contains(minimum) && range.contains(maximum)
        && zeroPoint.allSatisfy { range.contains($0) && $0.rounded() == $0 }
    }
  }
}

extension GraphExporter {
  /// Rounds a tensor to levels, by way of bytes.
  fileprivate mutating func appendPair(
    _ rounding: FakeQuantize, _ x: String, _ node: Node, to result: String, order: [Int]
  ) throws(CNNError) {
    guard let bytes = rounding.bytes else {
      throw CNNError(
        .invalidArgument,
        "the levels are from \(rounding.minimum) to \(rounding.maximum); expected those of int8 or uint8, which ONNX has"
      )
    }
    let count = max(rounding.scale.count, rounding.zeroPoint.count)
    func each(_ values: [Double]) -> [Double] {
      values.count == count ? values : Array(repeating: values[0], count: count)
    }
    let scales = each(rounding.scale), zeros = each(rounding.zeroPoint)
    var x = x
    if rounding.minimum > bytes.lowerBound || rounding.maximum < bytes.upperBound {
      // Levels that do not occur.
      let lowest = zip(scales, zeros).map { (rounding.minimum - $1) * $0 }
      let highest = zip(scales, zeros).map { (rounding.maximum - $1) * $0 }
      x = intermediate("Max", [x, perChannel(lowest, order: order)], node)
      x = intermediate("Min", [x, perChannel(highest, order: order)], node)
    }
    let scale = floats(scales, shape: count == 1 ? [] : [count])
    let zero = levels(zeros, isSigned: bytes.lowerBound < 0)
    let axis = order.firstIndex(of: rounding.axis < 0 ? order.count + rounding.axis : rounding.axis) ?? 0
    let attributes: KeyValuePairs<String, ExportedAttribute> = count == 1 ? [:] : ["axis": .integer(axis)]
    let levels = intermediate("QuantizeLinear", [x, scale, zero], node, attributes)
    append("DequantizeLinear", [levels, scale, zero], result, attributes)
  }

  // MARK: Layers of levels

  /// The operands behind the input and the weight of a convolution or dense layer: a bias that is added to sums of products
  /// of levels is written as the whole numbers that are computed with here.
  mutating func bias(_ node: Node) throws(CNNError) -> [String] {
    guard let bias = node.operands.dropFirst(2).first else { return [] }
    guard let input = source.levels(of: node.operands[0]), let weight = weight(node),
      let parameter = source.parameter(defining: bias), parameter.shape == [source.type(of: node.operands[1]).shape[0]]
    else { return [try plain(bias)] }
    let numbers = values[parameter.name] ?? UnsafeBufferPointer(start: nil, count: 0), largest: Float = 0x1p30
    let scales = numbers.indices.map { input.scale * weight.scale($0) }
    guard scales.allSatisfy({ $0.isNormal }) else { return [try plain(bias)] }
    let steps = zip(numbers, scales).map { number, scale in
      let step = (number / scale).rounded(.toNearestOrEven)
      return step.isNaN ? 0 : Int32(min(max(step, -largest), largest))
    }
    let levels = list(steps, ElementCode.int32, named: "\(node.name).bias.levels")
    let zeros = list(steps.map { _ in Int32(0) }, ElementCode.int32, named: "\(node.name).bias.zero_point")
    let scale = floats(scales.map { Double($0) }, shape: nil)
    return [
      intermediate("DequantizeLinear", [levels, scale, zeros], node, ["axis": .integer(0)])
    ]
  }

  /// The levels of a layer's weight; nil where it is not rounded.
  private func weight(_ node: Node) -> WeightLevels? {
    (source.node(defining: node.operands[1])?.operation as? FakeQuantize)?.weightLevels
  }

  /// Says that a layer's result is the tensor of a name, with these axes, and rounds it as its reader allows.
  ///
  /// An operator of integers gives bytes. Where a sum or a function follows before the next rounding, which is one step
  /// here, a pair stands between them in the file: its range is that which the rounding can tell apart.
  mutating func defineSum(_ node: Node, order: [Int]) throws(CNNError) {
    let result = node.results[0]
    define(result, order: order)
    guard source.levels(of: node.operands[0]) != nil, weight(node) != nil, let range = rangeOfSum(result),
      let levels = ByteLevels(range)
    else { return }
    let name = unique("\(node.name).levels")
    let rounding = FakeQuantize(
      scale: [Double(levels.scale)], zeroPoint: [Double(levels.zeroPoint)], minimum: 0, maximum: 255)
    try appendPair(rounding, node.name, node, to: name, order: order)
    define(result, as: name, order: order)
  }

  /// The range of a layer's result outside of which the next rounding gives the same; nil where that follows at once, or
  /// where there is none.
  private func rangeOfSum(_ value: Value) -> ClosedRange<Double>? {
    guard var reader = onlyReader(of: value) else { return nil }
    var shift = 0.0...0.0, isSum = false
    if reader.operation is Add, let other = reader.operands.first(where: { $0 != value }),
      let levels = source.levels(of: other)
    {
      shift = levels.range
      isSum = true
      guard let next = onlyReader(of: reader.results[0]) else { return nil }
      reader = next
    }
    var activation: Activation?
    if let operation = reader.operation as? Activation {
      activation = operation
      guard let next = onlyReader(of: reader.results[0]) else { return nil }
      reader = next
    }
    guard let levels = (reader.operation as? FakeQuantize)?.byteLevels else { return nil }
    var range = levels.range
    if let activation {
      guard let before = activation.range(before: range, step: Double(levels.scale)) else { return nil }
      // What only limits is a part of an operator of integers.
      if before.isLimit && !isSum { return nil }
      range = before.range
    } else if !isSum {
      return nil
    }
    return range.lowerBound - shift.upperBound...range.upperBound - shift.lowerBound
  }
}

extension GraphExporter {
  /// The node that alone reads a value which nobody else sees.
  fileprivate func onlyReader(of value: Value) -> Node? {
    let readers = consumers[value.index]
    return readers.count == 1 && !source.isKept(value) ? source.nodes[readers[0]] : nil
  }
}

extension Graph {
  /// The levels that a value has, which are moved at most since it was rounded.
  fileprivate func levels(of value: Value) -> ByteLevels? {
    guard let node = node(defining: value) else { return nil }
    if node.operation.movesElements { return levels(of: node.operands[0]) }
    return parameter(defining: node.operands[0]) == nil ? (node.operation as? FakeQuantize)?.byteLevels : nil
  }
}

extension ByteLevels {
  /// The numbers that these levels stand for.
  fileprivate var range: ClosedRange<Double> { Double(value(of: minimum))...Double(value(of: maximum)) }

  /// All 256 levels over a range with 0 in it; nil where they are too near to each other.
  fileprivate init?(_ range: ClosedRange<Double>) {
    let lowest = min(range.lowerBound, 0), highest = max(range.upperBound, 0), scale = Float((highest - lowest) / 255)
    guard scale.isNormal else { return nil }
    self.init(scale: scale, zeroPoint: UInt8(min(max((-lowest / Double(scale)).rounded(), 0), 255)))
  }
}

extension Activation {
  /// The numbers whose results within a range can be told apart at levels a step apart, and whether it only limits them; nil
  /// for functions of which that is not known.
  fileprivate func range(before range: ClosedRange<Double>, step: Double) -> (
    range: ClosedRange<Double>, isLimit: Bool
  )? {
    switch function {
    case .relu: return (max(range.lowerBound, 0)...max(range.upperBound, 0), true)
    case .relu6: return (max(range.lowerBound, 0)...max(min(range.upperBound, 6), 0), true)
    case .clip:
      let lowest = min(max(range.lowerBound, constants[0]), constants[1])
      return (lowest...max(lowest, min(range.upperBound, constants[1])), true)
    case .silu:
      // Below, x * exp(x) is what is left of it; above, it is less than 0.28 below x.
      var lowest = -1.0
      while lowest > -64, -lowest * exp(lowest) > step / 4 { lowest -= 0.25 }
      return (lowest...max(range.upperBound, 0) + 0.28, false)
    case .hardSwish: return (-3...max(range.upperBound, 3), false)
    case .hardSigmoid: return (-3...3, false)
    case .sigmoid:
      let limit = min(max(log(4 / step), 1), 64)
      return (-limit...limit, false)
    case .leakyRelu where constants[1] == 0 && constants[2] == .infinity && constants[0] > 0:
      return (min(range.lowerBound / constants[0], 0)...max(range.upperBound, 0), false)
    default: return nil
    }
  }
}
