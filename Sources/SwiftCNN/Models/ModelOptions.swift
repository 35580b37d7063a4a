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
  /// What is done to pictures, where it is not the builder's own: an object as `Model.setPreprocessing` takes it.
  public var preprocessing: JSONObject?
  /// The names of the classes; nil for ImageNet's where there are 1000 classes.
  public var classNames: [String]?

  /// Options; those that are not given have their defaults.
  public init(
    inputShape: [Int?]? = nil, classes: Int = 1000, includesTop: Bool = true, pooling: FeaturePooling? = nil,
    classifierActivation: ClassifierActivation? = .softmax, dropout: Double? = nil, dropPath: Double? = nil,
    scaling: ModelScaling = ModelScaling(), stages: StageTable? = nil, weights: String? = nil, seed: UInt64 = 0,
    mean: [Double]? = nil, deviation: [Double]? = nil, classNames: [String]? = nil
  ) {
    (self.inputShape, self.classes, self.includesTop) = (inputShape, classes, includesTop)
    (self.pooling, self.classifierActivation) = (pooling, classifierActivation)
    (self.dropout, self.dropPath, self.scaling, self.stages) = (dropout, dropPath, scaling, stages)
    (self.weights, self.seed) = (weights, seed)
    (self.mean, self.deviation, self.classNames) = (mean, deviation, classNames)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json) { (options) throws(CNNError) in
      inputShape = try options.take("input_shape", JSONObject.optionalSizes)
      classes = try options.take("classes", JSONObject.optionalInteger) ?? classes
      includesTop = try options.take("include_top", JSONObject.optionalBool) ?? includesTop
      pooling = try options.choice("pooling", of: FeaturePooling.self)
      if options.contains("classifier_activation") {
        classifierActivation = try options.choice("classifier_activation", of: ClassifierActivation.self)
      }
      dropout = try options.take("dropout", JSONObject.optionalNumber)
      dropPath = try options.take("drop_path", JSONObject.optionalNumber)
      try readScaling(&options)
      stages = try options.take("stages", JSONObject.optionalArray).map(StageTable.init)
      weights = try options.take("weights", JSONObject.optionalString)
      seed = try options.seed("seed")
      mean = try options.take("mean", JSONObject.optionalNumbers)
      deviation = try options.take("std", JSONObject.optionalNumbers)
      preprocessing = try options.take("preprocessing", JSONObject.optionalObject)
      classNames = try options.take("class_names", JSONObject.optionalStrings)
    }
  }

  /// Reads either the compound coefficient or the single ones.
  private mutating func readScaling(_ options: inout OptionReader) throws(CNNError) {
    let keys = ["width_coefficient", "depth_coefficient", "resolution_coefficient"]
    scaling = ModelScaling(
      width: try options.number(keys[0], 1), depth: try options.number(keys[1], 1),
      resolution: try options.number(keys[2], 1), divisor: try options.integer("divisor", 8))
    guard let phi = try options.optionalNumber("compound_coefficient") else { return }
    for key in keys where try options.optionalNumber(key) != nil {
      throw CNNError(.invalidArgument, "compound_coefficient and \(key) are both given; expected one of them")
    }
    scaling = try CompoundScaling(phi: phi).scaling(divisor: scaling.divisor)
  }

  /// Checks what does not depend on the network.
  func validate() throws(CNNError) {
    guard classes >= 1 else { throw CNNError(.invalidArgument, "classes is \(classes); expected 1 or more") }
    for (name, rate) in [("dropout", dropout), ("drop_path", dropPath)] {
      if let rate, !(0...1).contains(rate) {
        throw CNNError(.invalidArgument, "\(name) is \(rate); expected 0 to 1")
      }
    }
    try scaling.validate()
    if let inputShape {
      guard inputShape.count == 3, inputShape.allSatisfy({ $0 ?? 1 >= 1 }), inputShape[2] != nil else {
        throw CNNError(
          .invalidArgument,
          "input_shape is \(describe(inputShape)); expected [height, width, channels], each 1 or more")
      }
    }
  }
}
