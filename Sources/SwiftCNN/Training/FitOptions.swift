import CNNCore

/// How a model is trained on a data set.
public struct FitOptions: Sendable, Equatable {
  /// The number of samples of a step.
  public var batchSize = 32
  /// Training ends before the epoch of this number, counted from 0.
  public var epochs = 1
  /// The number of the first epoch.
  public var initialEpoch = 0
  /// Whether samples come in another order in each epoch.
  public var shuffles = true
  /// Whether half the samples are mirrored left to right, at random.
  public var flipsHorizontally = false
  /// Rows and columns of zeros put around a sample before it is cropped back at random; 0 for none.
  public var cropPadding = 0
  /// What the weights of samples of a class are multiplied by.
  public var classWeights: [Int: Double] = [:]
  /// Whether to go on from a checkpoint's epoch and batch.
  public var resumes = false
  /// How many batches an epoch has whose data comes batch by batch; nil where that is not known.
  public var batchesPerEpoch: Int?

  /// Options; those that are not given have their defaults.
  public init(
    epochs: Int = 1, batchSize: Int = 32, initialEpoch: Int = 0, shuffles: Bool = true,
    flipsHorizontally: Bool = false, cropPadding: Int = 0, classWeights: [Int: Double] = [:], resumes: Bool = false,
    batchesPerEpoch: Int? = nil
  ) {
    (self.epochs, self.batchSize, self.initialEpoch) = (epochs, batchSize, initialEpoch)
    (self.shuffles, self.flipsHorizontally, self.cropPadding) = (shuffles, flipsHorizontally, cropPadding)
    (self.classWeights, self.resumes, self.batchesPerEpoch) = (classWeights, resumes, batchesPerEpoch)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_fit_begin`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    self.init()
    try OptionReader.read(json) { (options) throws(CNNError) in
      batchSize = try options.integer("batch_size", batchSize)
      epochs = try options.integer("epochs", epochs)
      initialEpoch = try options.integer("initial_epoch", 0)
      shuffles = try options.flag("shuffle", true)
      flipsHorizontally = try options.flag("horizontal_flip", false)
      cropPadding = try options.integer("crop_padding", 0)
      resumes = try options.flag("resume", false)
      batchesPerEpoch = try options.take("steps", JSONObject.optionalInteger)
      for (key, value) in try options.take("class_weight", JSONObject.optionalObject)?.members ?? [] {
        guard let label = Int(key), let weight = value.numberValue else {
          throw CNNError(.invalidArgument, "class_weight: '\(key)' is not the number of a class with a weight")
        }
        classWeights[label] = weight
      }
    }
    try validate()
  }

  func validate() throws(CNNError) {
    guard batchSize >= 1 else { throw CNNError(.invalidArgument, "batch_size is \(batchSize); expected 1 or more") }
    guard initialEpoch >= 0, epochs > initialEpoch else {
      throw CNNError(
        .invalidArgument, "epochs is \(epochs) and initial_epoch \(initialEpoch); expected 0 or more, and epochs above")
    }
    guard batchesPerEpoch ?? 1 >= 1 else {
      throw CNNError(.invalidArgument, "steps is \(batchesPerEpoch ?? 1); expected 1 or more")
    }
    for (label, weight) in classWeights where label < 0 || !(weight >= 0 && weight.isFinite) {
      throw CNNError(.invalidArgument, "class_weight of \(label) is \(weight); expected 0 or more, for a class")
    }
    guard (0...4096).contains(cropPadding) else {
      throw CNNError(.invalidArgument, "crop_padding is \(cropPadding); expected 0 to 4096")
    }
  }
}
