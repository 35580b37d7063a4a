import CNNCore
import CNNGraph

/// What a caller may choose about a model that learns of another.
public struct DistillationOptions: Sendable, Configurable, Equatable {
  /// What is learned of the teacher.
  public var losses: [DistillationTerm]
  /// The factor of the model's own loss, which `compile` is told. With 0 the targets count for metrics alone, and for
  /// `.decoupled`.
  public var studentWeight: Double
  /// Whether a run keeps what the teacher has said of each sample as it was after its changes, in memory, and asks of no
  /// sample twice. The losses are the same bits.
  public var caches: Bool
  /// The file that it is kept in as well: what it has a run does not ask, and after each epoch the new is written to it.
  public var cacheFile: String?
  /// In how many ways each sample is changed at random, one after another by the number of the epoch; nil: in another one
  /// in each.
  public var augmentations: Int?
  /// What the weights of projections are drawn from.
  public var seed: UInt64

  /// Whether a run keeps what the teacher says.
  var keepsResults: Bool { caches || cacheFile != nil }

  /// Options; those that are not given have their defaults.
  public init(
    losses: [DistillationTerm] = [.softTargets()], studentWeight: Double = 1, caches: Bool = false,
    cacheFile: String? = nil, augmentations: Int? = nil, seed: UInt64 = 0
  ) {
    (self.losses, self.studentWeight, self.seed) = (losses, studentWeight, seed)
    (self.caches, self.cacheFile, self.augmentations) = (caches, cacheFile, augmentations)
  }

  /// Whether the same is learned, from the teacher's own words or kept ones.
  public static func == (a: Self, b: Self) -> Bool {
    a.losses == b.losses && a.studentWeight == b.studentWeight && a.augmentations == b.augmentations && a.seed == b.seed
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_distill`.
  package init(json: JSONObject) throws(CNNError) {
    self.init()
    try read(json)
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.named("losses", &losses, "What is learned of the teacher.")
    try options.number(
      "student_weight", &studentWeight, in: .atLeast(0), "The factor of the student's own loss, which compile is told.")
    try options.flag(
      "cache", &caches, "Whether a run keeps what the teacher has said of each sample as it was changed.")
    try options.text("cache_file", &cacheFile, "A file of this for other runs.")
    try options.integer(
      "augmentations", &augmentations, in: .atLeast(1),
      "In how many ways each sample is changed at random, one after another; null: in another one in each epoch.")
    try options.seed(&seed, "Of the weights of projections.")
    guard options.purpose != .describing else { return }
    if let cacheFile { try TeacherCacheFile.check(cacheFile) }
    guard losses.contains(where: { $0.weight > 0 }) else {
      throw CNNError(
        .invalidArgument, "losses has \(losses.isEmpty ? "none" : "none with a weight above 0"); expected one at least")
    }
  }

  /// What the library tells of its losses.
  static var lossDescription: JSON { DistillationTerm.description }
}

extension DistillationTerm: Named {
  static var sort: String { "distillation loss" }
  static var names: [String] { Method.allCases.map(\.rawValue) }

  init?(usual name: String) {
    guard let method = Method(rawValue: name) else { return nil }
    self.init(method)
  }

  var optionName: String { method.rawValue }
  var documentation: String { method.documentation }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.number("weight", &weight, in: .atLeast(0), "Its factor in the loss.")
    if method.isOfLogits {
      try options.number(
        "temperature", &temperature, in: .within(1e-3...1e6),
        "What logits are divided by before they are probabilities.")
    }
    if method == .decoupled {
      try options.number("alpha", &alpha, in: .atLeast(0), "The factor of the label against all other classes.")
      try options.number("beta", &beta, in: .atLeast(0), "The factor of the other classes among themselves.")
    }
    guard !method.isOfLogits else { return }
    try options.text("student_layer", &studentLayer, needed: true, "The name of a result of the student's network.")
    try options.text("teacher_layer", &teacherLayer, needed: true, "The name of a result of the teacher's network.")
    guard options.purpose != .describing else { return }
    guard !studentLayer.isEmpty, !teacherLayer.isEmpty else {
      throw CNNError(
        .invalidArgument,
        "\(option: studentLayer.isEmpty ? "student_layer" : "teacher_layer") is empty; expected the name of a result")
    }
  }
}
