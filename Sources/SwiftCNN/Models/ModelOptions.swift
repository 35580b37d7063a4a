import CNNCore

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
  /// Height, width and channels; nil for the builder's published resolution.
  public var inputShape: [Int]?
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
  /// The path of a safetensors file with the weights; nil for random ones.
  public var weights: String?
  /// The seed of random weights.
  public var seed: UInt64 = 0
  /// Mean and deviation of pixels, one per channel; nil for ImageNet's where there are three channels, else 0 and 1.
  public var mean, deviation: [Double]?

  /// The defaults.
  public init() {}

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json) { (options) throws(CNNError) in
      inputShape = try options.take("input_shape", JSONObject.optionalIntegers)
      classes = try options.take("classes", JSONObject.optionalInteger) ?? classes
      includesTop = try options.take("include_top", JSONObject.optionalBool) ?? includesTop
      pooling = try options.choice("pooling", of: FeaturePooling.self)
      if options.contains("classifier_activation") {
        classifierActivation = try options.choice("classifier_activation", of: ClassifierActivation.self)
      }
      dropout = try options.take("dropout", JSONObject.optionalNumber)
      dropPath = try options.take("drop_path", JSONObject.optionalNumber)
      weights = try options.take("weights", JSONObject.optionalString)
      seed = try options.seed("seed")
      mean = try options.take("mean", JSONObject.optionalNumbers)
      deviation = try options.take("std", JSONObject.optionalNumbers)
    }
  }

  /// Checks what does not depend on the network.
  func validate() throws(CNNError) {
    guard classes >= 1 else { throw CNNError(.invalidArgument, "classes is \(classes); expected 1 or more") }
    for (name, rate) in [("dropout", dropout), ("drop_path", dropPath)] {
      if let rate, !(0...1).contains(rate) {
        throw CNNError(.invalidArgument, "\(name) is \(rate); expected 0 to 1")
      }
    }
    if let inputShape {
      guard inputShape.count == 3, inputShape.allSatisfy({ $0 >= 1 }) else {
        throw CNNError(
          .invalidArgument, "input_shape is \(inputShape); expected [height, width, channels], each 1 or more")
      }
    }
  }
}
