import CNNCore
import CNNGraph

/// Residual networks (He et al., "Deep residual learning for image recognition", 2016), with more groups (ResNeXt, Xie
/// et al. 2017) or a wider middle (Zagoruyko and Komodakis 2016).
///
/// One row a variant, one function a kind of block. Parameter names are torchvision's.
struct ResNet: ModelFamily {
  /// The kinds of residual block.
  enum Block {
    /// Two 3x3 convolutions (figure 5, left).
    case basic
    /// 1x1, 3x3, 1x1, with the stride in the 3x3: "v1.5", as torchvision.
    case bottleneck
    /// The same with the stride in the first 1x1, as the paper and Keras.
    case stridedFirst
    /// The article's: `BatchNormalization(ReLU(Conv2D(x))) + x`.
    case article

    /// How many times wider the block's result is than the stage.
    var expansion: Int { self == .bottleneck || self == .stridedFirst ? 4 : 1 }
  }

  /// The layers before the first block.
  enum Stem {
    /// 7x7 stride 2, then 3x3 max pooling stride 2, for 224x224 images.
    case imageNet
    /// 3x3 stride 1, for 32x32 images (section 4.2 of the paper).
    case cifar
  }

  let name: String
  let block: Block
  let stem: Stem
  /// The number of blocks of each stage; every stage after the first halves the resolution and doubles the width.
  var stages: [Int]
  /// The width of the first stage.
  let width: Int
  var resolution: Int
  /// The groups of a bottleneck's 3x3 convolution, and their width where the stage's is 64 (Xie et al. 2017, table 1).
  var groups = 1, widthPerGroup = 64
  /// How pictures are prepared, of the ImageNet variants as torchvision does for its newest weights.
  var pictures: PictureConstants
  /// By how much the table is scaled.
  var scaling = ModelScaling()

  /// Whether convolutions have a bias, and what batch normalisation is given: Keras differs from torchvision in both.
  var bias = false
  var epsilon = 1e-5, momentum = 0.1, unbiased = true
  var pixels = PixelConstants.imageNet

  let dropout = 0.0, dropPath = 0.0
  let classifier = Classifier(name: "fc", initializer: .uniformFanIn)

  /// Every variant.
  static let variants: [ResNet] =
    [
      imageNet("resnet18", .basic, [2, 2, 2, 2], shorterSide: 256),
      imageNet("resnet34", .basic, [3, 4, 6, 3], shorterSide: 256),
      imageNet("resnet50", .bottleneck, [3, 4, 6, 3]),
      imageNet("resnet101", .bottleneck, [3, 4, 23, 3]),
      imageNet("resnet152", .bottleneck, [3, 8, 36, 3]),
      imageNet("resnext50_32x4d", .bottleneck, [3, 4, 6, 3], groups: 32, widthPerGroup: 4),
      imageNet("resnext101_32x8d", .bottleneck, [3, 4, 23, 3], groups: 32, widthPerGroup: 8),
      imageNet("wide_resnet50_2", .bottleneck, [3, 4, 6, 3], widthPerGroup: 128),
      imageNet("wide_resnet101_2", .bottleneck, [3, 4, 23, 3], widthPerGroup: 128),
      keras("keras_resnet50", [3, 4, 6, 3]),
      keras("keras_resnet101", [3, 4, 23, 3]),
      keras("keras_resnet152", [3, 8, 36, 3]),
      cifar("resnet20", .basic, blocks: 3),
      cifar("resnet32", .basic, blocks: 5),
      cifar("resnet44", .basic, blocks: 7),
      cifar("resnet56", .basic, blocks: 9),
      cifar("resnet110", .basic, blocks: 18),
      cifar("resnet_article", .article, blocks: 3),
    ]

  private static func imageNet(
    _ name: String, _ block: Block, _ stages: [Int], groups: Int = 1, widthPerGroup: Int = 64,
    shorterSide: Int = 232
  ) -> ResNet {
    ResNet(
      name: name, block: block, stem: .imageNet, stages: stages, width: 64, resolution: 224, groups: groups,
      widthPerGroup: widthPerGroup, pictures: PictureConstants(shorterSide: shorterSide))
  }

  /// Those of `keras.applications`, which take pixels as they are.
  private static func keras(_ name: String, _ stages: [Int]) -> ResNet {
    var result = imageNet(name, .stridedFirst, stages, shorterSide: 256)
    (result.bias, result.epsilon, result.momentum, result.unbiased) = (true, 1.001e-5, 0.01, false)
    result.pixels = .unchanged
    return result
  }

  /// `blocks` per stage: 6 * blocks + 2 layers.
  private static func cifar(_ name: String, _ block: Block, blocks: Int) -> ResNet {
    ResNet(
      name: name, block: block, stem: .cifar, stages: [blocks, blocks, blocks], width: 16, resolution: 32,
      pictures: PictureConstants(shorterSide: 32))
  }

  func scaled(by scaling: ModelScaling, stages table: StageTable?) throws(CNNError) -> ResNet {
    var result = self
    result.scaling = scaling.applied(to: self.scaling)
    result.resolution = try scaling.resolution(resolution)
    switch table {
    case nil: break
    case .blockCounts(let counts):
      // Every stage doubles the width, so that more than these are wider than any layer may be.
      guard (1...16).contains(counts.count) else {
        throw CNNError(.invalidArgument, "stages has \(counts.count) elements; expected 1 to 16 numbers of blocks")
      }
      result.stages = counts
    case .rows:
      throw CNNError(.invalidArgument, "stages is a list of objects; '\(name)' expects a list of numbers of blocks")
    }
    return result
  }

  func features(_ x: Value, _ builder: inout GraphBuilder, dropPath: Double) throws(CNNError) -> Features {
    let counts = try scaling.blockCounts(stages)
    let stemWidth = try scaling.channels(Double(width))
    var x = x
    var maps: [Value] = []
    switch stem {
    case .imageNet:
      x = try convolution(x, "conv1", "bn1", channels: stemWidth, kernel: 7, stride: 2, &builder)
      x = try builder.activation(.relu, x, "relu")
      maps.append(x)
      x = try builder.apply(Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .all(1)), x, name: "maxpool")
    case .cifar:
      x = try convolution(x, "conv1", "bn1", channels: stemWidth, kernel: 3, stride: 1, &builder)
      x = try builder.activation(.relu, x, "relu")
    }
    let blockCount = counts.reduce(0, +)
    var index = 0
    for (stage, count) in counts.enumerated() {
      let width = try scaling.channels(Double(width << stage))
      for position in 0..<count {
        // Huang et al. 2016, section 4: the rate grows linearly with depth, from 0 to the last block's.
        let dropRate = dropPath * Double(index) / Double(max(1, blockCount - 1))
        x = try residualBlock(
          x, "layer\(stage + 1).\(position)", width: width, stride: stage > 0 && position == 0 ? 2 : 1,
          dropRate: dropRate, dropStream: index, &builder)
        index += 1
      }
      maps.append(x)
    }
    return Features(maps: maps, last: x)
  }

  /// `y = F(x) + x`, then ReLU (the article's block ends with the sum). Where the shape changes, the shortcut is a 1x1
  /// convolution with batch normalisation.
  private func residualBlock(
    _ x: Value, _ name: String, width: Int, stride: Int, dropRate: Double, dropStream: Int,
    _ builder: inout GraphBuilder
  ) throws(CNNError) -> Value {
    let channels = width * block.expansion
    var branch = x
    switch block {
    case .basic:
      branch = try convolution(
        branch, "\(name).conv1", "\(name).bn1", channels: width, kernel: 3, stride: stride, &builder)
      branch = try builder.activation(.relu, branch, "\(name).relu1")
      branch = try convolution(branch, "\(name).conv2", "\(name).bn2", channels: channels, kernel: 3, &builder)
    case .bottleneck, .stridedFirst:
      let (first, second) = block == .stridedFirst ? (stride, 1) : (1, stride)
      let inner = max(1, width * widthPerGroup / 64) * groups
      branch = try convolution(
        branch, "\(name).conv1", "\(name).bn1", channels: inner, kernel: 1, stride: first, &builder)
      branch = try builder.activation(.relu, branch, "\(name).relu1")
      branch = try convolution(
        branch, "\(name).conv2", "\(name).bn2", channels: inner, kernel: 3, stride: second, groups: groups, &builder)
      branch = try builder.activation(.relu, branch, "\(name).relu2")
      branch = try convolution(branch, "\(name).conv3", "\(name).bn3", channels: channels, kernel: 1, &builder)
    case .article:
      branch = try builder.convolution(
        branch, "\(name).conv1", outputChannels: channels, kernel: (3, 3), stride: (stride, stride), padding: .all(1),
        bias: true)
      branch = try builder.activation(.relu, branch, "\(name).relu1")
      branch = try builder.batchNormalization(branch, "\(name).bn1")
    }
    if dropRate > 0 {
      branch = try builder.apply(
        StochasticDepth(rate: dropRate, stream: dropStream), branch, name: "\(name).drop_path")
    }
    var shortcut = x
    if builder.graph.type(of: x).shape != builder.graph.type(of: branch).shape {
      shortcut = try convolution(
        x, "\(name).downsample.0", "\(name).downsample.1", channels: channels, kernel: 1, stride: stride, &builder)
    }
    if block == .article { return try builder.apply(Add(), branch, shortcut, name: name) }
    // In Keras's order, which goes by it.
    let (left, right) = block == .stridedFirst ? (shortcut, branch) : (branch, shortcut)
    let sum = try builder.apply(Add(), left, right, name: "\(name).add")
    return try builder.activation(.relu, sum, name)
  }

  /// A convolution, padded to keep the size, and its batch normalisation.
  private func convolution(
    _ x: Value, _ name: String, _ normalization: String, channels: Int, kernel: Int, stride: Int = 1,
    groups: Int = 1, _ builder: inout GraphBuilder
  ) throws(CNNError) -> Value {
    let y = try builder.convolution(
      x, name, outputChannels: channels, kernel: (kernel, kernel), stride: (stride, stride),
      padding: .all(kernel / 2), groups: groups, bias: bias)
    return try builder.batchNormalization(
      y, normalization, epsilon: epsilon, momentum: momentum, unbiased: unbiased)
  }
}
