// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// An operation on one operand that in training does something at random.
///
/// What it does is a function of (seed, step, `stream`), so that its gradient can find it again and nothing is kept.
public protocol RandomOperation: Operation {
  /// Which stream of random numbers: distinct for every such layer of a network.
  var stream: Int { get set }

  /// What takes its place in inference, for an operand of this type; nil for nothing.
  func inferenceForm(_ operand: TensorType) -> (any Operation)?
}

/// A random operation that in training drops a share of its operand, and in inference does nothing.
///
/// Its gradient is the same operation on `dy`.
public protocol RandomMask: RandomOperation {
  /// The probability of dropping.
  var rate: Double { get }

  /// A layer that drops with probability `rate`.
  init(rate: Double, stream: Int)
}

extension RandomMask {
  public init(_ attributes: inout Attributes) throws(CNNError) {
    self.init(rate: try attributes.number("rate"), stream: try attributes.integer("stream", default: 0))
  }

  public var attributes: Attributes { ["rate": .number(rate), "stream": .integer(stream)] }

  public func inferenceForm(_ operand: TensorType) -> (any Operation)? { nil }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(self, context.upstream)]
  }

  /// Throws unless there is one operand of floats and the rate is a probability.
  fileprivate func check(_ operands: [TensorType]) throws(CNNError) {
    try require(operands, count: 1...1)
    guard (0...1).contains(rate) else {
      throw CNNError(.invalidArgument, "the rate is \(rate); expected 0 to 1")
    }
    try operands[0].require(element: .float32, as: "the input")
  }
}

/// Dropout (Srivastava et al. 2014): in training each element is zero with probability `rate`, the others are divided by
/// `1 - rate`; in inference nothing. Operand and result: any shape.
public struct Dropout: RandomMask {
  public static let name = "dropout"
  public let rate: Double
  public var stream: Int

  /// A dropout layer.
  public init(rate: Double, stream: Int) { (self.rate, self.stream) = (rate, stream) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try check(operands)
    return operands
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// Stochastic depth (Huang et al. 2016), also called drop path: in training a residual branch is zero for a whole sample
/// with probability `rate`, and divided by `1 - rate` otherwise; in inference nothing.
public struct StochasticDepth: RandomMask {
  public static let name = "stochastic_depth"
  public let rate: Double
  public var stream: Int

  /// A stochastic depth layer.
  public init(rate: Double, stream: Int) { (self.rate, self.stream) = (rate, stream) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try check(operands)
    guard operands[0].rank >= 1 else { throw CNNError(.shapeMismatch, "the input is a scalar; expected a batch") }
    return operands
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}
