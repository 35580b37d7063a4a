// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The axes in another order: axis `i` of the result is axis `order[i]` of the operand.
public struct Permute: Operation {
  public static let name = "permute"
  /// A permutation of the axes.
  public let order: [Int]
  /// The most axes of a tensor of bytes that is permuted.
  public static let largestRankOfBytes = 4

  /// A permutation of the axes.
  public init(_ order: [Int]) { self.order = order }

  public init(_ attributes: inout Attributes) throws(CNNError) { order = try attributes.integers("order") }

  public var attributes: Attributes { ["order": .integers(order)] }

  /// Any: the bits are moved, not looked at.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { true }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    let shape = operands[0].shape
    guard order.sorted() == Array(shape.indices) else {
      throw CNNError(.invalidArgument, "order \(describe(order)) is not a permutation of \(shape.count) axes")
    }
    return [try TensorType(operands[0].element, order.map { shape[$0] })]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let inverse = order.indices.sorted { order[$0] < order[$1] }
    return [try context.emit(Permute(inverse), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) {
    for (axis, old) in order.enumerated() where channels.hasChannels(0, axis: old) {
      channels.setChannels(channels.channels(0, axis: old), axis: axis)
    }
  }
}
