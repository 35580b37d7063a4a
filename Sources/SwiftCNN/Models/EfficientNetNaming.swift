/// The library whose names of parameters an EfficientNet has.
enum EfficientNetNaming {
  /// `features.2.0.block.0.0.weight`, by position.
  case torchvision
  /// `blocks.1.0.conv_pw.weight`, by purpose.
  case timm

  /// The names of a convolution, its batch normalisation and the activation after it.
  struct Layer {
    let convolution, normalization, activation: String
  }

  /// The names of squeeze-and-excitation: the whole, and its parts in the order they are computed.
  struct Squeeze {
    let product, mean, reduction, activation, expansion, gate: String
  }

  /// What a convolution of a block is for.
  enum Part {
    /// 1x1, to the wide middle of the block.
    case expansion
    /// One filter a channel.
    case depthwise
    /// The full convolution to the wide middle of a fused block.
    case fusedExpansion
    /// 1x1, from the wide middle to the result.
    case projection
    /// 1x1, to the result of a block without expansion.
    case plainProjection
    /// The only convolution of a fused block without expansion.
    case whole

    fileprivate var timm: String {
      switch self {
      case .expansion, .plainProjection: "conv_pw"
      case .depthwise: "conv_dw"
      case .fusedExpansion: "conv_exp"
      case .projection: "conv_pwl"
      case .whole: "conv"
      }
    }
  }

  /// The first layer.
  var stem: Layer { self == .torchvision ? .torchvision("features.0") : .timm("conv_stem", "bn1") }

  /// The last convolution, after so many stages.
  func head(stages: Int) -> Layer {
    self == .torchvision ? .torchvision("features.\(stages + 1)") : .timm("conv_head", "bn2")
  }

  /// The dense layer.
  var classifier: String { self == .torchvision ? "classifier.1" : "classifier" }

  /// The names of a block's layers.
  func block(stage: Int, position: Int) -> Block {
    Block(
      scheme: self,
      name: self == .torchvision ? "features.\(stage + 1).\(position)" : "blocks.\(stage).\(position)")
  }

  /// Gives out the names of a block's layers, to be asked in their order.
  struct Block {
    fileprivate let scheme: EfficientNetNaming
    /// The block's own name.
    let name: String
    private var layers = 0
    private var normalizations = 0

    fileprivate init(scheme: EfficientNetNaming, name: String) { (self.scheme, self.name) = (scheme, name) }

    /// The names of the next convolution.
    mutating func convolution(_ part: Part) -> Layer {
      defer { layers += 1 }
      normalizations += 1
      return scheme == .torchvision
        ? .torchvision("\(name).block.\(layers)")
        : .timm("\(name).\(part.timm)", "\(name).bn\(normalizations)")
    }

    /// The names of squeeze-and-excitation, the next layer.
    mutating func squeeze() -> Squeeze {
      defer { layers += 1 }
      let whole = scheme == .torchvision ? "\(name).block.\(layers)" : "\(name).se"
      return scheme == .torchvision
        ? Squeeze(
          product: whole, mean: "\(whole).avgpool", reduction: "\(whole).fc1", activation: "\(whole).activation",
          expansion: "\(whole).fc2", gate: "\(whole).scale_activation")
        : Squeeze(
          product: whole, mean: "\(whole).mean", reduction: "\(whole).conv_reduce", activation: "\(whole).act1",
          expansion: "\(whole).conv_expand", gate: "\(whole).gate")
    }
  }
}

extension EfficientNetNaming.Layer {
  fileprivate static func torchvision(_ whole: String) -> Self {
    Self(convolution: "\(whole).0", normalization: "\(whole).1", activation: "\(whole).2")
  }

  fileprivate static func timm(_ convolution: String, _ normalization: String) -> Self {
    Self(convolution: convolution, normalization: normalization, activation: "\(normalization).act")
  }
}
