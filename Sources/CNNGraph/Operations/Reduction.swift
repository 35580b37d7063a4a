// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// How elements are reduced to one.
public enum ReductionKind: String, Sendable, CaseIterable {
  /// Their sum.
  case sum
  /// Their mean.
  case mean
  /// The largest; NaN where one of them is.
  case max
}

/// The sum, mean or maximum over some axes. Operand: any shape; result: without those axes, or with a size of 1 there.
public struct Reduction: Operation {
  public static let name = "reduce"

  /// Sum, mean or maximum.
  public let kind: ReductionKind
  /// The axes reduced; negative ones count from the last.
  public let axes: [Int]
  /// Whether the axes stay with a size of 1.
  public let keepsAxes: Bool

  /// A reduction over these axes.
  public init(_ kind: ReductionKind, axes: [Int], keepsAxes: Bool) {
    (self.kind, self.axes, self.keepsAxes) = (kind, axes, keepsAxes)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    kind = try attributes.choice("kind")
    axes = try attributes.integers("axes")
    keepsAxes = try attributes.flag("keep_axes", default: false)
  }

  public var attributes: Attributes {
    let attributes: Attributes = ["kind": .text(kind.rawValue), "axes": .integers(axes)]
    return keepsAxes ? attributes.adding("keep_axes", .flag(true)) : attributes
  }

  /// For each axis of an operand of `rank` axes whether it is reduced.
  public func isReduced(rank: Int) throws(CNNError) -> [Bool] {
    var result = Array(repeating: false, count: rank)
    for axis in axes {
      let resolved = axis < 0 ? axis &+ rank : axis
      guard result.indices.contains(resolved), !result[resolved] else {
        throw CNNError(.invalidArgument, "axes is \(describe(axes)); expected distinct axes of a tensor of \(rank)")
      }
      result[resolved] = true
    }
    return result
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    var shape: [Int] = []
    for (size, isReduced) in zip(operands[0].shape, try isReduced(rank: operands[0].rank)) {
      if !isReduced { shape.append(size) } else if keepsAxes { shape.append(1) }
    }
    return [try TensorType(.float32, shape)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    let isReduced = try isReduced(rank: shape.count)
    var gradient = context.upstream, result = context.result(0)
    if !keepsAxes {
      guard let first = isReduced.first, !first else {
        throw CNNError(.invalidArgument, "a reduction over the batch has no gradient")
      }
      let kept = Reshape(Array(zip(shape, isReduced).map { $1 ? 1 : $0 }.dropFirst()))
      gradient = try context.emit(kept, gradient)
      if kind == .max { result = try context.emit(kept, result) }
    }
    switch kind {
    case .sum, .mean:
      let count = zip(shape, isReduced).reduce(1) { $1.1 ? $0 * $1.0 : $0 }
      let share = try context.emit(Fill(kind == .mean ? 1 / Double(count) : 1, shape: shape))
      return [try context.emit(Multiply(), share, gradient)]
    case .max:
      // Among several that are the largest it is divided.
      let isLargest = try context.emit(Comparison(.equal), context.operand(0), result)
      let reduction = Reduction(.sum, axes: axes, keepsAxes: true)
      let inverse = Activation(.power, ["exponent": -1])
      let share = try context.emit(Multiply(), gradient, context.emit(inverse, context.emit(reduction, isLargest)))
      return [try context.emit(Multiply(), isLargest, share)]
    }
  }

  /// A sum stays what it is without channels that are zero; a mean and a maximum do not.
  public func couple(_ channels: inout CouplingContext) throws(CNNError) {
    var next = 0
    for (axis, isReduced) in try isReduced(rank: channels.shape(0).count).enumerated() {
      if channels.hasChannels(0, axis: axis) {
        if !isReduced {
          channels.setChannels(channels.channels(0, axis: axis), axis: next)
        } else if kind != .sum {
          channels.hold(0, axis: axis, because: "takes the \(kind.rawValue) of all")
        }
      }
      if !isReduced || keepsAxes { next += 1 }
    }
  }
}
