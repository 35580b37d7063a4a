import CNNCore
import CNNGraph
import CNNPictures

/// A variant of a family of classifiers: a row in the family's table.
protocol ModelFamily: Sendable {
  /// The name it is asked for by.
  var name: String { get }
  /// The height and width of the images it was published for.
  var resolution: Int { get set }
  /// The rates of dropout before the classifier and of stochastic depth that it was published with.
  var dropout: Double { get }
  var dropPath: Double { get }
  /// The dense layer at the end.
  var classifier: Classifier { get }
  /// What pixels with three channels are normalised with.
  var pixels: PixelConstants { get set }
  /// How pictures were prepared for it.
  var pictures: PictureConstants { get set }
  /// Batch normalisation's.
  var epsilon: Double { get set }
  /// The variant made wider, deeper and finer, with a table of stages in place of its own where one is given.
  /// - Throws: `.invalidArgument` naming the option that has no meaning for the family, or is out of range.
  func scaled(by scaling: ModelScaling, stages: StageTable?) throws(CNNError) -> Self
  /// Builds everything up to the last feature map `[N, H, W, C]`, with that largest rate of stochastic depth.
  func features(_ x: Value, _ builder: inout GraphBuilder, dropPath: Double) throws(CNNError) -> Features
}

/// What a network has before its classifier.
struct Features {
  /// The last result at each resolution, finest first, as timm's `features_only` gives them.
  let maps: [Value]
  /// What the classifier reads, which may be further on than the last map.
  let last: Value
}

/// The dense layer at the end of a classifier.
struct Classifier {
  let name: String
  let initializer: Initializer
}

/// Mean and standard deviation of the pixels of three channels, in units of the full range 0...1.
struct PixelConstants {
  let mean, deviation: [Double]

  /// Those of ImageNet (Deng et al. 2009).
  static let imageNet = PixelConstants(mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])
  /// 0 to 255.
  static let unchanged = PixelConstants(mean: [0, 0, 0], deviation: [1 / 255, 1 / 255, 1 / 255])
  /// From -1 to 1, as TensorFlow's later models.
  static let signed = PixelConstants(mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5])
}

/// How pictures are prepared: resized to this length of the shorter side, before as much of the middle is cut out as the
/// variant's resolution is.
struct PictureConstants: Equatable {
  let shorterSide: Int
  var interpolation = ResamplingFilter.bilinear
  /// Whether they are given the resolution at once instead, whatever becomes of their proportions.
  var isSquashed = false
}

/// All models by name.
public enum ModelRegistry {
  static let variants: [any ModelFamily] = ResNet.variants + EfficientNet.variants

  /// The names that can be built, sorted.
  public static let names: [String] = variants.map(\.name).sorted()

  /// The names that match a pattern, see `Glob`.
  public static func names(matching pattern: String) -> [String] { names.filter { Glob.matches($0, pattern) } }

  /// The variant of that name. Case, `-` and `_` do not count: `EfficientNet-B0` is `efficientnet_b0`. With a tag of
  /// timm's, as `resnet50.a1_in1k`, it is prepared as that says.
  /// - Throws: `.unknownName` with the nearest name.
  static func variant(_ name: String) throws(CNNError) -> any ModelFamily {
    let name = TimmName(name), spelling = spelling(name.architecture)
    guard let variant = variants.first(where: { Self.spelling($0.name) == spelling }) else {
      throw unknownName("model", name.architecture, among: names)
    }
    return try name.configured(variant)
  }

  /// The variant of exactly that name, or nil.
  static func publishedVariant(_ name: String) -> (any ModelFamily)? { variants.first { $0.name == name } }

  /// What two spellings of one name have in common.
  static func spelling(_ name: String) -> String {
    name.lowercased().filter { $0 != "-" && $0 != "_" }
  }

  /// Builds the network of that name.
  /// - Throws: `.unknownName` with the nearest name, or what does not fit in the options.
  static func graph(_ name: String, _ options: ModelOptions) throws(CNNError) -> Graph {
    try graph(variant(name), options)
  }

  /// Builds a variant's network.
  static func graph(_ variant: any ModelFamily, _ options: ModelOptions) throws(CNNError) -> Graph {
    try options.validate()
    let variant: any ModelFamily = try variant.scaled(by: options.scaling, stages: options.stages)
    var builder = GraphBuilder()
    let input = try builder.input(
      shape: options.inputShape ?? [variant.resolution, variant.resolution, 3], example: variant.resolution)
    let features = try variant.features(input, &builder, dropPath: options.dropPath ?? variant.dropPath)
    if options.featuresOnly {
      let maps = try options.chosen(of: features.maps)
      try builder.graph.setOutputs(maps.map { (builder.graph.name(of: $0), $0) })
      return builder.graph
    }
    var x = features.last
    guard options.includesTop else {
      if let pooling = options.pooling {
        x = try builder.apply(GlobalPooling2D(pooling == .average ? .average : .max), x, name: "avgpool")
      }
      try builder.graph.addOutput("features", x)
      return builder.graph
    }
    x = try builder.apply(GlobalPooling2D(.average), x, name: "avgpool")
    let dropout = options.dropout ?? variant.dropout
    if dropout > 0 {
      // Streams below this number belong to the blocks' stochastic depth.
      x = try builder.apply(Dropout(rate: dropout, stream: 1 << 16), x, name: "dropout")
    }
    x = try builder.dense(
      x, variant.classifier.name, units: options.classes, initializer: variant.classifier.initializer)
    if let activation = options.classifierActivation {
      let operation: any Operation = activation == .softmax ? Softmax() : Activation(.sigmoid)
      x = try builder.apply(operation, x, name: "probabilities")
    }
    try builder.graph.addOutput(options.classifierActivation == nil ? "logits" : "probabilities", x)
    return builder.graph
  }
}
