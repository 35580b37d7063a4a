// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The position of the largest element along an axis, as a whole number in float32; the first of several. Operand: any
/// shape; result: without that axis, or with a size of 1 there. No gradient flows through it.
public struct ArgMax: Operation {
  public static let name = "argmax"
  /// The axis; -1 is the last.
  public let axis: Int
  /// Whether the axis stays with a size of 1.
  public let keepsAxis: Bool
  /// Whether the last of several equal elements is meant rather than the first.
  public let choosesLast: Bool

  /// Positions along this axis.
  public init(axis: Int, keepsAxis: Bool = false, choosesLast: Bool = false) {
    (self.axis, self.keepsAxis, self.choosesLast) = (axis, keepsAxis, choosesLast)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    axis = try attributes.integer("axis", default: -1)
    keepsAxis = try attributes.flag("keep_axes", default: false)
    choosesLast = try attributes.flag("last", default: false)
  }

  public var attributes: Attributes {
    var attributes: Attributes = ["axis": .integer(axis)]
    if keepsAxis { attributes["keep_axes"] = .flag(true) }
    if choosesLast { attributes["last"] = .flag(true) }
    return attributes
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    var shape = operands[0].shape
    let axis = try resolve(axis, rank: shape.count)
    if keepsAxis { shape[axis] = 1 } else { shape.remove(at: axis) }
    return [try TensorType(.float32, shape)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] { [nil] }

  public func couple(_ channels: inout CouplingContext) throws(CNNError) {
    channels.pass(except: [try resolve(axis, rank: channels.shape(0).count)], because: "numbers them")
  }
}
