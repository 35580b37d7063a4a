import CNNCore

/// What a model is compressed towards.
public enum CompressionTarget: Sendable, Equatable {
  /// The time of a prediction of one image, in milliseconds, on this machine with the threads that are set.
  case latency(milliseconds: Double)
  /// The size of the model's file in megabytes, a million bytes each.
  case size(megabytes: Double)
  /// How many times as fast as the model it predicts one image.
  case speedup(Double)
}

/// By what a model is compressed.
public enum CompressionMethod: String, Sendable, CaseIterable {
  /// Channels leave, and what is left is trained again.
  case prune
  /// That training learns from the model.
  case distill
  /// Weights and activations become integers of 8 bits.
  case quantize
}

/// What a caller may choose about a compression.
public struct CompressionOptions: Sendable, Equatable {
  /// Towards what.
  public var target: CompressionTarget?
  /// How many points of a hundred the share of samples that are classified right may fall by.
  public var maximumDrop = 0.5
  /// How many seconds it may take, those of earlier runs over the same folder included; nil for as many as it takes.
  public var timeLimit: Double?
  /// By what.
  public var methods = Set(CompressionMethod.allCases)
  /// In how many steps channels leave at most, with training after each.
  public var levels = 3
  /// How many epochs are trained after each at most.
  public var epochs = 10
  /// The learning rate that each training begins with: of stochastic gradient descent with momentum, down to 0 in half a
  /// cosine.
  public var learningRate = 0.02
  /// Layers that keep all their channels and stay in floats, by name; `*` stands for anything.
  public var skip: [String] = []
  /// What chance is drawn from.
  public var seed: UInt64 = 0
  /// Where everything that is made is kept, so that a run that was ended goes on; nil keeps it in memory.
  public var folder: String?

  /// Options; those that are not given have their defaults.
  public init(
    _ target: CompressionTarget? = nil, maximumDrop: Double = 0.5, timeLimit: Double? = nil,
    methods: Set<CompressionMethod> = Set(CompressionMethod.allCases), levels: Int = 3, epochs: Int = 10,
    learningRate: Double = 0.02, skip: [String] = [], seed: UInt64 = 0, folder: String? = nil
  ) {
    (self.target, self.maximumDrop, self.timeLimit, self.methods) = (target, maximumDrop, timeLimit, methods)
    (self.levels, self.epochs, self.learningRate) = (levels, epochs, learningRate)
    (self.skip, self.seed, self.folder) = (skip, seed, folder)
  }
}

extension CompressionOptions: Configurable {
  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_compress`.
  /// - Throws: `.invalidArgument` or `.unknownName` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try visitTarget(&options)
    try options.number(
      "max_drop", swift: "maximumDrop", &maximumDrop, in: .within(0...100),
      "How many points of a hundred the share of samples that are classified right may fall by.")
    try options.number(
      "time_limit", &timeLimit, in: .above(0), "The seconds that it may take, earlier runs over the folder included.")
    var names: [String]? = CompressionMethod.allCases.filter(methods.contains).map(\.rawValue)
    try options.texts("methods", &names, "By what: some of prune, distill and quantize.")
    methods = []
    for name in names ?? [] {
      guard let method = CompressionMethod(rawValue: name) else {
        throw unknownName("method", name, among: CompressionMethod.allCases.map(\.rawValue))
      }
      methods.insert(method)
    }
    try options.integer("levels", &levels, in: .within(1...20), "In how many steps channels leave at most.")
    try options.integer("epochs", &epochs, in: .within(0...100_000), "The epochs that are trained after each at most.")
    try options.number(
      "learning_rate", &learningRate, in: .above(0), "What each training begins with, down to 0 in half a cosine.")
    names = skip
    try options.texts("skip", &names, "Layers that keep all channels and stay in floats; * stands for anything.")
    skip = names ?? []
    try options.seed(&seed, "What chance is drawn from.")
    try options.text("folder", &folder, "Where everything that is made is kept, so that a run that was ended goes on.")
    guard options.purpose != .describing else { return }
    guard target != nil else {
      throw CNNError(.invalidArgument, "no target is given; expected one of latency_ms, size_mb and speedup")
    }
    guard methods.contains(.prune) || methods.contains(.quantize) else {
      throw CNNError(
        .invalidArgument,
        "methods has neither 'prune' nor 'quantize'; expected one at least, as nothing else compresses")
    }
  }

  private mutating func visitTarget(_ options: inout OptionReader) throws(CNNError) {
    var latency: Double?, size: Double?, speedup: Double?
    switch target {
    case .latency(let milliseconds): latency = milliseconds
    case .size(let megabytes): size = megabytes
    case .speedup(let factor): speedup = factor
    case nil: break
    }
    try options.number(
      "latency_ms", swift: "latency", &latency, in: .above(0),
      "The target: milliseconds of a prediction of one image on this machine.")
    try options.number(
      "size_mb", swift: "size", &size, in: .above(0), "The target: millions of bytes of the model's file.")
    try options.number(
      "speedup", &speedup, in: .atLeast(1), "The target: how many times as fast one image is predicted.")
    target = try OptionReader.onlyOne(
      of: [
        "latency_ms": latency.map { CompressionTarget.latency(milliseconds: $0) },
        "size_mb": size.map { .size(megabytes: $0) }, "speedup": speedup.map { .speedup($0) },
      ], expected: "one of latency_ms, size_mb and speedup")
  }
}
