import CNNCore

/// By what channels are told that matter less.
public enum PruningCriterion: String, Sendable, CaseIterable {
  /// The sum of the magnitudes of the weights that make and read the channel (Li et al. 2017).
  case l1
  /// The sum of their squares, that of its normalisation's scale included (Fang et al. 2023, equation 4).
  case l2
  /// The magnitude of its normalisation's scale (Liu et al. 2017).
  case bnScale = "bn_scale"
  /// What the loss would change to first order, squared (Molchanov et al. 2019, equation 8).
  case taylor
  /// Chance.
  case random
}

/// What channels are compared with.
public enum PruningScope: String, Sendable, CaseIterable {
  /// All channels of the network, the scores of each group divided by their mean.
  case global
  /// Those of the same group: each loses the same share.
  case layer
}

/// To which widths layers are cut.
public enum WidthRounding: Sendable, Equatable {
  /// To those at which this machine's kernels take less time.
  case fast
  /// To multiples of a number; of 1, to any.
  case multiple(Int)
}

/// How far a network is pruned.
public enum PruningTarget: Sendable, Equatable {
  /// The share of the channels that leaves.
  case ratio(Double)
  /// What is left of the multiplications with additions of convolutions and dense layers: up to 1, a share; else their
  /// number for an image.
  case macs(Double)
  /// What is left of the learned parameters: up to 1, a share; else their number.
  case parameters(Double)
  /// The time of a prediction of one image, in milliseconds, on this machine with the threads that are set.
  case latency(milliseconds: Double)
}

/// What a caller may choose about pruning.
public struct PruningOptions: Sendable {
  /// How far.
  public var target: PruningTarget?
  /// By what channels are told that matter less.
  public var criterion = PruningCriterion.l2
  /// What channels are compared with.
  public var scope = PruningScope.global
  /// To which widths.
  public var rounding = WidthRounding.fast
  /// Layers that keep all their channels, by name; `*` stands for anything.
  public var skip: [String] = []
  /// No layer gets fewer channels than these, or than this share of its own, whichever is more.
  public var minimumChannels = 8, minimumShare = 0.1
  /// What chance is drawn from.
  public var seed: UInt64 = 0

  /// Options; those that are not given have their defaults.
  public init(
    _ target: PruningTarget? = nil, criterion: PruningCriterion = .l2, scope: PruningScope = .global,
    rounding: WidthRounding = .fast, skip: [String] = [], minimumChannels: Int = 8, minimumShare: Double = 0.1,
    seed: UInt64 = 0
  ) {
    (self.target, self.criterion, self.scope, self.rounding) = (target, criterion, scope, rounding)
    (self.skip, self.minimumChannels, self.minimumShare, self.seed) = (skip, minimumChannels, minimumShare, seed)
  }
}

extension PruningOptions: Configurable {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_prune`.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try visitTarget(&options)
    try options.choice("criterion", &criterion, "By what channels are told that matter less.")
    try options.choice("scope", &scope, "Whether channels are compared in the whole network, or in their layer.")
    var width: JSON = if case .multiple(let number) = rounding { .integer(Int64(number)) } else { "fast" }
    try options.choice(
      "round_to", &width, among: ["fast"], orIn: .within(1...4096),
      "A number of which widths are multiples, or fast: widths at which this machine takes less time.")
    rounding = width.integerValue.map { .multiple($0) } ?? .fast
    var names: [String]? = skip
    try options.texts("skip", &names, "Layers that keep all their channels; * stands for anything.")
    skip = names ?? []
    try options.integer(
      "min_channels", swift: "minimumChannels", &minimumChannels, in: .atLeast(1),
      "No layer gets fewer channels.")
    try options.number(
      "min_share", swift: "minimumShare", &minimumShare, in: .within(0...1),
      "No layer keeps a smaller share of its channels.")
    try options.seed(&seed, "What the criterion random draws from.")
  }

  private mutating func visitTarget(_ options: inout OptionReader) throws(CNNError) {
    var ratio: Double?, macs: Double?, parameters: Double?, latency: Double?
    switch target {
    case .ratio(let share): ratio = share
    case .macs(let number): macs = number
    case .parameters(let number): parameters = number
    case .latency(let milliseconds): latency = milliseconds
    case nil: break
    }
    try options.number("ratio", &ratio, in: .within(0..<1), "The share of the channels that leaves.")
    try options.number(
      "macs", &macs, in: .above(0),
      "What is left of the multiplications with additions: up to 1, a share, else their number for an image.")
    try options.number(
      "params", swift: "parameters", &parameters, in: .above(0),
      "What is left of the learned parameters: up to 1, a share, else their number.")
    try options.number(
      "latency_ms", swift: "latency", &latency, in: .above(0),
      "The milliseconds of a prediction of one image on this machine.")
    target = try OptionReader.onlyOne(
      of: [
        "ratio": ratio.map { PruningTarget.ratio($0) }, "macs": macs.map { .macs($0) },
        "params": parameters.map { .parameters($0) }, "latency_ms": latency.map { .latency(milliseconds: $0) },
      ], expected: "one of ratio, macs, params and latency_ms")
  }
}
