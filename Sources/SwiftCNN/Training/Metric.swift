import CNNCore
import CNNGraph
import CNNKernels

/// What is measured beside the loss. All are means over samples, or over predictions where a sample has several.
public enum Metric: Sendable, Equatable {
  /// The share of predictions whose largest score is the true class. Where there is one score, of those that lie on the
  /// target's side of 0.5 (of 0 where a binary cross-entropy takes it as a logit), as Keras.
  case accuracy
  /// The share of elements that lie on the same side of the threshold as the target, 0 or 1.
  case binaryAccuracy(threshold: Double)
  /// The share of predictions whose true class is among the `k` largest scores.
  case topK(Int)
  /// The mean of squared differences.
  case meanSquaredError
  /// The mean of absolute differences.
  case meanAbsoluteError

  /// The name under which it is reported.
  public var name: String {
    switch self {
    case .accuracy: "accuracy"
    case .binaryAccuracy: "binary_accuracy"
    case .topK(let k): "top_\(k)_accuracy"
    case .meanSquaredError: "mean_squared_error"
    case .meanAbsoluteError: "mean_absolute_error"
    }
  }

  /// Whether the targets must be shaped as the output.
  var needsDenseTargets: Bool {
    switch self {
    case .accuracy, .topK: false
    case .binaryAccuracy, .meanSquaredError, .meanAbsoluteError: true
    }
  }

  /// Throws `.invalidArgument` where the loss has other targets.
  func validate(with loss: LossFunction) throws(CNNError) {
    if needsDenseTargets, loss == .sparseCategoricalCrossEntropy {
      throw CNNError(
        .invalidArgument, "\(name) needs targets shaped as the output; \(loss.rawValue) has class numbers")
    }
  }
}

/// A metric under the name that it is reported by.
struct NamedMetric: Named {
  static let sort = "metric"
  static let names = [
    "accuracy", "acc", "binary_accuracy", "top_k", "mean_squared_error", "mean_absolute_error",
  ]

  var metric: Metric
  /// Nil for the metric's own.
  var reportedName: String?

  init(_ metric: Metric, reportedAs name: String?) {
    (self.metric, reportedName) = (metric, name == metric.name ? nil : name)
  }

  init?(usual name: String) {
    switch name {
    case "accuracy", "acc": metric = .accuracy
    case "binary_accuracy": metric = .binaryAccuracy(threshold: 0.5)
    case "top_k": metric = .topK(5)
    case "mean_squared_error": metric = .meanSquaredError
    case "mean_absolute_error": metric = .meanAbsoluteError
    default: return nil
    }
  }

  var optionName: String { if case .topK = metric { "top_k" } else { metric.name } }

  var documentation: String {
    switch metric {
    case .accuracy:
      "The share of predictions whose largest score is the true class; of one score, on which side it lies."
    case .binaryAccuracy: "The share of elements that lie on the same side of the threshold as the target."
    case .topK: "The share of predictions whose true class is among the k largest scores."
    case .meanSquaredError: "The mean of squared differences."
    case .meanAbsoluteError: "The mean of absolute differences."
    }
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.text("reported_as", &reportedName, "The name that it is reported by; null for its own.")
    switch metric {
    case .accuracy, .meanSquaredError, .meanAbsoluteError: break
    case .binaryAccuracy(var threshold):
      try options.number("threshold", &threshold, "What a score above means yes.")
      metric = .binaryAccuracy(threshold: threshold)
    case .topK(var k):
      try options.integer("k", &k, in: .atLeast(1), "How many scores count.")
      metric = .topK(k)
    }
    if reportedName == metric.name { reportedName = nil }
    if let reportedName, reportedName.isEmpty || reportedName.utf8.contains(UInt8(ascii: "\n")) {
      throw CNNError(.invalidArgument, "reported_as is '\(reportedName)'; expected a name in one line")
    }
  }
}

/// A batch's predictions and targets, to be measured.
struct Measurement {
  /// `[rows, classes]`.
  let scores: UnsafePointer<Float>
  let rows, classes: Int
  /// As the loss takes them: int32 class numbers `[rows]`, or float32 `[rows, classes]`.
  let targets: UnsafeRawPointer
  let loss: Loss
  let workers: Workers

  private var labels: UnsafePointer<Int32> { targets.assumingMemoryBound(to: Int32.self) }
  private var values: UnsafePointer<Float> { targets.assumingMemoryBound(to: Float.self) }

  func value(of metric: Metric) -> Double {
    let isSparse = loss.function == .sparseCategoricalCrossEntropy
    switch metric {
    case .accuracy where isSparse:
      return share(
        MetricCounts.correct(scores: scores, labels: labels, rows: rows, classes: classes, workers: workers))
    case .accuracy where classes == 1:
      return binaryAccuracy(loss.fromLogits ? 0 : 0.5)
    case .accuracy:
      return share(
        MetricCounts.correct(scores: scores, targets: values, rows: rows, classes: classes, workers: workers))
    case .binaryAccuracy(let threshold):
      return binaryAccuracy(Float(threshold))
    case .topK(let k) where isSparse:
      return share(
        MetricCounts.correctInTop(k, scores: scores, labels: labels, rows: rows, classes: classes, workers: workers))
    case .topK(let k):
      return share(
        MetricCounts.correctInTop(k, scores: scores, targets: values, rows: rows, classes: classes, workers: workers))
    case .meanSquaredError: return mean(.squared)
    case .meanAbsoluteError: return mean(.absolute)
    }
  }

  private func share(_ right: Int) -> Double { Double(right) / Double(rows) }

  private func binaryAccuracy(_ threshold: Float) -> Double {
    let count = rows * classes
    let right = MetricCounts.correctBinary(
      scores: scores, targets: values, threshold: threshold, count: count, workers: workers)
    return Double(right) / Double(count)
  }

  private func mean(_ loss: DifferenceLoss) -> Double {
    loss.mean(prediction: scores, targets: values, count: rows * classes, workers: workers)
  }
}
