// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Rounding of a weight to the levels -127 to 127 of signed bytes, whose scale is a 127th of the largest magnitude: of each
/// output channel, or of all.
///
/// Operands: the weight `[O, ...]`; and gamma and the running variance `[O]` of a batch normalisation that follows, which
/// then multiplies the weight by `gamma / sqrt(variance + epsilon)`: what is rounded is that product, and the result is
/// divided by the factor again. With a scale for each output channel it makes no difference, since the factor is in the
/// scale. Result: as the weight.
///
/// Nothing is clipped, so the gradient passes as it is (straight-through, Bengio et al. 2013).
public struct FakeQuantizeWeight: Operation {
  public static let name = "fake_quantize_weight"
  /// Whether each output channel has a scale of its own.
  public let perChannel: Bool
  /// Added to the variance before the root.
  public let epsilon: Double

  /// Rounding with these constants.
  public init(perChannel: Bool = true, epsilon: Double = 0) { (self.perChannel, self.epsilon) = (perChannel, epsilon) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    perChannel = try attributes.flag("per_channel", default: true)
    epsilon = try attributes.number("epsilon", default: 0)
  }

  public var attributes: Attributes { ["per_channel": .flag(perChannel), "epsilon": .number(epsilon)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...3)
    guard operands.count != 2 else {
      throw CNNError(.invalidArgument, "2 operands given; expected the weight, or as well gamma and the variance")
    }
    guard let outputs = operands[0].shape.first, operands[0].rank >= 2 else {
      throw CNNError(.shapeMismatch, "the weight has shape \(describe(operands[0].shape)); expected at least 2 axes")
    }
    try operands[0].require(element: .float32, as: "the weight")
    for (operand, role) in zip(operands.dropFirst(), ["gamma", "the running variance"]) {
      try operand.require(shape: [outputs], as: role)
    }
    guard epsilon >= 0 else { throw CNNError(.invalidArgument, "epsilon is \(epsilon); expected 0 or more") }
    return [operands[0]]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [context.upstream] + Array(repeating: nil, count: context.operandCount - 1)
  }
}
