// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The softmax over the last axis. Operand and result: `[..., classes]`.
public struct Softmax: Operation {
  public static let name = "softmax"

  /// A softmax over the last axis.
  public init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    guard operands[0].rank >= 1 else { throw CNNError(.shapeMismatch, "the input is a scalar; expected classes") }
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(SoftmaxGradient(), context.result(0), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) {
    channels.pass(except: [channels.shape(0).count - 1], because: "divides each by the sum of all")
  }
}

/// The gradient of a softmax. Operands: the softmax's result and `dy`; result: `dx`.
public struct SoftmaxGradient: Operation {
  public static let name = "softmax_gradient"

  init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the result")
    guard operands[0].rank >= 1 else { throw CNNError(.shapeMismatch, "the result is a scalar; expected classes") }
    try operands[1].require(shape: operands[0].shape, as: "the gradient")
    return [operands[0]]
  }
}
