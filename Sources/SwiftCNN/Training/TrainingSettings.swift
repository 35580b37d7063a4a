import CNNCore
import CNNGraph

/// What is measured beside the loss.
public enum Metric: Sendable, Equatable {
  /// The share of samples whose largest score is the true class; of yes/no predictions that are right for binary losses.
  case accuracy
  /// The share of samples whose true class is among the `k` largest scores.
  case topK(Int)

  /// The name under which it is reported.
  public var name: String {
    switch self {
    case .accuracy: "accuracy"
    case .topK(let k): "top_\(k)_accuracy"
    }
  }

  init(_ value: JSON) throws(CNNError) {
    let (name, settings) = try OptionReader.named(value, "metrics")
    switch name {
    case "accuracy", "acc":
      self = .accuracy
      try OptionReader.read(settings) { _ in }
    case "top_k":
      var k = 5
      try OptionReader.read(settings) { (options) throws(CNNError) in k = try options.integer("k", 5) }
      self = .topK(k)
    default:
      throw unknownName("metric", name, among: ["accuracy", "top_k"])
    }
  }

  var json: JSON {
    switch self {
    case .accuracy: return "accuracy"
    case .topK(let k):
      var object = JSONObject()
      object["name"] = "top_k"
      object["k"] = .integer(Int64(k))
      return .object(object)
    }
  }
}

/// How a model is trained: what `compile` sets and a checkpoint carries.
public struct TrainingSettings: Sendable, Equatable {
  /// The loss function.
  public var loss: LossFunction
  /// Whether the network's output is logits; nil: where it does not end in a softmax or sigmoid.
  public var fromLogits: Bool?
  /// The share of the target that is spread evenly over the classes.
  public var labelSmoothing: Double
  /// The update rule and its constants.
  public var optimizer: OptimizerSettings
  /// The learning rate by step.
  public var schedule: LearningRateSchedule
  /// What is measured beside the loss.
  public var metrics: [Metric]
  /// The seed of dropout, stochastic depth, shuffling and augmentation.
  public var seed: UInt64

  /// The largest number of metrics.
  static let maximumMetricCount = 15

  /// Settings with defaults for all but the loss and the optimizer.
  public init(
    loss: LossFunction, fromLogits: Bool? = nil, labelSmoothing: Double = 0, optimizer: OptimizerSettings,
    schedule: LearningRateSchedule = .constant, metrics: [Metric] = [], seed: UInt64 = 0
  ) {
    (self.loss, self.fromLogits, self.labelSmoothing) = (loss, fromLogits, labelSmoothing)
    (self.optimizer, self.schedule, self.metrics, self.seed) = (optimizer, schedule, metrics, seed)
  }

  /// Reads a JSON object with the keys that `include/swiftcnn.h` lists for `scnn_compile`.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the key.
  public init(json: JSONObject) throws(CNNError) {
    var result = TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: try OptimizerSettings(name: "sgd"))
    try OptionReader.read(json) { (options) throws(CNNError) in
      if let (name, settings) = try options.named("loss") {
        guard let loss = LossFunction(rawValue: name) else {
          throw unknownName("loss", name, among: LossFunction.allCases.map(\.rawValue))
        }
        result.loss = loss
        try OptionReader.read(settings) { (options) throws(CNNError) in
          result.fromLogits = try options.take("from_logits", JSONObject.optionalBool)
          result.labelSmoothing = try options.number("label_smoothing", 0)
        }
      }
      if let (name, settings) = try options.named("optimizer") {
        result.optimizer = try OptimizerSettings(name: name, settings: settings)
      }
      if let (name, settings) = try options.named("schedule") {
        result.schedule = try LearningRateSchedule(name: name, settings: settings)
      }
      for value in try options.take("metrics", JSONObject.optionalArray) ?? [] {
        result.metrics.append(try Metric(value))
      }
      result.seed = try options.seed("seed")
    }
    try result.validate()
    self = result
  }

  func validate() throws(CNNError) {
    try optimizer.validate()
    try schedule.validate()
    for case .topK(let k) in metrics where k < 1 {
      throw CNNError(.invalidArgument, "top_k: k is \(k); expected 1 or more")
    }
    guard (0..<1).contains(labelSmoothing) else {
      throw CNNError(.invalidArgument, "label_smoothing is \(labelSmoothing); expected 0 or more and below 1")
    }
    guard loss.hasLogitsForm || (fromLogits != true && labelSmoothing == 0) else {
      throw CNNError(.invalidArgument, "\(loss.rawValue) has neither from_logits nor label_smoothing")
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
    var object = JSONObject()
    object["loss"] = .object(lossObject)
    object["optimizer"] = optimizer.json
    object["schedule"] = schedule.json
    object["metrics"] = .array(metrics.map(\.json))
    object["seed"] = .integer(Int64(bitPattern: seed))
    return object
  }

  /// The names of what training reports: the loss, then the metrics.
  public var resultNames: [String] { ["loss"] + metrics.map(\.name) }

  /// The loss as an operation on this network's output.
  func lossOperation(for network: Graph) -> Loss {
    var endsInProbabilities = !loss.hasLogitsForm
    if let output = network.outputs.first, let last = network.node(defining: output.value)?.operation {
      endsInProbabilities =
        endsInProbabilities || last is Softmax || (last as? Activation)?.function == .sigmoid
    }
    return Loss(loss, fromLogits: fromLogits ?? !endsInProbabilities, labelSmoothing: labelSmoothing)
  }
}
