// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// What is asked of two numbers. The others are these with the operands exchanged, or 1 minus them.
public enum ComparisonKind: String, Sendable, CaseIterable {
  /// `a > b`
  case greater
  /// `a >= b`
  case greaterOrEqual = "greater_or_equal"
  /// `a == b`
  case equal
}

/// A mask: 1 where the comparison holds, 0 elsewhere, and wherever one of the two is NaN. Operands: as for `Add`. No
/// gradient flows through it.
public struct Comparison: Operation {
  public static let name = "compare"
  /// What is asked.
  public let kind: ComparisonKind

  /// A comparison.
  public init(_ kind: ComparisonKind) { self.kind = kind }
  public init(_ attributes: inout Attributes) throws(CNNError) { kind = try attributes.choice("kind") }

  public var attributes: Attributes { ["kind": .text(kind.rawValue)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    return [try broadcastType(operands)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] { [nil, nil] }

  public func couple(_ channels: inout CouplingContext) { channels.passElementwise() }
}

/// One of two numbers, element by element. Operands: a mask, what is taken where it is not 0, and what is taken where it
/// is 0; sizes of 1 and missing axes in front are repeated, as for `Add`. What is not taken may be anything, also NaN.
public struct Select: Operation {
  public static let name = "select"

  /// A choice.
  public init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 3...3)
    return [try broadcastType([operands[0], broadcastType([operands[1], operands[2]])])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [nil] + (try gradients(where: context.operand(0), first: 1, &context))
  }

  public func couple(_ channels: inout CouplingContext) { channels.passElementwise() }
}
