import CNNCore
import CNNGraph
import CNNPictures

/// EfficientNet (Tan and Le 2019), its variant for small devices (lite) and EfficientNetV2 (Tan and Le 2021).
///
/// One row a variant: a table of stages, the coefficients by which it is scaled (2019, equation 3: a deeper network is
/// also wider and sees larger images), and the conventions of the library whose weights it takes, torchvision or timm.
/// The `tf_` variants are timm's for weights trained in TensorFlow, with its padding.
struct EfficientNet: ModelFamily {
  /// The width of the last convolution.
  enum Head {
    /// So many times the last stage's.
    case multiple(Int)
    /// Scaled as every other layer's.
    case scaled(Int)
    /// As it is.
    case fixed(Int)
  }

  let name: String
  var resolution: Int
  /// Which library's names, padding and initialisation.
  var naming = EfficientNetNaming.torchvision
  var stages: [EfficientNetStage]
  /// The width of the first convolution.
  var stem = 32
  var head = Head.multiple(4)
  /// By how much the table is scaled.
  var scaling = ModelScaling()
  /// Whether stem, head, and the number of blocks of the first and last stage are as in the table at any scale.
  var fixesEnds = false
  var activation = ActivationFunction.silu
  /// Batch normalisation's.
  var epsilon = 1e-5, momentum = 0.1
  var dropout = 0.2
  var dropPath = 0.2
  var pixels = PixelConstants.imageNet
  var pictures: PictureConstants

  var classifier: Classifier { Classifier(name: naming.classifier, initializer: .uniformFanOut) }

  // -------------------------------------------------------------------------------------------------------- variants

  /// Every variant. torchvision's resolutions and the sizes before the middle is cut out are those its newest weights are
  /// tested with, timm's those of its configuration.
  static let variants: [EfficientNet] = [
    torchvision("efficientnet_b0", width: 1.0, depth: 1.0, resolution: 224, shorterSide: 256, dropout: 0.2),
    torchvision(
      "efficientnet_b1", width: 1.0, depth: 1.1, resolution: 240, shorterSide: 255, interpolation: .bilinear,
      dropout: 0.2),
    torchvision("efficientnet_b2", width: 1.1, depth: 1.2, resolution: 288, shorterSide: 288, dropout: 0.3),
    torchvision("efficientnet_b3", width: 1.2, depth: 1.4, resolution: 300, shorterSide: 320, dropout: 0.3),
    torchvision("efficientnet_b4", width: 1.4, depth: 1.8, resolution: 380, shorterSide: 384, dropout: 0.4),
    torchvision(
      "efficientnet_b5", width: 1.6, depth: 2.2, resolution: 456, shorterSide: 456, dropout: 0.4, epsilon: 1e-3,
      momentum: 0.01),
    torchvision(
      "efficientnet_b6", width: 1.8, depth: 2.6, resolution: 528, shorterSide: 528, dropout: 0.5, epsilon: 1e-3,
      momentum: 0.01),
    torchvision(
      "efficientnet_b7", width: 2.0, depth: 3.1, resolution: 600, shorterSide: 600, dropout: 0.5, epsilon: 1e-3,
      momentum: 0.01),
    torchvision2("efficientnet_v2_s", stagesV2Small, stem: 24, resolution: 384, dropout: 0.2),
    torchvision2("efficientnet_v2_m", stagesV2Medium, stem: 24, resolution: 480, dropout: 0.3),
    torchvision2(
      "efficientnet_v2_l", stagesV2Large, stem: 32, resolution: 480, dropout: 0.4, pixels: .signed,
      interpolation: .bicubic),
    timm("tf_efficientnet_b0", width: 1.0, depth: 1.0, resolution: 224, shorterSide: 256),
    timm("tf_efficientnet_b1", width: 1.0, depth: 1.1, resolution: 240, shorterSide: 272),
    timm("tf_efficientnet_b2", width: 1.1, depth: 1.2, resolution: 260, shorterSide: 292),
    timm("tf_efficientnet_b3", width: 1.2, depth: 1.4, resolution: 300, shorterSide: 331),
    timm("tf_efficientnet_b4", width: 1.4, depth: 1.8, resolution: 380, shorterSide: 412),
    timm("tf_efficientnet_b5", width: 1.6, depth: 2.2, resolution: 456, shorterSide: 488),
    timm("tf_efficientnet_b6", width: 1.8, depth: 2.6, resolution: 528, shorterSide: 560),
    timm("tf_efficientnet_b7", width: 2.0, depth: 3.1, resolution: 600, shorterSide: 632),
    timmLite("tf_efficientnet_lite0", width: 1.0, depth: 1.0, resolution: 224, shorterSide: 256),
    timmLite("tf_efficientnet_lite1", width: 1.0, depth: 1.1, resolution: 240, shorterSide: 272),
    timmLite("tf_efficientnet_lite2", width: 1.1, depth: 1.2, resolution: 260, shorterSide: 292),
    timmLite(
      "tf_efficientnet_lite3", width: 1.2, depth: 1.4, resolution: 300, shorterSide: 331, interpolation: .bilinear),
    timmLite(
      "tf_efficientnet_lite4", width: 1.4, depth: 1.8, resolution: 380, shorterSide: 413, interpolation: .bilinear),
    timm2("tf_efficientnetv2_s", stagesV2Small, stem: 24, resolution: 300),
  ]

  private static func torchvision(
    _ name: String, width: Double, depth: Double, resolution: Int, shorterSide: Int,
    interpolation: ResamplingFilter = .bicubic, dropout: Double, epsilon: Double = 1e-5, momentum: Double = 0.1
  ) -> EfficientNet {
    EfficientNet(
      name: name, resolution: resolution, stages: stagesV1(squeezeRatio: 0.25),
      scaling: ModelScaling(width: width, depth: depth), epsilon: epsilon, momentum: momentum, dropout: dropout,
      pictures: PictureConstants(shorterSide: shorterSide, interpolation: interpolation))
  }

  private static func torchvision2(
    _ name: String, _ stages: [EfficientNetStage], stem: Int, resolution: Int, dropout: Double,
    pixels: PixelConstants = .imageNet, interpolation: ResamplingFilter = .bilinear
  ) -> EfficientNet {
    EfficientNet(
      name: name, resolution: resolution, stages: stages, stem: stem, head: .scaled(1280), epsilon: 1e-3,
      dropout: dropout, pixels: pixels,
      pictures: PictureConstants(shorterSide: resolution, interpolation: interpolation))
  }

  private static func timm(
    _ name: String, width: Double, depth: Double, resolution: Int, shorterSide: Int
  ) -> EfficientNet {
    EfficientNet(
      name: name, resolution: resolution, naming: .timm, stages: stagesV1(squeezeRatio: 0.25), head: .scaled(1280),
      scaling: ModelScaling(width: width, depth: depth), epsilon: 1e-3, dropout: 0, dropPath: 0,
      pictures: PictureConstants(shorterSide: shorterSide, interpolation: .bicubic))
  }

  private static func timmLite(
    _ name: String, width: Double, depth: Double, resolution: Int, shorterSide: Int,
    interpolation: ResamplingFilter = .bicubic
  ) -> EfficientNet {
    EfficientNet(
      name: name, resolution: resolution, naming: .timm, stages: stagesV1(squeezeRatio: 0), head: .fixed(1280),
      scaling: ModelScaling(width: width, depth: depth), fixesEnds: true, activation: .relu6, epsilon: 1e-3, dropout: 0,
      dropPath: 0, pixels: .signed,
      pictures: PictureConstants(shorterSide: shorterSide, interpolation: interpolation))
  }

  private static func timm2(_ name: String, _ stages: [EfficientNetStage], stem: Int, resolution: Int) -> EfficientNet {
    EfficientNet(
      name: name, resolution: resolution, naming: .timm, stages: stages, stem: stem, head: .scaled(1280), epsilon: 1e-3,
      dropout: 0, dropPath: 0, pixels: .signed,
      pictures: PictureConstants(shorterSide: resolution, interpolation: .bicubic))
  }

  // ---------------------------------------------------------------------------------------------------------- tables

  private static func mbconv(
    _ kernel: Int, stride: Int, expand: Double, _ channels: Int, repeats: Int, squeezeRatio: Double = 0.25
  ) -> EfficientNetStage {
    EfficientNetStage(
      .mbconv, kernel: kernel, stride: stride, expandRatio: expand, channels: channels, repeats: repeats,
      squeezeRatio: squeezeRatio)
  }

  private static func fused(stride: Int, expand: Double, _ channels: Int, repeats: Int) -> EfficientNetStage {
    EfficientNetStage(
      .fusedMBConv, kernel: 3, stride: stride, expandRatio: expand, channels: channels, repeats: repeats)
  }

  /// Tan and Le 2019, table 1.
  private static func stagesV1(squeezeRatio: Double) -> [EfficientNetStage] {
    [
      mbconv(3, stride: 1, expand: 1, 16, repeats: 1, squeezeRatio: squeezeRatio),
      mbconv(3, stride: 2, expand: 6, 24, repeats: 2, squeezeRatio: squeezeRatio),
      mbconv(5, stride: 2, expand: 6, 40, repeats: 2, squeezeRatio: squeezeRatio),
      mbconv(3, stride: 2, expand: 6, 80, repeats: 3, squeezeRatio: squeezeRatio),
      mbconv(5, stride: 1, expand: 6, 112, repeats: 3, squeezeRatio: squeezeRatio),
      mbconv(5, stride: 2, expand: 6, 192, repeats: 4, squeezeRatio: squeezeRatio),
      mbconv(3, stride: 1, expand: 6, 320, repeats: 1, squeezeRatio: squeezeRatio),
    ]
  }

  /// Tan and Le 2021, table 4.
  private static let stagesV2Small = [
    fused(stride: 1, expand: 1, 24, repeats: 2),
    fused(stride: 2, expand: 4, 48, repeats: 4),
    fused(stride: 2, expand: 4, 64, repeats: 4),
    mbconv(3, stride: 2, expand: 4, 128, repeats: 6),
    mbconv(3, stride: 1, expand: 6, 160, repeats: 9),
    mbconv(3, stride: 2, expand: 6, 256, repeats: 15),
  ]

  private static let stagesV2Medium = [
    fused(stride: 1, expand: 1, 24, repeats: 3),
    fused(stride: 2, expand: 4, 48, repeats: 5),
    fused(stride: 2, expand: 4, 80, repeats: 5),
    mbconv(3, stride: 2, expand: 4, 160, repeats: 7),
    mbconv(3, stride: 1, expand: 6, 176, repeats: 14),
    mbconv(3, stride: 2, expand: 6, 304, repeats: 18),
    mbconv(3, stride: 1, expand: 6, 512, repeats: 5),
  ]

  private static let stagesV2Large = [
    fused(stride: 1, expand: 1, 32, repeats: 4),
    fused(stride: 2, expand: 4, 64, repeats: 7),
    fused(stride: 2, expand: 4, 96, repeats: 7),
    mbconv(3, stride: 2, expand: 4, 192, repeats: 10),
    mbconv(3, stride: 1, expand: 6, 224, repeats: 19),
    mbconv(3, stride: 2, expand: 6, 384, repeats: 25),
    mbconv(3, stride: 1, expand: 6, 640, repeats: 7),
  ]

  // --------------------------------------------------------------------------------------------------------- building

  func scaled(by scaling: ModelScaling, stages table: StageTable?) throws(CNNError) -> EfficientNet {
    var result = self
    result.scaling = scaling.applied(to: self.scaling)
    result.resolution = try scaling.resolution(resolution)
    switch table {
    case nil: break
    case .rows(let rows):
      guard let first = rows.first else {
        throw CNNError(.invalidArgument, "stages is empty; expected at least one stage")
      }
      for (index, row) in rows.enumerated() {
        do throws(CNNError) {
          try row.validate()
          if index > 0, let input = row.inputChannels, input != rows[index - 1].channels {
            throw CNNError(
              .invalidArgument, "input_channels is \(input), but the stage before has \(rows[index - 1].channels)")
          }
        } catch {
          throw error.prefixed("stages[\(index)]")
        }
      }
      result.stages = rows
      result.stem = first.inputChannels ?? stem
    case .blockCounts:
      throw CNNError(
        .invalidArgument, "stages is a list of numbers; '\(name)' expects a list of objects with 'kind' and so on")
    }
    return result
  }

  func features(_ x: Value, _ builder: inout GraphBuilder, dropPath: Double) throws(CNNError) -> Features {
    let counts = try scaling.blockCounts(stages.map(\.repeats), fixesEnds: fixesEnds)
    let stemWidth = fixesEnds ? stem : try scaling.channels(Double(stem))
    var x = try convolution(x, naming.stem, channels: stemWidth, kernel: 3, stride: 2, activation: activation, &builder)
    var width = stemWidth
    let blockCount = counts.reduce(0, +)
    var index = 0
    var maps: [Value] = []
    for (stage, row) in stages.enumerated() {
      if row.stride > 1 { maps.append(x) }
      width = try scaling.channels(Double(row.channels))
      for position in 0..<counts[stage] {
        // Huang et al. 2016, section 4: the rate grows linearly with depth, here from 0 to just below `dropPath`.
        let dropRate = dropPath * Double(index) / Double(blockCount)
        x = try block(
          x, row, naming.block(stage: stage, position: position, index: index), channels: width,
          stride: position == 0 ? row.stride : 1, dropRate: dropRate, dropStream: index, &builder)
        index += 1
      }
    }
    let headWidth =
      switch head {
      case .multiple(let factor): try Checked.product([factor, width], "head")
      case .scaled(let channels): try scaling.channels(Double(channels))
      case .fixed(let channels): channels
      }
    let last = try convolution(
      x, naming.head(stages: stages.count), channels: headWidth, kernel: 1, activation: activation, &builder)
    return Features(maps: maps + [x], last: last)
  }

  /// A block of either kind; where input and result are of one shape, the input is added.
  private func block(
    _ x: Value, _ row: EfficientNetStage, _ names: EfficientNetNaming.Block, channels: Int, stride: Int,
    dropRate: Double, dropStream: Int, _ builder: inout GraphBuilder
  ) throws(CNNError) -> Value {
    var names = names
    let inputChannels = builder.graph.type(of: x).shape[3]
    let middle = try scaling.rounded(Double(inputChannels) * row.expandRatio)
    let squeezed = max(1, Int(Double(inputChannels) * row.squeezeRatio))
    func squeeze(_ x: Value, _ builder: inout GraphBuilder) throws(CNNError) -> Value {
      row.squeezeRatio > 0 ? try squeezeAndExcitation(x, names.squeeze(), channels: squeezed, &builder) : x
    }
    var branch = x
    switch (row.kind, expands: middle != inputChannels) {
    case (.mbconv, let expands):
      if expands {
        branch = try convolution(
          branch, names.convolution(.expansion), channels: middle, kernel: 1, activation: activation, &builder)
      }
      branch = try convolution(
        branch, names.convolution(.depthwise), channels: middle, kernel: row.kernel, stride: stride, groups: middle,
        activation: activation, &builder)
      branch = try squeeze(branch, &builder)
      branch = try convolution(
        branch, names.convolution(expands ? .projection : .plainProjection), channels: channels, kernel: 1, &builder)
    case (.fusedMBConv, expands: true):
      branch = try convolution(
        branch, names.convolution(.fusedExpansion), channels: middle, kernel: row.kernel, stride: stride,
        activation: activation, &builder)
      branch = try squeeze(branch, &builder)
      branch = try convolution(branch, names.convolution(.projection), channels: channels, kernel: 1, &builder)
    case (.fusedMBConv, expands: false):
      branch = try squeeze(branch, &builder)
      branch = try convolution(
        branch, names.convolution(.whole), channels: channels, kernel: row.kernel, stride: stride,
        activation: activation, &builder)
    }
    guard stride == 1, inputChannels == channels else { return branch }
    if dropRate > 0 {
      branch = try builder.apply(
        StochasticDepth(rate: dropRate, stream: dropStream), branch, name: "\(names.name).drop_path")
    }
    return try builder.apply(Add(), branch, x, name: names.name)
  }

  /// Squeeze-and-excitation (Hu et al. 2018): channels weighted by a function of their means.
  private func squeezeAndExcitation(
    _ x: Value, _ names: EfficientNetNaming.Squeeze, channels: Int, _ builder: inout GraphBuilder
  ) throws(CNNError) -> Value {
    let inputChannels = builder.graph.type(of: x).shape[3]
    var gate = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), x, name: names.mean)
    gate = try builder.convolution(gate, names.reduction, outputChannels: channels, kernel: (1, 1), bias: true)
    gate = try builder.activation(activation, gate, names.activation)
    gate = try builder.convolution(gate, names.expansion, outputChannels: inputChannels, kernel: (1, 1), bias: true)
    gate = try builder.activation(.sigmoid, gate, names.gate)
    return try builder.apply(Multiply(), x, gate, name: names.product)
  }

  /// A convolution without bias, its batch normalisation, and an activation where one is given.
  private func convolution(
    _ x: Value, _ names: EfficientNetNaming.Layer, channels: Int, kernel: Int, stride: Int = 1, groups: Int = 1,
    activation: ActivationFunction? = nil, _ builder: inout GraphBuilder
  ) throws(CNNError) -> Value {
    let isTensorFlows = naming == .timm
    var y = try builder.convolution(
      x, names.convolution, outputChannels: channels, kernel: (kernel, kernel), stride: (stride, stride),
      padding: isTensorFlows ? .same : .all(kernel / 2), groups: groups,
      initializer: isTensorFlows && groups > 1 ? .heNormalDepthwise : .heNormalFanOut)
    y = try builder.batchNormalization(y, names.normalization, epsilon: epsilon, momentum: momentum)
    guard let activation else { return y }
    return try builder.activation(activation, y, names.activation)
  }
}
