// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The logarithm of the softmax over the last axis, `x - log Σ exp(x)`. Operand and result: `[..., classes]`.
public struct LogSoftmax: Operation {
  public static let name = "log_softmax"

  /// A logarithm of a softmax over the last axis.
  public init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try Softmax().resultTypes(operands)
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(LogSoftmaxGradient(), context.result(0), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) {
    channels.pass(except: [channels.shape(0).count - 1], because: "divides each by the sum of all")
  }
}

/// The gradient of `LogSoftmax`, `dy - exp(y) Σ dy`. Operands: its result `y`, and `dy`; result: `dx`.
public struct LogSoftmaxGradient: Operation {
  public static let name = "log_softmax_gradient"

  init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try SoftmaxGradient().resultTypes(operands)
  }
}
