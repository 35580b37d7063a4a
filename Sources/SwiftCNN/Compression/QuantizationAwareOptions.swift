import CNNCore

/// How the ranges of activations change while a model is trained for integers.
public enum TrainedRanges: String, Sendable, CaseIterable {
  /// They follow the smallest and the largest number of each batch (Jacob et al. 2018, section 3.1).
  case tracked
  /// Their scales are learned like weights (Esser et al. 2020); where 0 lies among the levels stays.
  case learned
}

/// What a caller may choose about training for integers.
public struct QuantizationAwareOptions: Sendable, Configurable {
  /// How ranges are found before training; of these options those for ranges and weights count.
  var quantization = QuantizationOptions()
  /// How they change in training.
  public var ranges = TrainedRanges.tracked
  /// The share of a batch in a range that is tracked.
  public var momentum = 0.01
  /// The share of the epochs of `fit` after which ranges and the statistics of batch normalisations stand
  /// (Krishnamoorthi 2018, section 3.2.2); 1: never.
  public var freeze = 0.75

  /// How the ranges before training are found of calibration images.
  public var method: CalibrationMethod {
    get { quantization.method }
    set { quantization.method = newValue }
  }
  /// The share of the numbers that lie within the range, where percentiles are its ends.
  public var percentile: Double {
    get { quantization.percentile }
    set { quantization.percentile = newValue }
  }
  /// Whether each output channel of a weight has a scale of its own.
  public var perChannel: Bool {
    get { quantization.perChannel }
    set { quantization.perChannel = newValue }
  }
  /// Layers that stay in floats, by name; `*` stands for anything.
  public var skip: [String] {
    get { quantization.skip }
    set { quantization.skip = newValue }
  }
  /// How many calibration images are looked at, at most.
  public var samples: Int {
    get { quantization.samples }
    set { quantization.samples = newValue }
  }

  /// Options; those that are not given have their defaults.
  public init(
    method: CalibrationMethod = .mse, percentile: Double = 99.99, perChannel: Bool = true, skip: [String] = [],
    samples: Int = 300, ranges: TrainedRanges = .tracked, momentum: Double = 0.01, freeze: Double = 0.75
  ) {
    quantization = QuantizationOptions(
      method: method, percentile: percentile, perChannel: perChannel, skip: skip, samples: samples)
    (self.ranges, self.momentum, self.freeze) = (ranges, momentum, freeze)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_quantization_aware`.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try quantization.visitRanges(&options)
    try options.choice("ranges", &ranges, "How the ranges of activations change in training.")
    try options.number(
      "momentum", &momentum, in: .above(0, upTo: 1), "The share of a batch in a range that is tracked.")
    try options.number(
      "freeze", &freeze, in: .within(0...1),
      "The share of training after which ranges and statistics stand; 1: never.")
  }
}
