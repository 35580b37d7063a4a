// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The type of an element-by-element combination of `a` and `b`: the axes of the one with fewer are the last of the
/// other's, and where two sizes differ one of them is 1 and is repeated.
func broadcastType(_ operands: [TensorType]) throws(CNNError) -> TensorType {
  let (a, b) = (operands[0], operands[1])
  try a.require(element: .float32, as: "the first operand")
  try b.require(element: .float32, as: "the second operand")
  if a.shape == b.shape { return a }
  let rank = max(a.rank, b.rank)
  let first = Array(repeating: 1, count: rank - a.rank) + a.shape
  let second = Array(repeating: 1, count: rank - b.rank) + b.shape
  guard zip(first, second).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }) else {
    throw CNNError(
      .shapeMismatch,
      "the operands have shapes \(describe(a.shape)) and \(describe(b.shape)); expected equal ones, or a size of 1 "
        + "where they differ")
  }
  return try TensorType(.float32, zip(first, second).map { max($0, $1) })
}

/// Whether `small` is `[N, 1, 1, C]` where `large` is `[N, H, W, C]`.
public func isSpatialBroadcast(_ small: [Int], over large: [Int]) -> Bool {
  large.count == 4 && small == [large[0], 1, 1, large[3]]
}

/// Sums the gradient over the axes along which the operand was repeated.
func reduced(_ gradient: Value, like operand: Value, _ context: inout GradientContext) throws(CNNError)
  -> Value
{
  let shape = context.type(of: gradient).shape, target = context.type(of: operand).shape
  if shape == target { return gradient }
  if isSpatialBroadcast(target, over: shape) { return try context.emit(SpatialSum(), gradient) }
  let missing = shape.count - target.count
  if target.isEmpty {
    return try context.emit(Reduction(.sum, axes: Array(shape.indices), keepsAxes: false), gradient)
  }
  let sum = missing > 0 ? try context.emit(SumLeadingAxes(keeping: target.count), gradient) : gradient
  let repeated = target.indices.filter { target[$0] != shape[$0 + missing] }
  return repeated.isEmpty ? sum : try context.emit(Reduction(.sum, axes: repeated, keepsAxes: true), sum)
}

/// Two operands combined element by element, without constants.
public protocol ElementwisePair: Operation {
  /// The operation.
  init()
}

extension ElementwisePair {
  public init(_ attributes: inout Attributes) throws(CNNError) { self.init() }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    return [try broadcastType(operands)]
  }

  public func couple(_ channels: inout CouplingContext) { channels.passElementwise() }
}

/// The sum, element by element. Operands: equal shapes, or such that sizes of 1 and missing axes in front, as those of a
/// parameter `[C]`, are repeated.
public struct Add: ElementwisePair {
  public static let name = "add"

  /// An addition.
  public init() {}

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    var result: [Value?] = [nil, nil]
    for index in 0..<2 where context.needsGradient(index) {
      result[index] = try reduced(context.upstream, like: context.operand(index), &context)
    }
    return result
  }
}

/// The product, element by element. Operands: as for `Add`.
public struct Multiply: ElementwisePair {
  public static let name = "multiply"

  /// A multiplication.
  public init() {}

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    var result: [Value?] = [nil, nil]
    for index in 0..<2 where context.needsGradient(index) {
      let product = try context.emit(Multiply(), context.upstream, context.operand(1 - index))
      result[index] = try reduced(product, like: context.operand(index), &context)
    }
    return result
  }
}

/// The sum over height and width. Operand `[N, H, W, C]`; result `[N, 1, 1, C]`.
public struct SpatialSum: Operation {
  public static let name = "spatial_sum"

  init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    return [try TensorType(.float32, [operands[0].shape[0], 1, 1, operands[0].shape[3]])]
  }
}

/// The sum over all axes but the last or some of the last. Operand `[..., C]`; result `[C]`: the gradient of a bias.
public struct SumLeadingAxes: Operation {
  public static let name = "sum_leading_axes"
  /// How many of the last axes stay.
  public let kept: Int

  init(keeping kept: Int = 1) { self.kept = kept }

  public init(_ attributes: inout Attributes) throws(CNNError) { kept = try attributes.integer("kept", default: 1) }

  public var attributes: Attributes { kept == 1 ? Attributes() : ["kept": .integer(kept)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    guard (1...TensorType.maximumRank).contains(kept), operands[0].rank >= kept else {
      throw CNNError(
        .shapeMismatch, "the input has \(operands[0].rank) axes, of which \(kept) should stay; expected one at least")
    }
    return [try TensorType(.float32, operands[0].shape.suffix(kept))]
  }
}

/// A tensor with one value everywhere; it has no operands.
public struct Fill: Operation {
  public static let name = "fill"
  /// The value.
  public let value: Double
  /// The shape of the result.
  public let shape: [Int]

  /// `value` everywhere.
  public init(_ value: Double, shape: [Int]) { (self.value, self.shape) = (value, shape) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    value = try attributes.number("value")
    shape = try attributes.integers("shape")
  }

  public var attributes: Attributes { ["value": .number(value), "shape": .integers(shape)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 0...0)
    return [try TensorType(.float32, shape)]
  }
}
