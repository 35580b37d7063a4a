import CNNCore

/// Every activation function, with its definition in a file of its own in `Functions`.
enum ActivationTable {
  /// The function's definition.
  static subscript(_ function: ActivationFunction) -> any ActivationDefinition.Type {
    switch function {
    case .relu: Relu.self
    case .relu6: Relu6.self
    case .leakyRelu: LeakyRelu.self
    case .elu: Elu.self
    case .selu: Selu.self
    case .silu: Silu.self
    case .sigmoid: Sigmoid.self
    case .hardSwish: HardSwish.self
    case .hardSigmoid: HardSigmoid.self
    case .gelu: Gelu.self
    case .geluTanh: GeluTanh.self
    case .tanh: Tanh.self
    case .softplus: Softplus.self
    case .softsign: Softsign.self
    case .exponential: Exponential.self
    case .mish: Mish.self
    case .clip: Clip.self
    case .erf: Erf.self
    case .logarithm: Logarithm.self
    case .power: Power.self
    }
  }
}
