// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// An activation function, element by element. Operand and result: any shape.
public struct Activation: Operation {
  public static let name = "activation"
  /// Which function.
  public let function: ActivationFunction

  /// The function applied to each element.
  public init(_ function: ActivationFunction) { self.function = function }

  public init(_ attributes: inout Attributes) throws(CNNError) { function = try attributes.choice("function") }

  public var attributes: Attributes { ["function": .text(function.rawValue)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(ActivationGradient(function), context.operand(0), context.upstream)]
  }
}

/// The gradient of an activation function. Operands: `x` and `dy`; result: `dx`.
public struct ActivationGradient: Operation {
  public static let name = "activation_gradient"
  /// Which function was applied forward.
  public let function: ActivationFunction

  init(_ function: ActivationFunction) { self.function = function }

  public init(_ attributes: inout Attributes) throws(CNNError) { function = try attributes.choice("function") }

  public var attributes: Attributes { ["function": .text(function.rawValue)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the input")
    try operands[1].require(shape: operands[0].shape, as: "the gradient")
    return [operands[0]]
  }
}
