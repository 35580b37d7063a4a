/// The library whose names of parameters an EfficientNet has.
enum EfficientNetNaming {
  /// `features.2.0.block.0.0.weight`, by position.
  case torchvision
  /// `blocks.1.0.conv_pw.weight`, by purpose.
  case timm
  /// `_blocks.1._expand_conv.weight`, as in Luke Melas-Kyriazi's efficientnet_pytorch: blocks are counted through.
  case efficientNetPyTorch
  /// `efficientnet.encoder.blocks.1.expansion.expand_conv.weight`, as in Hugging Face's transformers: counted through too.
  case huggingFace

  /// Whether it has names for blocks whose expansion is one with the depthwise convolution.
  var hasFusedBlocks: Bool { self == .torchvision || self == .timm }

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

    /// The names of convolution and normalisation; that library has no fused blocks.
    fileprivate var efficientNetPyTorch: (convolution: String, normalization: String) {
      switch self {
      case .expansion, .fusedExpansion, .whole: ("_expand_conv", "_bn0")
      case .depthwise: ("_depthwise_conv", "_bn1")
      case .projection, .plainProjection: ("_project_conv", "_bn2")
      }
    }

    /// The same in that library.
    fileprivate var huggingFace: (convolution: String, normalization: String) {
      switch self {
      case .expansion, .fusedExpansion, .whole: ("expansion.expand_conv", "expansion.expand_bn")
      case .depthwise: ("depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm")
      case .projection, .plainProjection: ("projection.project_conv", "projection.project_bn")
      }
    }
  }

  /// The first layer.
  var stem: Layer {
    switch self {
    case .torchvision: .torchvision("features.0")
    case .timm: .timm("conv_stem", "bn1")
    case .efficientNetPyTorch: .timm("_conv_stem", "_bn0")
    case .huggingFace: .timm("efficientnet.embeddings.convolution", "efficientnet.embeddings.batchnorm")
    }
  }

  /// The last convolution, after so many stages.
  func head(stages: Int) -> Layer {
    switch self {
    case .torchvision: .torchvision("features.\(stages + 1)")
    case .timm: .timm("conv_head", "bn2")
    case .efficientNetPyTorch: .timm("_conv_head", "_bn1")
    case .huggingFace: .timm("efficientnet.encoder.top_conv", "efficientnet.encoder.top_bn")
    }
  }

  /// The dense layer.
  var classifier: String {
    switch self {
    case .torchvision: "classifier.1"
    case .timm, .huggingFace: "classifier"
    case .efficientNetPyTorch: "_fc"
    }
  }

  /// The names of a block's layers.
  /// - Parameter index: its number in the whole network.
  func block(stage: Int, position: Int, index: Int) -> Block {
    let name =
      switch self {
      case .torchvision: "features.\(stage + 1).\(position)"
      case .timm: "blocks.\(stage).\(position)"
      case .efficientNetPyTorch: "_blocks.\(index)"
      case .huggingFace: "efficientnet.encoder.blocks.\(index)"
      }
    return Block(scheme: self, name: name)
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
      switch scheme {
      case .torchvision: return .torchvision("\(name).block.\(layers)")
      case .timm: return .timm("\(name).\(part.timm)", "\(name).bn\(normalizations)")
      case .efficientNetPyTorch:
        let names = part.efficientNetPyTorch
        return .timm("\(name).\(names.convolution)", "\(name).\(names.normalization)")
      case .huggingFace:
        let names = part.huggingFace
        return .timm("\(name).\(names.convolution)", "\(name).\(names.normalization)")
      }
    }

    /// The names of squeeze-and-excitation, the next layer.
    mutating func squeeze() -> Squeeze {
      defer { layers += 1 }
      switch scheme {
      case .torchvision:
        let whole = "\(name).block.\(layers)"
        return Squeeze(
          product: whole, mean: "\(whole).avgpool", reduction: "\(whole).fc1", activation: "\(whole).activation",
          expansion: "\(whole).fc2", gate: "\(whole).scale_activation")
      case .timm:
        let whole = "\(name).se"
        return Squeeze(
          product: whole, mean: "\(whole).mean", reduction: "\(whole).conv_reduce", activation: "\(whole).act1",
          expansion: "\(whole).conv_expand", gate: "\(whole).gate")
      case .efficientNetPyTorch:
        let whole = "\(name)._se"
        return Squeeze(
          product: whole, mean: "\(whole)_mean", reduction: "\(whole)_reduce", activation: "\(whole)_swish",
          expansion: "\(whole)_expand", gate: "\(whole)_gate")
      case .huggingFace:
        let whole = "\(name).squeeze_excite"
        return Squeeze(
          product: whole, mean: "\(whole).squeeze", reduction: "\(whole).reduce", activation: "\(whole).act_reduce",
          expansion: "\(whole).expand", gate: "\(whole).act_expand")
      }
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
