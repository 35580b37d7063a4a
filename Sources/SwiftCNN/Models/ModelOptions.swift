import CNNCore
import CNNGraph

/// How the features of a network without its top are reduced.
public enum FeaturePooling: String, Sendable, CaseIterable {
  /// The mean over height and width.
  case average = "avg"
  /// The maximum over height and width.
  case maximum = "max"
}

/// How scores become probabilities.
public enum ClassifierActivation: String, Sendable, CaseIterable {
  /// One class of many.
  case softmax
  /// Each class yes or no.
  case sigmoid
}

/// What a caller may choose about a model of a given name.
public struct ModelOptions: Sendable {
  /// Height, width and channels; nil for the builder's published resolution. A nil height or width is any size, another at
  /// every run.
  public var inputShape: [Int?]?
  /// The number of classes.
  public var classes = 1000
  /// Whether the network ends with its classifier; else with the last feature map.
  public var includesTop = true
  /// How the feature map is reduced where there is no top; nil leaves it as it is.
  public var pooling: FeaturePooling?
  /// Whether the network ends with a feature map for each resolution, finest first, whatever its top: such a model has
  /// several outputs, see `Model.featureMaps`, and only predicts.
  public var featuresOnly = false
  /// Which of these maps, by their places from 0, or from -1 backwards; nil for all.
  public var featureIndices: [Int]?
  /// What the classifier ends with; nil for logits.
  public var classifierActivation: ClassifierActivation? = .softmax
  /// The rate of dropout before the classifier; nil for the builder's own.
  public var dropout: Double?
  /// The largest rate of stochastic depth; nil for the builder's own.
  public var dropPath: Double?
  /// How much wider, deeper and finer than the builder's own; a resolution has no effect where there is an
  /// `inputShape`. `CompoundScaling` gives one for a compound coefficient.
  public var scaling = ModelScaling()
  /// The stages in place of the builder's own, which its own coefficients apply to as well.
  public var stages: StageTable?
  /// The path of a safetensors file with the weights; nil for random ones.
  public var weights: String?
  /// The seed of random weights.
  public var seed: UInt64 = 0
  /// Mean and deviation of pixels, one per channel; nil for the builder's own where there are three channels, else 0
  /// and 1.
  public var mean, deviation: [Double]?
  /// What is done to pictures, where it is not the builder's own: an object as `include/swiftcnn.h` describes it.
  package var preprocessing: JSONObject?
  /// The names of the classes; nil for ImageNet's where there are 1000 classes.
  public var classNames: [String]?
  /// What predictions and training compute in, as `Model.setPrecision(_:)` sets it.
  public var precision = PrecisionPolicy.float32

  /// Options; those that are not given have their defaults.
  public init(
    inputShape: [Int?]? = nil, classes: Int = 1000, includesTop: Bool = true, pooling: FeaturePooling? = nil,
    classifierActivation: ClassifierActivation? = .softmax, dropout: Double? = nil, dropPath: Double? = nil,
    scaling: ModelScaling = ModelScaling(), stages: StageTable? = nil, weights: String? = nil, seed: UInt64 = 0,
    mean: [Double]? = nil, deviation: [Double]? = nil, classNames: [String]? = nil,
    precision: PrecisionPolicy = .float32
  ) {
    (self.inputShape, self.classes, self.includesTop) = (inputShape, classes, includesTop)
    (self.pooling, self.classifierActivation) = (pooling, classifierActivation)
    (self.dropout, self.dropPath, self.scaling, self.stages) = (dropout, dropPath, scaling, stages)
    (self.weights, self.seed) = (weights, seed)
    (self.mean, self.deviation, self.classNames) = (mean, deviation, classNames)
    self.precision = precision
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json, foreign: ForeignOptions.advice) { (options) throws(CNNError) in try visit(&options) }
  }

  /// The feature maps that are asked for.
  func chosen(of maps: [Value]) throws(CNNError) -> [Value] {
    guard let featureIndices else { return maps }
    let places = featureIndices.map { $0 < 0 ? $0 + maps.count : $0 }
    guard !places.isEmpty, places.allSatisfy(maps.indices.contains), Set(places).count == places.count else {
      throw CNNError(
        .invalidArgument,
        "\(option: "out_indices", swift: "featureIndices") is \(featureIndices); expected different ones of "
          + "0 to \(maps.count - 1), or from -1 backwards")
    }
    return places.map { maps[$0] }
  }
}

extension ModelOptions: Configurable {
  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.sizes(
      "input_shape", &inputShape, "Height, width and channels; null: as published. A size of null is any.")
    try options.integer("classes", &classes, in: .atLeast(1), "The number of classes.")
    try options.flag("include_top", &includesTop, "Whether the network ends with its classifier.")
    try options.choice("pooling", &pooling, "How features are reduced where there is no classifier; null: not at all.")
    try options.flag("features_only", &featuresOnly, "Whether it ends with a feature map for each resolution.")
    try options.integers(
      "out_indices", &featureIndices, "Which of these maps, from 0, or from -1 backwards; null: all.")
    try options.choice(
      "classifier_activation", &classifierActivation, nullable: true, "What the classifier ends with; null: logits.")
    try options.number(
      "dropout", &dropout, in: .within(0...1), "The rate of dropout before the classifier; null: as published.")
    try options.number(
      "drop_path", &dropPath, in: .within(0...1), "The largest rate of stochastic depth; null: as published.")
    try visitScaling(&options)
    if let list = try options.list("stages", "The stages in place of the network's own: numbers of blocks, or objects.")
    {
      stages = try StageTable(json: list)
    }
    try options.text("weights", &weights, "The path of a file with weights; null: random ones.")
    try options.seed(&seed, "Of random weights.")
    try options.choice("dtype", &precision, "What predictions and training compute in.")
    try PictureOptions.visit(&mean, &deviation, &preprocessing, &classNames, &options)
    guard featuresOnly || featureIndices == nil else {
      throw CNNError(
        .invalidArgument,
        "\(option: "out_indices", swift: "featureIndices") goes with \(option: "features_only"), which is false")
    }
    guard !featuresOnly || pooling == nil else {
      throw CNNError(
        .invalidArgument, "pooling goes without \(option: "features_only"), whose maps are given as they are")
    }
    if let inputShape {
      guard inputShape.count == 3, inputShape.allSatisfy({ $0 ?? 1 >= 1 }), inputShape[2] != nil else {
        throw CNNError(
          .invalidArgument,
          "\(option: "input_shape") is \(describe(inputShape)); expected [height, width, channels], each 1 or more")
      }
    }
  }

  /// Visits the compound coefficient and the single ones, only one of which can be given.
  private mutating func visitScaling(_ options: inout OptionReader) throws(CNNError) {
    let isReading = options.purpose == .reading
    let singles = ["width_coefficient", "depth_coefficient", "resolution_coefficient"].filter(options.isGiven)
    try scaling.visit(&options)
    var phi: Double?
    try options.number(
      "compound_coefficient", &phi, in: .atLeast(0), "How much larger in all three; in place of the three coefficients."
    )
    guard isReading, let phi else { return }
    if let key = singles.first {
      throw CNNError(.invalidArgument, "compound_coefficient and \(key) are both given; expected one of them")
    }
    scaling = try CompoundScaling(phi: phi).scaling(divisor: scaling.divisor)
  }
}

/// What models of any kind are told of their pictures.
enum PictureOptions {
  static func visit(
    _ mean: inout [Double]?, _ deviation: inout [Double]?, _ preprocessing: inout JSONObject?,
    _ classNames: inout [String]?, _ options: inout OptionReader
  ) throws(CNNError) {
    try options.numbers("mean", &mean, "The mean of pixels, for each channel; null: the usual one.")
    try options.numbers("std", &deviation, "The deviation of pixels, for each channel; null: the usual one.")
    try options.object("preprocessing", &preprocessing, "What is done to pictures; null: the usual.")
    try options.texts("class_names", &classNames, "The names of the classes; null: the usual ones.")
  }
}
