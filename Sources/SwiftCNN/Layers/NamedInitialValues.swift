import CNNCore

/// Initial values by the name of one of Keras's initializers.
struct NamedInitialValues: Named {
  static let sort = "initializer"
  static let names = table.map(\.name)

  private static let table: [(name: String, values: InitialValues, hasOptions: Bool, documentation: String)] = [
    ("zeros", .constant(0), false, "Zeros."),
    ("ones", .constant(1), false, "Ones."),
    ("constant", .constant(0), true, "The same value everywhere."),
    ("identity", .identity(gain: 1), true, "The identity matrix times gain."),
    (
      "random_normal", .normal(mean: 0, deviation: 0.05, isTruncated: false), true,
      "Normal with this mean and standard deviation."
    ),
    (
      "truncated_normal", .normal(mean: 0, deviation: 0.05, isTruncated: true), true,
      "Normal, with values beyond two standard deviations drawn again."
    ),
    ("random_uniform", .uniform(from: -0.05, to: 0.05), true, "Uniform from minval to maxval."),
    (
      "orthogonal", .orthogonal(gain: 1), true,
      "A matrix with orthonormal rows or columns (Saxe et al. 2014), all axes but the last taken together."
    ),
    (
      "variance_scaling", .varianceScaling(scale: 1), true,
      "A variance of scale divided by the number of inputs, outputs or their mean."
    ),
    (
      "glorot_uniform", .varianceScaling(scale: 1, mode: .fanAverage, distribution: .uniform), false,
      "Uniform with a variance of 2 / (inputs + outputs) (Glorot and Bengio 2010, eq. 16)."
    ),
    (
      "glorot_normal", .varianceScaling(scale: 1, mode: .fanAverage), false,
      "Truncated normal with a variance of 2 / (inputs + outputs)."
    ),
    (
      "he_uniform", .varianceScaling(scale: 2, distribution: .uniform), false,
      "Uniform with a variance of 2 / inputs (He et al. 2015, eq. 10)."
    ),
    ("he_normal", .varianceScaling(scale: 2), false, "Truncated normal with a variance of 2 / inputs."),
    (
      "lecun_uniform", .varianceScaling(scale: 1, distribution: .uniform), false,
      "Uniform with a variance of 1 / inputs (LeCun et al. 1998)."
    ),
    ("lecun_normal", .varianceScaling(scale: 1), false, "Truncated normal with a variance of 1 / inputs."),
  ]

  let optionName: String
  private(set) var values: InitialValues
  private let hasOptions: Bool
  let documentation: String

  init?(usual name: String) {
    guard let row = Self.table.first(where: { $0.name == name }) else { return nil }
    (optionName, values, hasOptions, documentation) = row
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    guard hasOptions else { return }
    switch values {
    case .constant(var value):
      try options.number("value", &value, "The value.")
      values = .constant(value)
    case .uniform(var low, var high):
      try options.number("minval", swift: "from", &low, "The lower end.")
      try options.number("maxval", swift: "to", &high, "The upper end.")
      values = .uniform(from: low, to: high)
    case .normal(var mean, var deviation, let isTruncated):
      try options.number("mean", &mean, "The mean.")
      try options.number("stddev", swift: "deviation", &deviation, "The standard deviation, before any is drawn again.")
      values = .normal(mean: mean, deviation: deviation, isTruncated: isTruncated)
    case .varianceScaling(var scale, var mode, var distribution):
      try options.number("scale", &scale, in: .above(0), "The variance, before it is divided.")
      try options.choice("mode", &mode, "What it is divided by: the number of inputs, of outputs, or their mean.")
      try options.choice(
        "distribution", &distribution,
        "How the values are distributed; truncated_normal and normal, which are the same, end at two deviations.")
      values = .varianceScaling(scale: scale, mode: mode, distribution: distribution)
    case .orthogonal(var gain):
      try options.number("gain", &gain, "What the matrix is multiplied by.")
      values = .orthogonal(gain: gain)
    case .identity(var gain):
      try options.number("gain", &gain, "What the matrix is multiplied by.")
      values = .identity(gain: gain)
    }
  }
}
