// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// How elements are reduced to one.
public enum ReductionKind: String, Sendable, CaseIterable {
  /// Their sum.
  case sum
  /// Their mean.
  case mean
}

/// The sum or mean over some axes. Operand: any shape; result: without those axes, or with a size of 1 there.
public struct Reduction: Operation {
  public static let name = "reduce"

  /// Sum or mean.
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
    var gradient = context.upstream
    if !keepsAxes {
      guard let first = isReduced.first, !first else {
        throw CNNError(.invalidArgument, "a reduction over the batch has no gradient")
      }
      let kept = zip(shape, isReduced).map { $1 ? 1 : $0 }
      gradient = try context.emit(Reshape(Array(kept.dropFirst())), gradient)
    }
    let count = zip(shape, isReduced).reduce(1) { $1.1 ? $0 * $1.0 : $0 }
    let share = try context.emit(Fill(kind == .mean ? 1 / Double(count) : 1, shape: shape))
    return [try context.emit(Multiply(), share, gradient)]
  }
}
