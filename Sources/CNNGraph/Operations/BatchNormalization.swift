// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Batch normalisation with the running statistics (Ioffe and Szegedy 2015), as a layer is written and run in inference.
///
/// Operands: `x` `[..., C]`, then gamma, beta, running mean and running variance, each `[C]`. Result: as `x`.
/// `trainingForm` replaces it by `BatchNormalizationTraining` except where it or its gamma and beta are frozen.
public struct BatchNormalization: Operation {
  public static let name = "batch_norm"

  /// Added to the variance before the root.
  public let epsilon: Double
  /// The share of a new batch in the running statistics (PyTorch's meaning).
  public let momentum: Double
  /// Whether the running variance takes up the batch's unbiased variance, as PyTorch's; Keras's is the biased one.
  public var unbiased = true
  /// Whether the running statistics are used in training too.
  public var frozen = false

  /// Batch normalisation with these constants.
  public init(epsilon: Double = 1e-5, momentum: Double = 0.1) { (self.epsilon, self.momentum) = (epsilon, momentum) }

  /// What a channel is multiplied by, `gamma / sqrt(variance + epsilon)`.
  public static func factor(gamma: Float, variance: Float, epsilon: Double) -> Float {
    Float(Double(gamma) / (Double(variance) + epsilon).squareRoot())
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    epsilon = try attributes.number("epsilon", default: 1e-5)
    momentum = try attributes.number("momentum", default: 0.1)
    unbiased = try attributes.flag("unbiased", default: true)
    frozen = try attributes.flag("frozen", default: false)
  }

  public var attributes: Attributes {
    var result: Attributes = ["epsilon": .number(epsilon), "momentum": .number(momentum)]
    if !unbiased { result["unbiased"] = .flag(false) }
    if frozen { result["frozen"] = .flag(true) }
    return result
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 5...5)
    guard epsilon >= 0, (0...1).contains(momentum) else {
      throw CNNError(
        .invalidArgument, "epsilon is \(epsilon) and momentum \(momentum); expected 0 or more, and 0 to 1")
    }
    guard let channels = operands[0].shape.last, operands[0].rank >= 2 else {
      throw CNNError(.shapeMismatch, "the input has shape \(describe(operands[0].shape)); expected at least 2 axes")
    }
    try operands[0].require(element: .float32, as: "the input")
    for (operand, role) in zip(operands.dropFirst(), ["gamma", "beta", "the running mean", "the running variance"]) {
      try operand.require(shape: [channels], as: role)
    }
    return [operands[0]]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let gradients = try context.emitAll(
      BatchNormalizationGradient(epsilon: epsilon),
      [context.operand(0), context.upstream, context.operand(1), context.operand(3), context.operand(4)])
    return [gradients[0], gradients[1], gradients[2], nil, nil]
  }

  /// Each channel is normalised by itself.
  public func couple(_ channels: inout CouplingContext) {
    let last = channels.shape(0).count - 1, normalized = channels.channels(0, axis: last)
    for operand in 1..<channels.operandCount { channels.unite(normalized, channels.channels(operand, axis: 0)) }
    channels.pass()
  }
}

/// The gradient of batch normalisation with running statistics, which are constants here.
///
/// Operands: `x`, `dy`, gamma, running mean, running variance. Results: the gradients of `x`, gamma and beta.
public struct BatchNormalizationGradient: Operation {
  public static let name = "batch_norm_gradient"
  /// Added to the variance before the root.
  public let epsilon: Double

  init(epsilon: Double) { self.epsilon = epsilon }

  public init(_ attributes: inout Attributes) throws(CNNError) { epsilon = try attributes.number("epsilon") }

  public var attributes: Attributes { ["epsilon": .number(epsilon)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 5...5)
    try requireNormalization(operands, ["gamma", "the running mean", "the running variance"])
    return [operands[0], operands[2], operands[2]]
  }
}

/// Batch normalisation with the batch's own statistics, and what commonly follows it in the same pass over memory.
///
/// Operands: as `BatchNormalization`, and with `addsResidual` a tensor like `x` that is added after normalising. An
/// `activation` is applied last; of a sum with a residual it can only be ReLU, whose gradient needs no more than the
/// result. Results: `y`, the batch's mean and 1 / deviation, and the next running mean and variance.
public struct BatchNormalizationTraining: Operation {
  public static let name = "batch_norm_training"

  /// Added to the variance before the root.
  public let epsilon: Double
  /// The share of the new batch in the running statistics.
  public let momentum: Double
  /// Whether the running variance takes up the unbiased variance.
  public let unbiased: Bool
  /// Whether a sixth operand is added after normalising.
  public var addsResidual = false
  /// What is applied last.
  public var activation: Activation?

  init(_ layer: BatchNormalization) {
    (epsilon, momentum, unbiased) = (layer.epsilon, layer.momentum, layer.unbiased)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    epsilon = try attributes.number("epsilon")
    momentum = try attributes.number("momentum")
    unbiased = try attributes.flag("unbiased", default: true)
    addsResidual = try attributes.flag("adds_residual", default: false)
    activation = try Activation.optional(&attributes)
  }

  public var attributes: Attributes {
    let attributes: Attributes = [
      "epsilon": .number(epsilon), "momentum": .number(momentum), "unbiased": .flag(unbiased),
      "adds_residual": .flag(addsResidual),
    ]
    return attributes.adding(activation)
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: addsResidual ? 6...6 : 5...5)
    let types = try BatchNormalization(epsilon: epsilon, momentum: momentum).resultTypes(Array(operands.prefix(5)))
    if addsResidual { try operands[5].require(shape: types[0].shape, as: "the residual") }
    try checkFusion(addsResidual: addsResidual, activation)
    return [types[0]] + Array(repeating: operands[1], count: 4)
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    var operands = [
      context.operand(0), context.upstream, context.operand(1), context.result(1), context.result(2),
    ]
    if activation != nil { operands += [context.operand(2), context.result(0)] }
    // Without an activation the residual's gradient is that of the sum.
    let operation = BatchNormalizationTrainingGradient(
      addsResidual: addsResidual && activation != nil, activation: activation)
    let gradients = try context.emitAll(operation, operands)
    let residual = addsResidual ? [activation == nil ? context.upstream : gradients[3]] : []
    return [gradients[0], gradients[1], gradients[2], nil, nil] + residual
  }
}

/// The gradient of `BatchNormalizationTraining`.
///
/// Operands: `x`, `dy`, gamma, the batch's mean and 1 / deviation, and with an `activation` beta and the forward result,
/// from either of which its derivative can be found. Results: the gradients of `x`, gamma, beta, and with `addsResidual`
/// of the residual.
public struct BatchNormalizationTrainingGradient: Operation {
  public static let name = "batch_norm_training_gradient"
  /// Whether there is a residual to give a gradient to.
  public let addsResidual: Bool
  /// What was applied last in the forward pass.
  public let activation: Activation?

  init(addsResidual: Bool, activation: Activation?) {
    (self.addsResidual, self.activation) = (addsResidual, activation)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    addsResidual = try attributes.flag("adds_residual")
    activation = try Activation.optional(&attributes)
  }

  public var attributes: Attributes {
    let attributes: Attributes = ["adds_residual": .flag(addsResidual)]
    return attributes.adding(activation)
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: activation != nil ? 7...7 : 5...5)
    try checkFusion(addsResidual: addsResidual, activation)
    try requireNormalization(Array(operands.prefix(5)), ["gamma", "the mean", "the inverse deviation"])
    if activation != nil {
      try operands[5].require(shape: operands[2].shape, as: "beta")
      try operands[6].require(shape: operands[0].shape, as: "the result")
    }
    return [operands[0], operands[2], operands[2]] + (addsResidual ? [operands[0]] : [])
  }
}

/// Throws unless the activation can follow: of a sum with a residual, only ReLU.
private func checkFusion(addsResidual: Bool, _ activation: Activation?) throws(CNNError) {
  guard let activation else { return }
  try activation.checkConstants()
  guard !addsResidual || activation.function == .relu else {
    throw CNNError(.invalidArgument, "function is '\(activation.function.rawValue)' after a residual; expected 'relu'")
  }
}

extension Attributes {
  /// The same attributes and those of an activation, where there is one.
  fileprivate func adding(_ activation: Activation?) -> Attributes {
    var result = self
    for (name, value) in activation?.attributes.entries ?? [] { result[name] = value }
    return result
  }
}

/// Checks the operands of a gradient: `x` `[..., C]`, `dy` like it, then one `[C]` for each of `roles`.
private func requireNormalization(_ operands: [TensorType], _ roles: [String]) throws(CNNError) {
  guard let channels = operands[0].shape.last, operands[0].rank >= 2 else {
    throw CNNError(.shapeMismatch, "the input has shape \(describe(operands[0].shape)); expected at least 2 axes")
  }
  try operands[0].require(element: .float32, as: "the input")
  try operands[1].require(shape: operands[0].shape, as: "the gradient")
  for (operand, role) in zip(operands.dropFirst(2), roles) { try operand.require(shape: [channels], as: role) }
}
