import CNNCore
import CNNGraph

/// What a caller may choose about a model that learns of another.
public struct DistillationOptions: Sendable, Configurable, Equatable {
  /// What is learned of the teacher.
  public var losses: [DistillationTerm]
  /// The factor of the model's own loss, which `compile` is told. With 0 the targets count for metrics alone, and for
  /// `.decoupled`.
  public var studentWeight: Double
  /// Whether the teacher is asked of each sample once in a run over arrays, whose flips and crops then change nothing between
  /// epochs: what it says is kept in memory as long as the run. The losses are the same bits.
  public var caches: Bool
  /// What the weights of projections are drawn from.
  public var seed: UInt64

  /// Options; those that are not given have their defaults.
  public init(
    losses: [DistillationTerm] = [.softTargets()], studentWeight: Double = 1, caches: Bool = false, seed: UInt64 = 0
  ) {
    (self.losses, self.studentWeight, self.caches, self.seed) = (losses, studentWeight, caches, seed)
  }

  /// Whether the same is learned, from the teacher's own words or kept ones.
  public static func == (a: Self, b: Self) -> Bool {
    a.losses == b.losses && a.studentWeight == b.studentWeight && a.seed == b.seed
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
      "cache", &caches, "Whether the teacher is asked of each sample once, in a run without flips and crops.")
    try options.seed(&seed, "Of the weights of projections.")
    guard options.purpose != .describing else { return }
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
