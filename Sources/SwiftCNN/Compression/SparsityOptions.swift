import CNNCore

/// Which numbers of a weight become 0 together.
public enum SparsityPattern: Sendable, Equatable {
  /// Each by itself.
  case unstructured
  /// The weights by which one input channel, at one place of the window, goes into 16 output channels, a block of those in
  /// which tensors lie in memory: generated code skips such zeros at least cost.
  case blocks
  /// Of every so many neighbouring input channels these many are left at most, as 2 of 4 (Mishra et al. 2021).
  case fewOf(kept: Int, among: Int)
  /// Those that are 0 now, as other tools leave them.
  case zeros

  /// The largest number of channels of which some are left.
  static let mostChannels = 64

  /// The pattern that a word names: `unstructured`, `16x1`, `zeros`, or two numbers as in `2:4`.
  /// - Throws: `.unknownName` with the nearest name; `.invalidArgument` for two numbers that are no pattern.
  public init(named name: String) throws(CNNError) {
    switch name {
    case "unstructured": self = .unstructured
    case "16x1": self = .blocks
    case "zeros": self = .zeros
    default:
      let parts = name.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, let kept = Int(parts[0]), let among = Int(parts[1]) else {
        throw unknownName("pattern", name, among: ["unstructured", "16x1", "2:4", "zeros"])
      }
      self = .fewOf(kept: kept, among: among)
      try validate()
    }
  }

  /// The word that names it.
  public var name: String {
    switch self {
    case .unstructured: "unstructured"
    case .blocks: "16x1"
    case .zeros: "zeros"
    case .fewOf(let kept, let among): "\(kept):\(among)"
    }
  }

  func validate() throws(CNNError) {
    guard case .fewOf(let kept, let among) = self else { return }
    guard (2...Self.mostChannels).contains(among), (1...among).contains(kept) else {
      throw CNNError(
        .invalidArgument,
        "pattern is '\(name)'; expected N:M, of which N are left among M, with M from 2 to \(Self.mostChannels) and N from 1 to M"
      )
    }
  }
}

/// Among which weights the smallest are looked for.
public enum SparsityScope: String, Sendable, CaseIterable {
  /// Among those of all layers, each weight's square divided by the sum of its layer's squares that are not smaller: so no
  /// layer loses all (Lee et al. 2021, equation 5).
  case global
  /// Among those of each layer.
  case layer
}

/// What a caller may choose about sparse weights.
public struct SparsityOptions: Sendable, Configurable {
  /// The share of the weights that become 0, of the layers that do not stay as they are; nil for 0.9. 0 takes masks away.
  /// `fewOf` and `zeros` have a share of their own.
  public var sparsity: Double?
  /// Which become 0 together.
  public var pattern = SparsityPattern.unstructured
  /// Among which the smallest are looked for.
  public var scope = SparsityScope.global
  /// Layers that stay as they are, by name; `*` stands for anything.
  public var skip: [String] = []
  /// Of the layers that stay as they are where nothing is said, the first, the last and depthwise ones, those that do not.
  public var include: [String] = []

  /// Options; those that are not given have their defaults.
  public init(
    sparsity: Double? = nil, pattern: SparsityPattern = .unstructured, scope: SparsityScope = .global,
    skip: [String] = [], include: [String] = []
  ) {
    (self.sparsity, self.pattern, self.scope) = (sparsity, pattern, scope)
    (self.skip, self.include) = (skip, include)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_sparsify`.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  /// The share of the weights that is to become 0, where the pattern does not say it.
  var share: Double { sparsity ?? 0.9 }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.number(
      "sparsity", &sparsity, in: .within(0...1),
      "The share of the weights that become 0, 0.9 where nothing is said; 0 takes masks away. N:M and zeros have their own."
    )
    var word = pattern.name
    try options.text(
      "pattern", &word,
      "unstructured; 16x1, blocks of 16 output channels of an input channel; N:M, as 2:4, of M input channels N; or zeros."
    )
    if options.purpose == .reading { pattern = try SparsityPattern(named: word) }
    try options.choice("scope", &scope, "Among which weights the smallest are looked for.")
    var (skipped, included): ([String]?, [String]?) = (skip, include)
    try options.texts("skip", &skipped, "Layers that stay as they are; * stands for anything.")
    try options.texts(
      "include", &included, "Of the first, the last and depthwise layers, which stay as they are, those that do not.")
    (skip, include) = (skipped ?? [], included ?? [])
    guard options.purpose != .describing else { return }
    try pattern.validate()
    switch pattern {
    case .unstructured, .blocks: break
    case .fewOf, .zeros:
      if let sparsity {
        throw CNNError(
          .invalidArgument,
          "sparsity is \(sparsity) with the pattern '\(pattern.name)', which says itself how many are 0; expected none")
      }
    }
  }
}
