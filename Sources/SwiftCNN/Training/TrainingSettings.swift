import CNNCore
import CNNGraph

/// How a model is trained: what `compile` sets and a checkpoint carries.
public struct TrainingSettings: Sendable, Equatable {
  /// The loss function.
  public var loss: LossFunction
  /// Whether the network's output is logits; nil: where it comes directly from a dense layer or a convolution.
  public var fromLogits: Bool?
  /// The share of the target that is spread evenly over the classes.
  public var labelSmoothing: Double
  /// Where `huber` turns from squares to absolute values.
  public var delta: Double
  /// The update rule and its constants.
  public var optimizer: OptimizerSettings
  /// The learning rate by step.
  public var schedule: LearningRateSchedule
  /// What is measured beside the loss.
  public var metrics: [Metric]
  /// The names under which they are reported; nil for a metric's own.
  public var metricNames: [String?]
  /// The seed of dropout, stochastic depth, shuffling and augmentation.
  public var seed: UInt64
  /// How much memory a step may take.
  public var memory = TrainingMemory.normal

  /// The largest number of metrics.
  static let maximumMetricCount = 15

  /// Settings with defaults for all but the loss and the optimizer.
  public init(
    loss: LossFunction, fromLogits: Bool? = nil, labelSmoothing: Double = 0, delta: Double = 1,
    optimizer: OptimizerSettings, schedule: LearningRateSchedule = .constant, metrics: [Metric] = [],
    metricNames: [String?]? = nil, seed: UInt64 = 0
  ) {
    (self.loss, self.fromLogits, self.labelSmoothing) = (loss, fromLogits, labelSmoothing)
    self.delta = delta
    self.metricNames = metricNames ?? metrics.map { _ in nil }
    (self.optimizer, self.schedule, self.metrics, self.seed) = (optimizer, schedule, metrics, seed)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_compile`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    var result = TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd())
    try OptionReader.read(json) { (options) throws(CNNError) in
      if let (name, settings) = try options.named("loss") {
        guard let loss = LossFunction(rawValue: name) else {
          throw unknownName("loss", name, among: LossFunction.allCases.map(\.rawValue))
        }
        result.loss = loss
        try OptionReader.read(settings) { (options) throws(CNNError) in
          result.fromLogits = try options.take("from_logits", JSONObject.optionalBool)
          result.labelSmoothing = try options.number("label_smoothing", 0)
          if loss == .huber { result.delta = try options.number("delta", 1) }
        }
      }
      if let (name, settings) = try options.named("optimizer") {
        result.optimizer = try OptimizerSettings(name: name, settings: settings)
      }
      if let (name, settings) = try options.named("schedule") {
        result.schedule = try LearningRateSchedule(name: name, settings: settings)
      }
      for value in try options.take("metrics", JSONObject.optionalArray) ?? [] {
        let (metric, name) = try Metric.named(value)
        result.metrics.append(metric)
        result.metricNames.append(name)
      }
      result.seed = try options.seed("seed")
      result.memory = try options.choice("memory", of: TrainingMemory.self) ?? .normal
    }
    try result.validate()
    self = result
  }

  func validate() throws(CNNError) {
    try optimizer.validate()
    try schedule.validate()
    for metric in metrics { try metric.validate(with: loss) }
    guard (0..<1).contains(labelSmoothing) else {
      throw CNNError(.invalidArgument, "label_smoothing is \(labelSmoothing); expected 0 or more and below 1")
    }
    guard loss.hasLogitsForm || (fromLogits != true && labelSmoothing == 0) else {
      throw CNNError(.invalidArgument, "\(loss.rawValue) has neither from_logits nor label_smoothing")
    }
    guard metricNames.count == metrics.count else {
      throw CNNError(.invalidArgument, "\(metricNames.count) names given for \(metrics.count) metrics")
    }
    for case .some(let name) in metricNames where name.isEmpty || name.utf8.contains(UInt8(ascii: "\n")) {
      throw CNNError(.invalidArgument, "reported_as is '\(name)'; expected a name in one line")
    }
    guard metrics.count <= Self.maximumMetricCount else {
      throw CNNError(.invalidArgument, "\(metrics.count) metrics given; expected \(Self.maximumMetricCount) at most")
    }
  }

  /// The form that `init(json:)` reads.
  var json: JSONObject {
    var lossObject = JSONObject()
    lossObject["name"] = .string(loss.rawValue)
    lossObject["from_logits"] = fromLogits.map { .bool($0) } ?? .null
    lossObject["label_smoothing"] = .number(labelSmoothing)
    if loss == .huber { lossObject["delta"] = .number(delta) }
    var object = JSONObject()
    object["loss"] = .object(lossObject)
    object["optimizer"] = optimizer.json
    object["schedule"] = schedule.json
    object["metrics"] = .array(zip(metrics, metricNames).map { metric, name in metric.json(reportedAs: name) })
    object["seed"] = .integer(Int64(bitPattern: seed))
    object["memory"] = .string(memory.rawValue)
    return object
  }

  /// The names of what training reports: the loss, then the metrics.
  public var resultNames: [String] { ["loss"] + zip(metrics, metricNames).map { $1 ?? $0.name } }

  /// The loss as an operation on this network's output.
  func lossOperation(for network: Graph) -> Loss {
    let isOfLogits = loss.hasLogitsForm && (fromLogits ?? network.endsInLogits)
    return Loss(loss, fromLogits: isOfLogits, labelSmoothing: labelSmoothing, delta: delta)
  }
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
