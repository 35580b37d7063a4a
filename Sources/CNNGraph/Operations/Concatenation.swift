// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Joins tensors along one axis. Operands: equal but for the size of `axis`; result: their sizes added.
public struct Concatenate: Operation {
  public static let name = "concat"
  /// The axis, not the batch; -1 is the last.
  public let axis: Int

  /// A concatenation along `axis`, the channels by default.
  public init(axis: Int = -1) { self.axis = axis }

  public init(_ attributes: inout Attributes) throws(CNNError) { axis = try attributes.integer("axis", default: -1) }

  public var attributes: Attributes { ["axis": .integer(axis)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...4096)
    let axis = try resolve(axis, rank: operands[0].rank)
    var shape = operands[0].shape
    for (position, operand) in operands.enumerated() {
      try operand.require(rank: shape.count, as: "operand \(position)")
      var expected = operands[0].shape
      expected[axis] = operand.shape[axis]
      try operand.require(shape: expected, as: "operand \(position)")
    }
    shape[axis] = try Checked.sum(operands.map { $0.shape[axis] }, "concat")
    return [try TensorType(.float32, shape)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    var start = 0
    var result: [Value?] = []
    for index in 0..<context.operandCount {
      let shape = context.type(of: context.operand(index)).shape
      let length = shape[try resolve(axis, rank: shape.count)]
      let slice = Slice(axis: axis, start: start, length: length)
      result.append(context.needsGradient(index) ? try context.emit(slice, context.upstream) : nil)
      start += length
    }
    return result
  }

  public func couple(_ channels: inout CouplingContext) throws(CNNError) {
    let rank = channels.shape(0).count, joined = try resolve(axis, rank: rank)
    for axis in 0..<rank where (0..<channels.operandCount).contains(where: { channels.hasChannels($0, axis: axis) }) {
      var parts: [[Int]] = []
      for operand in 0..<channels.operandCount { parts.append(channels.channels(operand, axis: axis)) }
      if axis == joined {
        channels.setChannels(parts.flatMap { $0 }, axis: axis)
      } else {
        for part in parts.dropFirst() { channels.unite(parts[0], part) }
        channels.setChannels(parts[0], axis: axis)
      }
    }
  }
}

/// A part of a tensor along one axis; the gradient of `Concatenate`.
public struct Slice: Operation {
  public static let name = "slice"
  /// The axis, not the batch; -1 is the last.
  public let axis: Int
  /// The first index taken, and how many.
  public let start, length: Int

  /// The `length` elements from `start` on along `axis`.
  public init(axis: Int, start: Int, length: Int) { (self.axis, self.start, self.length) = (axis, start, length) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    axis = try attributes.integer("axis", default: -1)
    start = try attributes.integer("start")
    length = try attributes.integer("length")
  }

  public var attributes: Attributes {
    ["axis": .integer(axis), "start": .integer(start), "length": .integer(length)]
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    var shape = operands[0].shape
    let axis = try resolve(axis, rank: shape.count)
    guard start >= 0, length >= 1, length <= shape[axis], start <= shape[axis] - length else {
      throw CNNError(
        .shapeMismatch, "start \(start) and length \(length) lie outside the \(shape[axis]) elements of axis \(axis)")
    }
    shape[axis] = length
    return [try TensorType(.float32, shape)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    let axis = try resolve(axis, rank: shape.count)
    let end = start + length
    var parts: [Value] = []
    for (first, last) in [(0, start), (start, end), (end, shape[axis])] where first < last {
      if first == start {
        parts.append(context.upstream)
      } else {
        var zeros = shape
        zeros[axis] = last - first
        parts.append(try context.emit(Fill(0, shape: zeros)))
      }
    }
    return [try context.emitAll(Concatenate(axis: axis), parts)[0]]
  }

  public func couple(_ channels: inout CouplingContext) throws(CNNError) {
    channels.pass(taking: start..<start + length, along: try resolve(axis, rank: channels.shape(0).count))
  }

  public func keeping(_ kept: KeptChannels, _ operands: [TensorType]) throws(CNNError) -> any Operation {
    guard let indices = kept.operand(0, axis: try resolve(axis, rank: operands[0].rank)) else { return self }
    let before = indices.count { $0 < start }
    return Slice(axis: axis, start: before, length: indices.count { $0 < start + length } - before)
  }
}

/// The axis counted from the front. Throws where there is none, or it is the batch.
func resolve(_ axis: Int, rank: Int) throws(CNNError) -> Int {
  let resolved = axis < 0 ? axis &+ rank : axis
  guard (1..<max(rank, 1)).contains(resolved) else {
    throw CNNError(.invalidArgument, "axis is \(axis); expected 1 to \(rank - 1), or -1 for the last")
  }
  return resolved
}
