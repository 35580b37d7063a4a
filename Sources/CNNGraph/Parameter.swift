import CNNCore

/// A tensor that is kept from run to run.
public struct Parameter: Sendable, Equatable {
  /// What a parameter is for; decides weight decay, and whether there is a gradient at all.
  public enum Role: String, Sendable, CaseIterable {
    /// The weight of a convolution or dense layer.
    case weight
    /// An additive bias.
    case bias
    /// Batch normalisation's gamma.
    case normalizationScale = "normalization_scale"
    /// Batch normalisation's beta.
    case normalizationShift = "normalization_shift"
    /// The slope of an activation function, as PReLU's.
    case slope
    /// How far the levels of an activation lie apart, where that is learned.
    case quantizationScale = "quantization_scale"
    /// A statistic that is measured, not learned.
    case statistic

    /// Whether a gradient can flow into the parameter.
    public var isLearned: Bool { self != .statistic }
    /// Whether weight decay usually applies: not to biases and normalisation (Goyal et al. 2017, section 5.3), nor
    /// to slopes (He et al. 2015, section 2.1).
    public var isDecayed: Bool { self == .weight }
  }

  /// Unique in the graph, as in torchvision: `layer1.0.conv1.weight`.
  public let name: String
  /// OIHW for convolutions, `[out, in]` for dense layers, `[channels]` for the rest.
  public let shape: [Int]
  /// The type of each number.
  public let element: ElementType
  /// What it is for.
  public let role: Role
  /// Where its first value comes from.
  public let initializer: Initializer
  /// Whether training changes it.
  public internal(set) var isTrainable: Bool
  /// What its size adds to the loss, while it is trainable.
  public internal(set) var regularizer: Regularizer?
  /// Which of its numbers may be other than 0; nil where all may.
  public internal(set) var mask: SparsityMask?

  /// A parameter; trainable unless it is a statistic or not float32.
  public init(
    name: String, shape: [Int], element: ElementType = .float32, role: Role, initializer: Initializer,
    regularizer: Regularizer? = nil, mask: SparsityMask? = nil
  ) {
    self.name = name
    (self.shape, self.element) = (shape, element)
    self.role = role
    self.initializer = initializer
    self.regularizer = regularizer
    isTrainable = role.isLearned && element == .float32
    self.mask = fitting(mask)
  }

  /// A mask, unless it is that of another size: then none.
  func fitting(_ mask: SparsityMask?) -> SparsityMask? { mask?.count == shape.reduce(1, &*) ? mask : nil }

  /// A part of the parameter, and of its mask.
  func part(_ slice: ParameterSlice) -> Parameter {
    let mask = mask.map { mask in
      let positions = slice.positions
      return SparsityMask(count: positions.count) { mask[positions[$0]] }
    }
    var result = Parameter(
      name: name, shape: slice.shape, element: element, role: role, initializer: initializer, regularizer: regularizer,
      mask: mask)
    result.isTrainable = isTrainable
    return result
  }

  /// The same parameter, trained or frozen; a statistic, and what is not float32, is never trained.
  public func trainable(_ isTrainable: Bool) -> Parameter {
    var result = self
    result.isTrainable = role.isLearned && element == .float32 && isTrainable
    return result
  }
}

/// A penalty for large values, `l1 * Σ|w| + l2 * Σw²`, as Keras's `L1L2`.
public struct Regularizer: Sendable, Equatable {
  /// The factor of the absolute values, and of the squares.
  public let l1, l2: Double

  /// A penalty, checked.
  /// - Throws: `.invalidArgument` unless both factors are finite and not negative.
  public init(l1: Double = 0, l2: Double = 0) throws(CNNError) {
    for (name, factor) in [("l1", l1), ("l2", l2)] {
      guard factor >= 0, factor <= Double(Float.greatestFiniteMagnitude) else {
        throw CNNError(.invalidArgument, "\(name) is \(factor); expected a finite number of 0 or more")
      }
    }
    (self.l1, self.l2) = (l1, l2)
  }
}

/// How a parameter's first value is drawn.
public enum Initializer: String, Sendable, CaseIterable {
  /// All zero.
  case zeros
  /// All one.
  case ones
  /// Normal with deviation `sqrt(2 / fanOut)` (He et al. 2015), as torchvision's ResNets.
  case heNormalFanOut = "he_normal_fan_out"
  /// Normal with deviation `sqrt(2 / receptive field)`: the fan out of one channel of a depthwise convolution by itself,
  /// as in TensorFlow's EfficientNets.
  case heNormalDepthwise = "he_normal_depthwise"
  /// Uniform in `±sqrt(1 / fanIn)`, as PyTorch's linear layers and their biases.
  case uniformFanIn = "uniform_fan_in"
  /// Uniform in `±sqrt(1 / fanOut)`, as the classifiers of torchvision's and timm's EfficientNets.
  case uniformFanOut = "uniform_fan_out"
  /// Uniform in `±sqrt(6 / (fanIn + fanOut))` (Glorot and Bengio 2010), as Keras's layers.
  case glorotUniform = "glorot_uniform"
}
