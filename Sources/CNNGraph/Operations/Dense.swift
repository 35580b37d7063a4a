// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// A dense layer over the last axis. Operands: `x` `[..., in]`, weight `[out, in]`, optionally bias `[out]`; result
/// `[..., out]`.
public struct Dense: Operation {
  public static let name = "dense"

  /// A dense layer.
  public init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...3)
    let (x, weight) = (operands[0], operands[1])
    try x.require(element: .float32, as: "the input")
    try weight.require(rank: 2, as: "the weight")
    guard x.rank >= 2, x.shape.last == weight.shape[1] else {
      throw CNNError(
        .shapeMismatch,
        "the input has shape \(describe(x.shape)); the weight \(describe(weight.shape)) expects \(weight.shape[1]) "
          + "features in the last axis")
    }
    if operands.count == 3 { try operands[2].require(shape: [weight.shape[0]], as: "the bias") }
    return [try TensorType(.float32, x.shape.dropLast() + [weight.shape[0]])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    var result: [Value?] = [nil, nil]
    if context.needsGradient(1) {
      result[1] = try context.emit(DenseWeightGradient(), context.operand(0), context.upstream)
    }
    if context.needsGradient(0) {
      result[0] = try context.emit(DenseInputGradient(), context.upstream, context.operand(1))
    }
    if context.operandCount == 3 {
      result.append(context.needsGradient(2) ? try context.emit(SumLeadingAxes(), context.upstream) : nil)
    }
    return result
  }

  public var filterAxis: Int? { 0 }

  /// Each unit is made by a row of the weight.
  public func couple(_ channels: inout CouplingContext) {
    let last = channels.shape(0).count - 1, made = channels.produce()
    channels.unite(channels.channels(0, axis: last), channels.channels(1, axis: 1))
    if channels.operandCount == 3 { channels.unite(made, channels.channels(2, axis: 0)) }
    for axis in 0..<last where channels.hasChannels(0, axis: axis) {
      channels.setChannels(channels.channels(0, axis: axis), axis: axis)
    }
    channels.setChannels(made, axis: last)
  }
}

/// The gradient of a dense layer's input: `dy · weight`. Operands: `dy` `[..., out]`, weight `[out, in]`.
public struct DenseInputGradient: Operation {
  public static let name = "dense_input_gradient"

  init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the gradient")
    try operands[1].require(rank: 2, as: "the weight")
    guard operands[0].shape.last == operands[1].shape[0] else {
      throw CNNError(.shapeMismatch, "the gradient \(operands[0]) does not fit the weight \(operands[1])")
    }
    return [try TensorType(.float32, operands[0].shape.dropLast() + [operands[1].shape[1]])]
  }
}

/// The gradient of a dense layer's weight: `dyᵀ · x`. Operands: `x` `[..., in]`, `dy` `[..., out]`; result `[out, in]`.
public struct DenseWeightGradient: Operation {
  public static let name = "dense_weight_gradient"

  init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the input")
    try operands[1].require(element: .float32, as: "the gradient")
    guard let input = operands[0].shape.last, let output = operands[1].shape.last,
      operands[0].shape.dropLast() == operands[1].shape.dropLast()
    else {
      throw CNNError(.shapeMismatch, "the input \(operands[0]) and the gradient \(operands[1]) do not fit")
    }
    return [try TensorType(.float32, [output, input])]
  }
}
