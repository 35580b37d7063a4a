// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Rounding to the 256 levels of a byte whose scale is a parameter, so that it is trained or measured:
/// `y = (clip(round(x / scale + zero), 0, 255) - zero) * scale`, halves to the even level, `zero` the whole number nearest to
/// the zero point.
///
/// Operands: `x` of any shape, the scale `[1]` and the zero point `[1]`. Result: as `x`. A scale of 0 is none: `x` passes.
///
/// The gradient of `x` is that of the clip alone (straight-through, Bengio et al. 2013). That of the scale is Esser et al.
/// 2020's (LSQ), equation 3, times their `1 / sqrt(N Q)`: `N` numbers in a sample, `Q` levels above 0. The zero point stands.
/// `trainingForm` replaces it by `FakeQuantizeActivationTraining` where the range is tracked.
public struct FakeQuantizeActivation: Operation {
  public static let name = "fake_quantize_activation"
  /// The share of a new batch in the tracked range; 0 where the range is not tracked.
  public let momentum: Double
  /// The share of a training run after which the range, and the statistics of batch normalisations, stand.
  public let freeze: Double
  /// Whether the range stands in training too.
  public var frozen = false

  /// Rounding with these constants.
  public init(momentum: Double, freeze: Double) { (self.momentum, self.freeze) = (momentum, freeze) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    momentum = try attributes.number("momentum", default: 0)
    freeze = try attributes.number("freeze", default: 1)
    frozen = try attributes.flag("frozen", default: false)
  }

  public var attributes: Attributes {
    var result: Attributes = ["momentum": .number(momentum), "freeze": .number(freeze)]
    if frozen { result["frozen"] = .flag(true) }
    return result
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 3...3)
    try operands[0].require(element: .float32, as: "the input")
    try operands[1].require(shape: [1], as: "the scale")
    try operands[2].require(shape: [1], as: "the zero point")
    guard (0...1).contains(momentum), (0...1).contains(freeze) else {
      throw CNNError(.invalidArgument, "momentum is \(momentum) and freeze \(freeze); expected 0 to 1")
    }
    return [operands[0]]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let learnsScale = context.needsGradient(1) && !frozen
    let gradients = try context.emitAll(
      FakeQuantizeActivationGradient(learnsScale: learnsScale),
      [context.operand(0), context.upstream, context.operand(1), context.operand(2)])
    return [gradients[0], learnsScale ? gradients[1] : nil, nil]
  }
}

/// `FakeQuantizeActivation` while its range is tracked: by a moving average of the smallest and the largest number of a
/// batch, 0 among them (Jacob et al. 2018, section 3.1).
///
/// Operands: as there. Results: `y`, rounded with the range from before, and the next scale and zero point, which is no
/// whole number. Where the range is not known yet, it is that of this batch.
public struct FakeQuantizeActivationTraining: Operation {
  public static let name = "fake_quantize_activation_training"
  /// The share of the batch in the next range.
  public let momentum: Double

  init(_ layer: FakeQuantizeActivation) { momentum = layer.momentum }

  public init(_ attributes: inout Attributes) throws(CNNError) { momentum = try attributes.number("momentum") }

  public var attributes: Attributes { ["momentum": .number(momentum)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    let types = try FakeQuantizeActivation(momentum: momentum, freeze: 1).resultTypes(operands)
    return types + [operands[1], operands[2]]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let gradient = try context.emit(
      FakeQuantizeActivationGradient(learnsScale: false), context.operand(0), context.upstream, context.operand(1),
      context.operand(2))
    return [gradient, nil, nil]
  }
}

/// The gradient of `FakeQuantizeActivation`. Operands: `x`, `dy`, the scale, the zero point. Results: `dx`, and where it is
/// learned the gradient of the scale.
public struct FakeQuantizeActivationGradient: Operation {
  public static let name = "fake_quantize_activation_gradient"
  /// Whether the scale has a gradient.
  public let learnsScale: Bool

  init(learnsScale: Bool) { self.learnsScale = learnsScale }

  public init(_ attributes: inout Attributes) throws(CNNError) { learnsScale = try attributes.flag("learns_scale") }

  public var attributes: Attributes { ["learns_scale": .flag(learnsScale)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 4...4)
    try operands[0].require(element: .float32, as: "the input")
    try operands[1].require(shape: operands[0].shape, as: "the gradient")
    try operands[2].require(shape: [1], as: "the scale")
    try operands[3].require(shape: [1], as: "the zero point")
    return [operands[0]] + (learnsScale ? [operands[2]] : [])
  }
}
