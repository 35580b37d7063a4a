// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// PReLU (He et al. 2015, equation 1): `x` above 0, `slope * x` at and below it, with learned slopes for the last axes.
/// Operands: `x` `[..., C]`, and the slopes: `[C]`, or more of the last axes of `x`; result as `x`.
public struct ParametricRelu: Operation {
  public static let name = "prelu"

  /// A PReLU.
  public init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the input")
    try operands[1].require(element: .float32, as: "the slope")
    let (shape, slope) = (operands[0].shape, operands[1].shape)
    guard !slope.isEmpty, slope.count < shape.count, slope == Array(shape.suffix(slope.count)) else {
      throw CNNError(
        .shapeMismatch, "the slope has shape \(describe(slope)); expected the last axes of \(describe(shape))")
    }
    return [operands[0]]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let (x, slope) = (context.operand(0), context.operand(1))
    var result: [Value?] = [nil, nil]
    if context.needsGradient(0) {
      result[0] = try context.emit(ParametricReluInputGradient(), x, slope, context.upstream)
    }
    if context.needsGradient(1) {
      let negative = try context.emit(Activation(.clip, ["maximum": 0]), x)
      let product = try context.emit(Multiply(), context.upstream, negative)
      result[1] = try context.emit(SumLeadingAxes(keeping: context.type(of: slope).rank), product)
    }
    return result
  }

  public func couple(_ channels: inout CouplingContext) { channels.passElementwise() }
}

/// The gradient of `ParametricRelu`'s input. Operands: `x`, slope and `dy`; result: `dx`.
public struct ParametricReluInputGradient: Operation {
  public static let name = "prelu_input_gradient"

  init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 3...3)
    let types = try ParametricRelu().resultTypes(Array(operands.prefix(2)))
    try operands[2].require(shape: operands[0].shape, as: "the gradient")
    return types
  }
}
