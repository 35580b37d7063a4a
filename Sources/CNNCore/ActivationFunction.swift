/// The activation functions that every floor knows by name.
public enum ActivationFunction: String, Sendable, Hashable, CaseIterable {
  /// `max(x, 0)`
  case relu
  /// `min(max(x, 0), 6)`
  case relu6
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
  /// The hyperbolic tangent
  case tanh
}
