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
  package init(json: JSONObject, usual: FitOptions = FitOptions()) throws(CNNError) {
    self = usual
    try read(json)
  }
}

extension FitOptions: Configurable {
  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.integer("batch_size", &batchSize, in: .atLeast(1), "The samples of a step.")
    try options.integer("epochs", &epochs, "Training ends before the epoch of this number, counted from 0.")
    try options.integer("initial_epoch", &initialEpoch, in: .atLeast(0), "The number of the first epoch.")
    try options.flag("shuffle", &shuffles, "Whether samples come in another order in each epoch.")
    try options.flag("horizontal_flip", &flipsHorizontally, "Whether half the samples are mirrored left to right.")
    try options.integer(
      "crop_padding", &cropPadding, in: .within(0...4096),
      "Rows and columns of zeros put around a sample before it is cropped back at random.")
    try options.flag("resume", &resumes, "Whether to go on from a checkpoint's epoch and batch.")
    try options.integer(
      "steps", swift: "batchesPerEpoch", &batchesPerEpoch, in: .atLeast(1),
      "The batches of an epoch, where the data comes batch by batch.")
    var weights: JSONObject? =
      classWeights.isEmpty
      ? nil : JSONObject(classWeights.sorted { $0.key < $1.key }.map { ("\($0.key)", .number($0.value)) })
    try options.object(
      "class_weight", &weights, "What the weights of samples are multiplied by, by the number of their class.")
    for (key, value) in weights?.members ?? [] {
      guard let label = Int(key), let weight = value.numberValue else {
        throw CNNError(.invalidArgument, "class_weight: '\(key)' is not the number of a class with a weight")
      }
      guard label >= 0, weight >= 0, weight.isFinite else {
        throw CNNError(
          .invalidArgument,
          "\(option: "class_weight", swift: "classWeights") of \(label) is \(weight); expected 0 or more, for a class")
      }
      classWeights[label] = weight
    }
    guard epochs > initialEpoch else {
      throw CNNError(
        .invalidArgument,
        "epochs is \(epochs) and \(option: "initial_epoch") \(initialEpoch); expected 0 or more, and epochs above")
    }
  }
}
