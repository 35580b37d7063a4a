/// The activation functions that every floor knows by name.
public enum ActivationFunction: String, Sendable, Hashable, CaseIterable {
  /// `max(x, 0)`
  case relu
  /// `min(max(x, 0), 6)`
  case relu6
  /// `min(x, maximum)` above the threshold, `alpha * (x - threshold)` at and below it (Maas et al. 2013): every form of
  /// Keras's `ReLU(max_value, negative_slope, threshold)`
  case leakyRelu = "leaky_relu"
  /// `x` above 0, `alpha * (exp(x) - 1)` at and below it (Clevert et al. 2016)
  case elu
  /// `elu` with the two constants that keep mean 0 and variance 1 from layer to layer (Klambauer et al. 2017)
  case selu
  /// `x * sigmoid(x)`, also called swish (Ramachandran et al. 2017)
  case silu
  /// `1 / (1 + exp(-x))`
  case sigmoid
  /// `x * relu6(x + 3) / 6` (Howard et al. 2019)
  case hardSwish = "hard_swish"
  /// `relu6(x + 3) / 6`
  case hardSigmoid = "hard_sigmoid"
  /// `x * Φ(x)` with the exact normal distribution function (Hendrycks and Gimpel 2016)
  case gelu
  /// The approximation of `gelu` by a hyperbolic tangent, `x / 2 * (1 + tanh(√(2/π) (x + 0.044715 x³)))`
  case geluTanh = "gelu_tanh"
  /// The hyperbolic tangent
  case tanh
  /// `log(1 + exp(x))` (Dugas et al. 2001)
  case softplus
  /// `x / (1 + |x|)` (Bergstra et al. 2009)
  case softsign
  /// `exp(x)`
  case exponential
  /// `x * tanh(softplus(x))` (Misra 2020)
  case mish
  /// `min(max(x, minimum), maximum)`
  case clip
  /// The error function, `2 Φ(√2 x) - 1`
  case erf
  /// The natural logarithm; that of a negative number is NaN
  case logarithm = "log"
  /// `x` to the power of `exponent`; a root of a negative number is NaN
  case power

  /// The names of the function's own constants, with the values they have where nothing is said.
  public var constants: [(name: String, usual: Double)] {
    switch self {
    case .leakyRelu: [("alpha", 0.2), ("threshold", 0), ("maximum", .infinity)]
    case .elu: [("alpha", 1)]
    case .clip: [("minimum", -.infinity), ("maximum", .infinity)]
    case .power: [("exponent", 2)]
    default: []
    }
  }

  /// Throws unless these constants, in the order of `constants`, go together.
  public func check(_ constants: [Double]) throws(CNNError) {
    if self == .clip, let minimum = constants.first, let maximum = constants.last, !(minimum <= maximum) {
      throw CNNError(
        .invalidArgument, "minimum is \(minimum) and maximum \(maximum); expected no more than the maximum")
    }
  }

  /// Whether the derivative at the result is that at the operand: a number on a flat side stays on it.
  public var hasDerivativeOfResult: Bool { self == .relu || self == .relu6 }
}
