// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Rounding to the levels of whole numbers, which stays in floats (Jacob et al. 2018):
/// `y = (clip(round(x / scale) + zero_point, minimum, maximum) - zero_point) * scale`, halves to the even number. Operand
/// and result: any shape.
///
/// The gradient is that of the clip alone: rounding is passed over (straight-through, Bengio et al. 2013).
public struct FakeQuantize: Operation {
  public static let name = "fake_quantize"
  /// One number, or one for each index along `axis`: how far levels lie apart, and which level 0 is.
  public let scale, zeroPoint: [Double]
  /// The axis of several scales; -1 is the last one, that of channels, and 0 that of a weight's output channels.
  public let axis: Int
  /// The lowest and the highest level.
  public let minimum, maximum: Double

  /// The levels `minimum...maximum`, of which `zeroPoint` stands for 0.
  public init(scale: [Double], zeroPoint: [Double] = [0], axis: Int = -1, minimum: Double, maximum: Double) {
    (self.scale, self.zeroPoint, self.axis, self.minimum, self.maximum) = (scale, zeroPoint, axis, minimum, maximum)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    scale = try attributes.numbers("scale")
    zeroPoint = try attributes.numbers("zero_point", default: [0])
    minimum = try attributes.number("minimum")
    maximum = try attributes.number("maximum")
    axis = try attributes.integer("axis", default: -1)
  }

  public var attributes: Attributes {
    var attributes: Attributes = [
      "scale": .numbers(scale), "zero_point": .numbers(zeroPoint), "minimum": .number(minimum),
      "maximum": .number(maximum),
    ]
    if axis != -1 { attributes["axis"] = .integer(axis) }
    return attributes
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    try checkChannels(of: operands[0], along: axis, ["scale": scale, "zero_point": zeroPoint])
    // Whose reciprocals are numbers too.
    if let wrong = scale.first(where: { !(Float($0) > 0 && Float(1 / $0).isFinite) }) {
      throw CNNError(.invalidArgument, "scale has \(wrong); expected numbers above 0 whose reciprocals are finite")
    }
    try checkFloat(minimum, "minimum")
    try checkFloat(maximum, "maximum")
    guard minimum < maximum else {
      throw CNNError(.invalidArgument, "minimum is \(minimum) and maximum \(maximum); expected less than the maximum")
    }
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(FakeQuantizeGradient(self), context.operand(0), context.upstream)]
  }
}

/// The gradient of `FakeQuantize`: what lies between the lowest and the highest level passes. Operands: `x` and `dy`;
/// result: `dx`.
public struct FakeQuantizeGradient: Operation {
  public static let name = "fake_quantize_gradient"
  /// The rounding that was run forward.
  public let forward: FakeQuantize

  init(_ forward: FakeQuantize) { self.forward = forward }

  public init(_ attributes: inout Attributes) throws(CNNError) { forward = try FakeQuantize(&attributes) }

  public var attributes: Attributes { forward.attributes }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    let results = try forward.resultTypes([operands[0]])
    try operands[1].require(shape: operands[0].shape, as: "the gradient")
    return results
  }
}
