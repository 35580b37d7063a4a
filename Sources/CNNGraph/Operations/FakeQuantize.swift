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
  /// One number, or one per channel, the last axis: how far levels lie apart, and which level 0 is.
  public let scale, zeroPoint: [Double]
  /// The lowest and the highest level.
  public let minimum, maximum: Double

  /// The levels `minimum...maximum`, of which `zeroPoint` stands for 0.
  public init(scale: [Double], zeroPoint: [Double] = [0], minimum: Double, maximum: Double) {
    (self.scale, self.zeroPoint, self.minimum, self.maximum) = (scale, zeroPoint, minimum, maximum)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    scale = try attributes.numbers("scale")
    zeroPoint = try attributes.numbers("zero_point", default: [0])
    minimum = try attributes.number("minimum")
    maximum = try attributes.number("maximum")
  }

  public var attributes: Attributes {
    [
      "scale": .numbers(scale), "zero_point": .numbers(zeroPoint), "minimum": .number(minimum),
      "maximum": .number(maximum),
    ]
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    try checkChannels(of: operands[0], ["scale": scale, "zero_point": zeroPoint])
    // Whose reciprocals are numbers too.
    if let wrong = scale.first(where: { !(Float($0) > 0 && Float(1 / $0).isFinite) }) {
      throw CNNError(.invalidArgument, "scale has \(wrong); expected numbers above 0")
    }
    try checkFloat(minimum, "minimum")
    try checkFloat(maximum, "maximum")
    guard minimum < maximum else {
      throw CNNError(.invalidArgument, "minimum is \(minimum) and maximum \(maximum); expected less than the maximum")
    }
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    // What lies within the levels passes: on each channel's own scale.
    let inverse = scale.map { 1 / $0 }
    let level = try context.emit(Rescaling(scale: inverse, offset: zeroPoint), context.operand(0))
    let clip = Activation(.clip, ["minimum": minimum, "maximum": maximum])
    return [try context.emit(ActivationGradient(clip), level, context.upstream)]
  }
}
