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

  private static let names = ["accuracy", "binary_accuracy", "top_k", "mean_squared_error", "mean_absolute_error"]

  /// Reads a metric, and the name under which it is reported where that is not its own.
  static func named(_ value: JSON) throws(CNNError) -> (metric: Metric, name: String?) {
    let (name, settings) = try OptionReader.named(value, "metrics")
    var result = Metric.accuracy
    var reportedName: String?
    try OptionReader.read(settings) { (options) throws(CNNError) in
      reportedName = try options.take("reported_as", JSONObject.optionalString)
      switch name {
      case "accuracy", "acc": result = .accuracy
      case "binary_accuracy": result = .binaryAccuracy(threshold: try options.number("threshold", 0.5))
      case "top_k": result = .topK(try options.integer("k", 5))
      case "mean_squared_error": result = .meanSquaredError
      case "mean_absolute_error": result = .meanAbsoluteError
      default: throw unknownName("metric", name, among: Self.names)
      }
    }
    return (result, reportedName == result.name ? nil : reportedName)
  }

  /// The form that `named` reads.
  func json(reportedAs reportedName: String?) -> JSON {
    var object = JSONObject()
    switch self {
    case .accuracy, .meanSquaredError, .meanAbsoluteError: object["name"] = .string(name)
    case .binaryAccuracy(let threshold):
      object["name"] = "binary_accuracy"
      object["threshold"] = .number(threshold)
    case .topK(let k):
      object["name"] = "top_k"
      object["k"] = .integer(Int64(k))
    }
    if let reportedName { object["reported_as"] = .string(reportedName) }
    return .object(object)
  }

  /// Throws `.invalidArgument` where a constant is out of its domain or the loss has other targets.
  func validate(with loss: LossFunction) throws(CNNError) {
    if case .topK(let k) = self, k < 1 { throw CNNError(.invalidArgument, "top_k: k is \(k); expected 1 or more") }
    if needsDenseTargets, loss == .sparseCategoricalCrossEntropy {
      throw CNNError(
        .invalidArgument, "\(name) needs targets shaped as the output; \(loss.rawValue) has class numbers")
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
