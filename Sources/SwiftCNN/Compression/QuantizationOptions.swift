import CNNCore

/// How the range of an activation is found from what it was over the calibration images.
public enum CalibrationMethod: String, Sendable, CaseIterable {
  /// The smallest and the largest number.
  case minmax
  /// What lies between two percentiles.
  case percentile
  /// The range whose levels have the distribution nearest to that of the numbers (Migacz 2017): the least Kullback-Leibler
  /// divergence.
  case entropy
  /// The range with the least squared error of rounding and cutting together.
  case mse
}

/// What a caller may choose about quantisation.
public struct QuantizationOptions: Sendable, Configurable {
  /// How ranges are found.
  public var method = CalibrationMethod.mse
  /// The share of the numbers that lie within the range, where percentiles are its ends.
  public var percentile = 99.99
  /// Whether each output channel of a weight has a scale of its own.
  public var perChannel = true
  /// Layers that stay in floats, by name; `*` stands for anything.
  public var skip: [String] = []
  /// How many images are looked at, at most.
  public var samples = 300
  /// Whether biases take back what the rounding of weights changes of each channel's mean (Nagel et al. 2019, section 4.2).
  public var correctsBias = true
  /// Whether weights of neighbouring layers get ranges of one size in each channel (Nagel et al. 2019, section 4.1), where
  /// ReLU, leaky ReLU, poolings or nothing is between them.
  public var equalizes = false
  /// How many of these images the noise is measured on that `Model.quantizationReport()` tells, at most; 0: none.
  public var reportSamples = 8
  /// Whether floats between integers are refused that nobody asked for by `skip`.
  public var strict = false
  /// How many points of a hundred the share of validation samples that are classified right may fall by; nil for any number.
  public var maximumDrop: Double?

  /// Options; those that are not given have their defaults.
  public init(
    method: CalibrationMethod = .mse, percentile: Double = 99.99, perChannel: Bool = true, skip: [String] = [],
    samples: Int = 300, correctsBias: Bool = true, equalizes: Bool = false, reportSamples: Int = 8,
    strict: Bool = false, maximumDrop: Double? = nil
  ) {
    (self.method, self.percentile, self.perChannel) = (method, percentile, perChannel)
    (self.skip, self.samples) = (skip, samples)
    (self.correctsBias, self.equalizes) = (correctsBias, equalizes)
    (self.reportSamples, self.strict, self.maximumDrop) = (reportSamples, strict, maximumDrop)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_quantize`.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try visitRanges(&options)
    try options.flag(
      "bias_correction", &correctsBias, "Whether biases take back what rounded weights change of means.")
    try options.flag(
      "equalize", &equalizes, "Whether weights of neighbouring layers get ranges of one size in each channel.")
    try options.integer(
      "report_samples", &reportSamples, in: .atLeast(0), "How many images the report's noise is measured on, at most.")
    try options.flag("strict", &strict, "Whether floats between integers are refused that skip does not ask for.")
    try options.number(
      "max_drop", swift: "maximumDrop", &maximumDrop, in: .within(0...100),
      "How many points of a hundred top-1 may fall by; layers return to floats until it holds.")
  }

  /// Those that a model has as well which is trained for integers.
  mutating func visitRanges(_ options: inout OptionReader) throws(CNNError) {
    try options.choice("method", &method, "How the ranges of activations are found.")
    try options.number(
      "percentile", &percentile, in: .within(50...100), "The share of the numbers within a range, in percent.")
    try options.flag("per_channel", &perChannel, "Whether each output channel of a weight has a scale of its own.")
    var names: [String]? = skip
    try options.texts("skip", &names, "Layers that stay in floats; * stands for anything.")
    skip = names ?? []
    try options.integer("samples", &samples, in: .atLeast(1), "How many images are looked at, at most.")
  }
}
