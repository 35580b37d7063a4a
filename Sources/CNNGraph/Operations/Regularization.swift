// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// A penalty for large values, `l1 * Σ|w| + l2 * Σw²`. Operand: a tensor of any shape; result: a scalar.
public struct Regularization: Operation {
  public static let name = "regularization"
  /// The factors.
  public let regularizer: Regularizer

  /// A penalty.
  public init(_ regularizer: Regularizer) { self.regularizer = regularizer }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    regularizer = try Regularizer(
      l1: attributes.number("l1", default: 0), l2: attributes.number("l2", default: 0))
  }

  public var attributes: Attributes { ["l1": .number(regularizer.l1), "l2": .number(regularizer.l2)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the parameter")
    return [try TensorType(.float32, [])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(RegularizationGradient(self), context.operand(0), context.upstream)]
  }
}

/// The gradient of a penalty, `dy * (l1 * sign(w) + 2 * l2 * w)`. Operands: `w` and the scalar `dy`; result: as `w`.
public struct RegularizationGradient: Operation {
  public static let name = "regularization_gradient"
  /// The penalty.
  public let regularization: Regularization

  init(_ regularization: Regularization) { self.regularization = regularization }

  public init(_ attributes: inout Attributes) throws(CNNError) { regularization = try Regularization(&attributes) }

  public var attributes: Attributes { regularization.attributes }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the parameter")
    try operands[1].require(shape: [], as: "the gradient")
    return [operands[0]]
  }
}
