import CNNCore
import CNNGraph

/// How a model is trained: what `compile` sets and a checkpoint carries.
public struct TrainingSettings: Sendable, Equatable {
  /// The loss function.
  public var loss: LossFunction
  /// A loss of the user's own, which then counts in place of `loss`.
  public var customLoss: GraphLoss?
  /// Whether the network's output is logits; nil: where it comes directly from a dense layer or a convolution.
  public var fromLogits: Bool?
  /// The share of the target that is spread evenly over the classes.
  public var labelSmoothing: Double
  /// Where `huber` turns from squares to absolute values.
  public var delta: Double
  /// How the focal cross-entropies weigh their terms.
  public var focus = Focus()
  /// The update rule and its constants.
  public var optimizer: OptimizerSettings
  /// The learning rate by step.
  public var schedule: LearningRateSchedule
  /// What is measured beside the loss, every sample counting once.
  public var metrics: [Metric]
  /// What is measured with the samples' weights.
  public var weightedMetrics: [Metric]
  /// The names of metrics that the caller measures of `Measures.lastBatch`, which is then kept; they are reported by none
  /// but him.
  public var customMetrics: [String] = []
  /// The names under which both are reported, one after the other; nil for a metric's own.
  public var metricNames: [String?]
  /// The seed of dropout, stochastic depth, shuffling and augmentation.
  public var seed: UInt64
  /// What is learned of a teacher, which `compile` takes of the model; nil where there is none.
  public internal(set) var distillation: DistillationOptions?
  /// How much memory a step may take.
  public var memory = TrainingMemory.normal

  /// The largest number of metrics.
  static let maximumMetricCount = 15

  /// Settings with defaults for all but the loss and the optimizer.
  public init(
    loss: LossFunction, fromLogits: Bool? = nil, labelSmoothing: Double = 0, delta: Double = 1,
    optimizer: OptimizerSettings, schedule: LearningRateSchedule = .constant, metrics: [Metric] = [],
    weightedMetrics: [Metric] = [], metricNames: [String?]? = nil, seed: UInt64 = 0
  ) {
    (self.loss, self.fromLogits, self.labelSmoothing) = (loss, fromLogits, labelSmoothing)
    self.delta = delta
    self.metricNames = metricNames ?? (metrics + weightedMetrics).map { _ in nil }
    self.weightedMetrics = weightedMetrics
    (self.optimizer, self.schedule, self.metrics, self.seed) = (optimizer, schedule, metrics, seed)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_compile`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  package init(json: JSONObject) throws(CNNError) {
    self = .usual
    try read(json)
  }

  /// The form that `init(json:)` reads.
  var json: JSONObject { options }

  /// The names of what training reports: the loss, then the metrics.
  ///
  /// A weighted metric that has the name of another is called `weighted_` and that, as Keras does.
  public var resultNames: [String] {
    zip(metrics + weightedMetrics, metricNames).enumerated().reduce(into: ["loss"]) { names, measured in
      let name = measured.element.1 ?? measured.element.0.name
      names.append(measured.offset >= metrics.count && names.contains(name) ? "weighted_" + name : name)
    }
  }

  /// Whether targets are class numbers.
  var hasLabelTargets: Bool { customLoss == nil && loss.hasLabelTargets }

  /// The loss as an operation on this network's output.
  func lossOperation(for network: Graph) -> any TrainingLoss {
    if let customLoss { return customLoss }
    return lossOperation(fromLogits: fromLogits ?? network.endsInLogits)
  }

  /// The loss as an operation on logits or, where it has no form for them or they are none, on probabilities.
  func lossOperation(fromLogits: Bool) -> Loss {
    Loss(loss, fromLogits: loss.hasLogitsForm && fromLogits, labelSmoothing: labelSmoothing, delta: delta, focus: focus)
  }
}

extension TrainingSettings: Configurable {
  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    var lossSettings = LossSettings(
      loss: loss, fromLogits: fromLogits, labelSmoothing: labelSmoothing, delta: delta, focus: focus)
    try options.named("loss", &lossSettings, "What is made small.")
    (loss, fromLogits) = (lossSettings.loss, lossSettings.fromLogits)
    (labelSmoothing, delta, focus) = (lossSettings.labelSmoothing, lossSettings.delta, lossSettings.focus)
    var own = customLoss?.json.objectValue
    try options.object(
      "custom_loss", &own, "A loss of one's own in its place: a name, and a graph of y_true and y_pred.")
    if options.purpose == .reading, let own { customLoss = try GraphLoss(json: own) }
    try options.named("optimizer", &optimizer, "How gradients change the weights.")
    try options.named("schedule", &schedule, "The learning rate by step.")
    let count = metrics.count + weightedMetrics.count
    guard metricNames.count == count else {
      throw CNNError(.invalidArgument, "\(metricNames.count) names given for \(count) metrics")
    }
    var measured = zip(metrics, metricNames).map(NamedMetric.init)
    var weighted = zip(weightedMetrics, metricNames.dropFirst(metrics.count)).map(NamedMetric.init)
    try options.named("metrics", &measured, "What is measured beside the loss; \(Self.maximumMetricCount) at most.")
    try options.named("weighted_metrics", &weighted, "The same, with the samples' weights.")
    (metrics, weightedMetrics) = (measured.map(\.metric), weighted.map(\.metric))
    metricNames = (measured + weighted).map(\.reportedName)
    var names: [String]? = customMetrics
    try options.texts("custom_metrics", &names, "Names of metrics that the caller measures.")
    customMetrics = names ?? []
    try options.seed(&seed, "Of dropout, stochastic depth, shuffling and augmentation.")
    var room = memory.json
    try options.choice(
      "memory", &room, among: TrainingMemory.words, orIn: .atLeast(1),
      "Whether a step works in less memory, for up to a third more time; or how many bytes it may work in.")
    memory = TrainingMemory(room) ?? memory
    var learned = distillation?.options
    try options.object(
      "distillation", &learned, "Of the state of training: the options of the distillation that it is of.")
    if options.purpose == .reading, let learned { distillation = try DistillationOptions(json: learned) }
    for metric in metrics + weightedMetrics {
      if customLoss == nil { try metric.validate(with: loss) } else { try metric.validate() }
    }
    guard metricNames.count <= Self.maximumMetricCount else {
      throw CNNError(
        .invalidArgument, "\(metricNames.count) metrics given; expected \(Self.maximumMetricCount) at most")
    }
  }
}

extension TrainingMemory {
  fileprivate static let words = ["normal", "low"]

  fileprivate var json: JSON {
    switch self {
    case .normal: .string("normal")
    case .low: .string("low")
    case .atMost(let byteCount): .integer(Int64(byteCount))
    }
  }

  fileprivate init?(_ json: JSON) {
    switch json.stringValue {
    case "normal": self = .normal
    case "low": self = .low
    default:
      guard let byteCount = json.integerValue else { return nil }
      self = .atMost(byteCount: byteCount)
    }
  }
}

/// A loss and its constants.
private struct LossSettings: Named {
  static let sort = "loss"
  static let names = LossFunction.allCases.map(\.rawValue)

  var loss: LossFunction
  var fromLogits: Bool?
  var labelSmoothing: Double
  var delta: Double
  var focus: Focus
}

extension LossSettings {
  init?(usual name: String) {
    guard let loss = LossFunction(rawValue: name) else { return nil }
    self.init(loss: loss, fromLogits: nil, labelSmoothing: 0, delta: 1, focus: Focus())
  }

  var optionName: String { loss.rawValue }

  var documentation: String { loss.documentation }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    if loss.hasLogitsForm || options.purpose == .reading {
      try options.flag(
        "from_logits", &fromLogits,
        "Whether the network gives logits; null: where it ends with a dense layer or a convolution.")
      try options.number(
        "label_smoothing", &labelSmoothing, in: .within(0..<1), "The share of a target spread evenly over the classes.")
    }
    if loss == .huber {
      try options.number("delta", &delta, in: .above(0), "Where squares turn into absolute values.")
    }
    if loss.isFocal {
      try options.number("gamma", &focus.gamma, in: .atLeast(0), "The power of what a prediction lacks of its target.")
      var alpha: [Double]? = focus.alpha
      try options.numbers("alpha", &alpha, "The weight of yes, or of each class, one for all or several.")
      focus.alpha = alpha ?? focus.alpha
      if loss.isBinary {
        try options.flag("apply_class_balancing", &focus.balancesClasses, "Whether yes weighs alpha and no 1 - alpha.")
      }
      if options.purpose != .describing { try focus.validate(for: loss) }
    }
    guard loss.hasLogitsForm || (fromLogits != true && labelSmoothing == 0) else {
      throw CNNError(
        .invalidArgument, "\(loss.rawValue) has neither \(option: "from_logits") nor \(option: "label_smoothing")")
    }
  }
}

extension TrainingSettings {
  /// What counts where nothing is said.
  static var usual: TrainingSettings {
    TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd())
  }

  /// What the library tells of losses.
  static var lossDescription: JSON { LossSettings.description }
}

extension Graph {
  /// Whether the first output comes directly from a dense layer or a convolution. What only moves, averages or chooses
  /// among its numbers is looked through: reshaping, global pooling, dropout. Anything else is taken as probabilities, as
  /// Keras does.
  var endsInLogits: Bool {
    var value = outputs.first?.value
    while let node = value.flatMap({ self.node(defining: $0) }) {
      switch node.operation {
      case is Dense, is Convolution2D: return true
      case is Reshape, is Dropout, is GlobalPooling2D: value = node.operands.first
      default: return false
      }
    }
    return false
  }
}
