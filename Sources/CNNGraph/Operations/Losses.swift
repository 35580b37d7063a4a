// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The loss functions, by the names they have in Keras.
public enum LossFunction: String, Sendable, CaseIterable {
  /// Cross-entropy with one-hot or soft targets, shaped as the prediction.
  case categoricalCrossEntropy = "categorical_crossentropy"
  /// Cross-entropy with class numbers, shaped as the prediction without its last axis.
  case sparseCategoricalCrossEntropy = "sparse_categorical_crossentropy"
  /// Cross-entropy of independent yes/no predictions.
  case binaryCrossEntropy = "binary_crossentropy"
  /// `binaryCrossEntropy` whose terms count less the surer a prediction is (Lin et al. 2017).
  case binaryFocalCrossEntropy = "binary_focal_crossentropy"
  /// `categoricalCrossEntropy` whose terms count less the surer a prediction is.
  case categoricalFocalCrossEntropy = "categorical_focal_crossentropy"
  /// The mean of squared differences.
  case meanSquaredError = "mean_squared_error"
  /// The mean of absolute differences.
  case meanAbsoluteError = "mean_absolute_error"
  /// Squares of small differences, absolute values of large ones (Huber 1964).
  case huber
  /// The mean of the logarithms of the differences' hyperbolic cosines.
  case logCosh = "log_cosh"
  /// The Kullback-Leibler divergence of the prediction from the target.
  case kullbackLeiblerDivergence = "kl_divergence"

  /// What it is, in a sentence.
  public var documentation: String {
    switch self {
    case .categoricalCrossEntropy: "Cross-entropy with one-hot or soft targets, shaped as the prediction."
    case .sparseCategoricalCrossEntropy:
      "Cross-entropy with class numbers, shaped as the prediction without its last axis."
    case .binaryCrossEntropy: "Cross-entropy of independent yes/no predictions."
    case .binaryFocalCrossEntropy: "The same, whose terms count less the surer a prediction is (Lin et al. 2017)."
    case .categoricalFocalCrossEntropy: "Categorical cross-entropy whose terms count less the surer a prediction is."
    case .meanSquaredError: "The mean of squared differences."
    case .meanAbsoluteError: "The mean of absolute differences."
    case .huber: "Squares of small differences, absolute values of large ones (Huber 1964)."
    case .logCosh: "The mean of the logarithms of the differences' hyperbolic cosines."
    case .kullbackLeiblerDivergence: "The Kullback-Leibler divergence of the prediction from the target."
    }
  }

  /// Whether there is a form that takes logits.
  public var hasLogitsForm: Bool {
    switch self {
    case .categoricalCrossEntropy, .sparseCategoricalCrossEntropy, .binaryCrossEntropy, .binaryFocalCrossEntropy,
      .categoricalFocalCrossEntropy:
      true
    case .meanSquaredError, .meanAbsoluteError, .huber, .logCosh, .kullbackLeiblerDivergence: false
    }
  }
}

extension LossFunction {
  /// Whether targets are class numbers.
  public var hasLabelTargets: Bool { self == .sparseCategoricalCrossEntropy }

  /// Whether each prediction is a yes or no by itself, so that logits become probabilities by a sigmoid.
  public var isBinary: Bool { self == .binaryCrossEntropy || self == .binaryFocalCrossEntropy }

  /// Whether it has `Focus`.
  public var isFocal: Bool { self == .binaryFocalCrossEntropy || self == .categoricalFocalCrossEntropy }
}

/// How a focal cross-entropy weighs its terms.
public struct Focus: Sendable, Hashable {
  /// The power of what a prediction lacks of its target, by which its term is multiplied.
  public var gamma = 2.0
  /// The weight of each class, or one of all; in the binary form that of yes, where no has `1 - alpha`.
  public var alpha = [0.25]
  /// Whether the binary form looks at `alpha`.
  public var balancesClasses = false

  /// The defaults.
  public init() {}

  /// Throws where a constant is out of its domain.
  /// - Parameter classes: how many there are, where that is known.
  public func validate(for function: LossFunction, classes: Int? = nil) throws(CNNError) {
    guard gamma >= 0, gamma.isFinite else {
      throw CNNError(.invalidArgument, "gamma is \(gamma); expected 0 or more")
    }
    guard alpha.count == 1 || (!function.isBinary && classes.map { $0 == alpha.count } ?? !alpha.isEmpty) else {
      throw CNNError(
        .invalidArgument,
        "alpha has \(alpha.count) numbers; expected one" + (function.isBinary ? "" : ", or one for each class"))
    }
    for weight in alpha where !(weight >= 0 && weight.isFinite && (weight <= 1 || !function.isBinary)) {
      throw CNNError(
        .invalidArgument, "alpha is \(weight); expected \(function.isBinary ? "0 to 1" : "0 or more")")
    }
  }
}

/// A loss over the last axis.
///
/// Operands: the prediction `[..., classes]` and the target (int32 `[...]` for class numbers, else as the prediction).
/// Result: one loss per prediction, `[...]`.
public struct Loss: Operation {
  public static let name = "loss"
  /// Which loss.
  public let function: LossFunction
  /// Whether the prediction is logits; else probabilities, clipped to `[1e-7, 1 - 1e-7]` as in Keras.
  public var fromLogits: Bool
  /// The share of the target that is spread evenly over the classes (Szegedy et al. 2016, section 7).
  public let labelSmoothing: Double
  /// Where `huber` turns from squares to absolute values; the others do not look at it.
  public let delta: Double
  /// What the focal losses look at.
  public let focus: Focus

  /// A loss.
  public init(
    _ function: LossFunction, fromLogits: Bool = false, labelSmoothing: Double = 0, delta: Double = 1,
    focus: Focus = Focus()
  ) {
    (self.function, self.fromLogits, self.labelSmoothing) = (function, fromLogits, labelSmoothing)
    (self.delta, self.focus) = (delta, focus)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    function = try attributes.choice("function")
    fromLogits = try attributes.flag("from_logits", default: false)
    labelSmoothing = try attributes.number("label_smoothing", default: 0)
    delta = function == .huber ? try attributes.number("delta", default: 1) : 1
    var focus = Focus()
    if function.isFocal {
      focus.gamma = try attributes.number("gamma", default: focus.gamma)
      focus.alpha = try attributes.numbers("alpha", default: focus.alpha)
      focus.balancesClasses = try attributes.flag("apply_class_balancing", default: false)
    }
    self.focus = focus
  }

  public var attributes: Attributes {
    let attributes: Attributes = [
      "function": .text(function.rawValue), "from_logits": .flag(fromLogits),
      "label_smoothing": .number(labelSmoothing),
    ]
    if function.isFocal {
      return attributes.adding("gamma", .number(focus.gamma)).adding("alpha", .numbers(focus.alpha))
        .adding("apply_class_balancing", .flag(focus.balancesClasses))
    }
    return function == .huber ? attributes.adding("delta", .number(delta)) : attributes
  }

  /// Whether the loss of that operation's result can be taken from its operand instead.
  public func absorbs(_ operation: any Operation) -> Bool {
    switch function {
    case .categoricalCrossEntropy, .sparseCategoricalCrossEntropy, .categoricalFocalCrossEntropy:
      operation is Softmax
    case .binaryCrossEntropy, .binaryFocalCrossEntropy: (operation as? Activation)?.function == .sigmoid
    default: false
    }
  }

  /// The type of the target for a prediction of this type.
  public func targetType(for prediction: TensorType) throws(CNNError) -> TensorType {
    function.hasLabelTargets ? try TensorType(.int32, prediction.shape.dropLast()) : prediction
  }

  /// Integers are labels.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { element == .float32 || operand == 1 }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    let prediction = operands[0]
    guard prediction.rank >= 2 else {
      throw CNNError(.shapeMismatch, "the prediction has shape \(describe(prediction.shape)); expected 2 axes or more")
    }
    try prediction.require(element: .float32, as: "the prediction")
    guard (0..<1).contains(labelSmoothing) else {
      throw CNNError(
        .invalidArgument, "\(option: "label_smoothing") is \(labelSmoothing); expected 0 or more and below 1")
    }
    guard function.hasLogitsForm || (!fromLogits && labelSmoothing == 0) else {
      throw CNNError(.invalidArgument, "\(function.rawValue) has neither logits nor label smoothing")
    }
    guard delta > 0, delta <= Double(Float.greatestFiniteMagnitude) else {
      throw CNNError(.invalidArgument, "delta is \(delta); expected a finite number above 0")
    }
    try focus.validate(for: function, classes: prediction.shape[prediction.rank - 1])
    let expected = try targetType(for: prediction)
    try operands[1].require(shape: expected.shape, element: expected.element, as: "the target")
    return [try TensorType(.float32, prediction.shape.dropLast())]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    if context.needsGradient(1) {
      throw CNNError(.invalidArgument, "the target of a loss has no gradient")
    }
    let operation = LossGradient(self)
    return [try context.emit(operation, context.operand(0), context.operand(1), context.upstream), nil]
  }
}

/// The gradient of a loss. Operands: prediction, target and the gradient of each loss; result: as the prediction.
public struct LossGradient: Operation {
  public static let name = "loss_gradient"
  /// The loss that was run forward.
  public let loss: Loss

  init(_ loss: Loss) { self.loss = loss }

  public init(_ attributes: inout Attributes) throws(CNNError) { loss = try Loss(&attributes) }

  public var attributes: Attributes { loss.attributes }

  /// Integers are labels.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { loss.takes(element, at: operand) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 3...3)
    let perSample = try loss.resultTypes(Array(operands.prefix(2)))[0]
    try operands[2].require(shape: perSample.shape, as: "the gradient")
    return [operands[0]]
  }
}

/// `sum(weights * x) / N` over all `N` elements, as Keras reduces a loss. Operands: `x` `[N, ...]`, and the samples'
/// weights `[N]`; result: a scalar.
public struct WeightedMean: Operation {
  public static let name = "weighted_mean"

  /// A weighted mean.
  public init() {}
  public init(_ attributes: inout Attributes) throws(CNNError) {}

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(element: .float32, as: "the input")
    guard let batch = operands[0].shape.first else { throw CNNError(.shapeMismatch, "the input is a scalar") }
    try operands[1].require(shape: [batch], as: "the sample weights")
    return [try TensorType(.float32, [])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    if context.needsGradient(1) { throw CNNError(.invalidArgument, "sample weights have no gradient") }
    let shape = context.type(of: context.operand(0)).shape
    return [try context.emit(WeightedMeanGradient(shape: shape), context.upstream, context.operand(1)), nil]
  }
}

/// The gradient of `WeightedMean`: `dy * weight / N` for every element. Operands: the scalar `dy` and the weights.
public struct WeightedMeanGradient: Operation {
  public static let name = "weighted_mean_gradient"
  /// The shape of the forward operand.
  public let shape: [Int]

  init(shape: [Int]) { self.shape = shape }

  public init(_ attributes: inout Attributes) throws(CNNError) { shape = try attributes.integers("shape") }

  public var attributes: Attributes { ["shape": .integers(shape)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try operands[0].require(shape: [], as: "the gradient")
    try operands[1].require(shape: Array(shape.prefix(1)), as: "the sample weights")
    return [try TensorType(.float32, shape)]
  }
}
