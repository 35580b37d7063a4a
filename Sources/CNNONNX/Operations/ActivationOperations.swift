import CNNCore
import CNNGraph
import Glibc

extension ImportedOperations {
  /// Functions of each element by itself.
  static let activations: [String: ImportedOperation] = [
    "Relu": function(.relu) { max($0, 0) }, "Sigmoid": function(.sigmoid) { 1 / (1 + exp(-$0)) },
    "Log": function(.logarithm) { log($0) },
    // It is -x at and below 0.
    "Abs": function(.leakyRelu, ["alpha": -1]) { abs($0) }, "Floor": rounding(.down), "Ceil": rounding(.up),
    "Round": rounding(.toNearestOrEven),
    "Tanh": function(.tanh) { tanh($0) }, "Erf": function(.erf) { erf($0) }, "Exp": function(.exponential) { exp($0) },
    "Softplus": function(.softplus) { max($0, 0) + log1p(exp(-abs($0))) },
    "Softsign": function(.softsign) { $0 / (1 + abs($0)) },
    "Mish": function(.mish) { $0 * tanh(log1p(exp($0))) },
    "HardSwish": function(.hardSwish) { $0 * min(max($0 / 6 + 0.5, 0), 1) },
    "Sqrt": function(.power, ["exponent": 0.5]) { $0.squareRoot() },
    "Reciprocal": function(.power, ["exponent": -1]) { 1 / $0 },
    "LeakyRelu": { importer, node throws(CNNError) in
      let alpha = try node.number("alpha", default: 0.01)
      return try importer.apply(Activation(.leakyRelu, ["alpha": alpha]), &node) { $0 > 0 ? $0 : $0 * alpha }
    },
    "Elu": { importer, node throws(CNNError) in
      let alpha = try node.number("alpha", default: 1)
      return try importer.apply(Activation(.elu, ["alpha": alpha]), &node) { $0 > 0 ? $0 : alpha * expm1($0) }
    },
    "Selu": { importer, node throws(CNNError) in
      let alpha = try node.number("alpha", default: 1.67326319217681884765625)
      let gamma = try node.number("gamma", default: 1.05070102214813232421875)
      if abs(alpha - 1.673_263_24) < 1e-6 && abs(gamma - 1.050_700_99) < 1e-6 {
        return try importer.apply(Activation(.selu), &node) { gamma * ($0 > 0 ? $0 : alpha * expm1($0)) }
      }
      let x = try node.tensor(0), elu = try importer.add(Activation(.elu, ["alpha": alpha]), [x.value])
      return [.tensor(Traced(value: try importer.add(Rescaling(scale: [gamma]), [elu]), order: x.order))]
    },
    "HardSigmoid": { importer, node throws(CNNError) in
      let alpha = try node.number("alpha", default: 0.2), beta = try node.number("beta", default: 0.5)
      let x = try node.tensor(0)
      if abs(alpha - 1.0 / 6) < 1e-6 && beta == 0.5 {
        return [.tensor(Traced(value: try importer.add(Activation(.hardSigmoid), [x.value]), order: x.order))]
      }
      let line = try importer.add(Rescaling(scale: [alpha], offset: [beta]), [x.value])
      let clip = Activation(.clip, ["minimum": 0, "maximum": 1])
      return [.tensor(Traced(value: try importer.add(clip, [line]), order: x.order))]
    },
    "Gelu": { importer, node throws(CNNError) in
      let form = try node.text("approximate", default: "none")
      guard ["none", "tanh"].contains(form) else {
        throw CNNError(.malformedFile, "approximate is '\(form)'; expected none or tanh")
      }
      let x = try node.tensor(0)
      let function = form == "none" ? ActivationFunction.gelu : .geluTanh
      return [.tensor(Traced(value: try importer.add(Activation(function), [x.value]), order: x.order))]
    },
    "Celu": { importer, node throws(CNNError) in
      let alpha = try node.number("alpha", default: 1)
      guard alpha != 0 else { throw CNNError(.malformedFile, "alpha is 0") }
      let x = try importer.applying(Rescaling(scale: [1 / alpha]), node.tensor(0))
      return [.tensor(try importer.applying(Rescaling(scale: [alpha]), importer.applying(Activation(.elu), x)))]
    },
    "Clip": { importer, node throws(CNNError) in try importer.clip(&node) },
    "PRelu": { importer, node throws(CNNError) in try importer.parametricRelu(&node) },
    "Pow": { importer, node throws(CNNError) in
      guard let exponent = try node.optionalScalar(1, "the exponent") else {
        throw CNNError(.malformedFile, "the exponent is missing")
      }
      if exponent == 1 { return [try node.input(0)] }
      return try importer.apply(Activation(.power, ["exponent": exponent]), &node) { pow($0, exponent) }
    },
  ]

  /// Another whole number, of what is known when the file is read.
  private static func rounding(_ rule: FloatingPointRoundingRule) -> ImportedOperation {
    { _, node throws(CNNError) in
      let constant = try node.constant(0, "what is rounded")
      // Sizes that are not known yet are whole numbers already.
      guard case .floats(let floats) = constant.content else { return [.constant(constant)] }
      let rounded = try ONNXFloats(floats.map { $0.rounded(rule) })
      return [.constant(try Constant(shape: constant.shape, .floats(rounded)))]
    }
  }

  private static func function(
    _ function: ActivationFunction, _ constants: [String: Double] = [:],
    _ ofNumber: @escaping @Sendable (Double) -> Double
  ) -> ImportedOperation {
    { importer, node throws(CNNError) in try importer.apply(Activation(function, constants), &node, ofNumber) }
  }
}

extension GraphImporter {
  /// A function of each element, computed at once where they are known.
  fileprivate mutating func apply(
    _ activation: Activation, _ node: inout ImportedNode, _ ofNumber: (Double) -> Double
  ) throws(CNNError) -> [Known] {
    switch try node.input(0) {
    case .tensor(let x): return [.tensor(Traced(value: try add(activation, [x.value]), order: x.order))]
    case .constant(let constant):
      let floats = try constant.floats("the input")
      let result = try ONNXFloats(count: floats.count, "a constant") { target throws(CNNError) in
        for (index, value) in floats.enumerated() { target[index] = Float(ofNumber(Double(value))) }
      }
      return [.constant(try Constant(shape: constant.shape, .floats(result)))]
    }
  }

  fileprivate mutating func clip(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let greatest = Double(Float.greatestFiniteMagnitude)
    var lower = try node.number("min"), upper = try node.number("max")
    if lower == nil { lower = try node.optionalScalar(1, "the minimum") }
    if upper == nil { upper = try node.optionalScalar(2, "the maximum") }
    guard lower?.isNaN != true, upper?.isNaN != true else {
      throw CNNError(.invalidArgument, "the minimum or maximum is not a number")
    }
    // The largest floats are how files say that there is no limit.
    let minimum = lower.flatMap { $0 <= -greatest ? nil : $0 }, maximum = upper.flatMap { $0 >= greatest ? nil : $0 }
    let x = try node.tensor(0)
    let activation: Activation
    switch (minimum, maximum) {
    case (nil, nil): return [.tensor(x)]
    case (0, nil): activation = Activation(.relu)
    case (0, 6): activation = Activation(.relu6)
    default:
      var constants: [String: Double] = [:]
      // Where the two cross, every element is the maximum.
      if let minimum { constants["minimum"] = maximum.map { min(minimum, $0) } ?? minimum }
      if let maximum { constants["maximum"] = maximum }
      activation = Activation(.clip, constants)
    }
    return [.tensor(Traced(value: try add(activation, [x.value]), order: x.order))]
  }

  fileprivate mutating func parametricRelu(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    var x = try node.tensor(0)
    let slope = try node.constant(1, "the slope")
    if slope.count == 1 {
      let alpha = Double(try slope.floats("the slope")[0])
      let activation = Activation(.leakyRelu, ["alpha": alpha])
      return [.tensor(Traced(value: try add(activation, [x.value]), order: x.order))]
    }
    guard slope.shape.count <= rank(x) else {
      throw CNNError(.invalidArgument, "the slope \(describe(slope.shape)) has more axes than the input")
    }
    // A slope for each channel: the channels last in memory.
    let full = Array(repeating: 1, count: rank(x) - slope.shape.count) + slope.shape
    let significant = full.indices.filter { full[$0] > 1 }
    if significant.count == 1 { x = try withLast(significant[0], x) }
    let (value, _) = try operand(slope, like: x, role: .slope, what: "slope")
    return [.tensor(Traced(value: try add(ParametricRelu(), [x.value, value]), order: x.order))]
  }
}
