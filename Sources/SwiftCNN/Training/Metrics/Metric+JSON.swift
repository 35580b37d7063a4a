import CNNCore

/// A metric under the name that it is reported by.
struct NamedMetric: Named {
  static let sort = "metric"
  static let names =
    [
      "accuracy", "acc", "binary_accuracy", "top_k", "mean_squared_error", "mean_absolute_error",
      "root_mean_squared_error",
    ] + Rate.allCases.map(\.rawValue) + Outcome.allCases.map(\.rawValue)
    + [
      "f1_score", "fbeta_score", "auc", "sensitivity_at_specificity", "specificity_at_sensitivity",
      "precision_at_recall", "recall_at_precision", "confusion_matrix",
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
    case "root_mean_squared_error": metric = .rootMeanSquaredError
    case "f1_score", "fbeta_score": metric = .fBeta(FBetaScore())
    case "auc": metric = .areaUnderCurve(AreaUnderCurve())
    case "sensitivity_at_specificity": metric = .best(.sensitivity(atSpecificity: 0.5))
    case "specificity_at_sensitivity": metric = .best(.specificity(atSensitivity: 0.5))
    case "precision_at_recall": metric = .best(.precision(atRecall: 0.5))
    case "recall_at_precision": metric = .best(.recall(atPrecision: 0.5))
    case "confusion_matrix": metric = .confusionMatrix(threshold: 0.5)
    default:
      if let rate = Rate(rawValue: name) {
        metric = .rate(rate, RateOptions())
      } else if let outcome = Outcome(rawValue: name) {
        metric = .count(outcome, thresholds: [0.5])
      } else {
        return nil
      }
    }
    hasBeta = name == "fbeta_score"
  }

  /// Whether "beta" is an option.
  private var hasBeta = false

  var optionName: String { metric.kind }

  var documentation: String {
    switch metric {
    case .accuracy:
      "The share of predictions whose largest score is the true class; of one score, on which side it lies."
    case .binaryAccuracy: "The share of elements that lie on the same side of the threshold as the target."
    case .topK: "The share of predictions whose true class is among the k largest scores."
    case .meanSquaredError: "The mean of squared differences."
    case .meanAbsoluteError: "The mean of absolute differences."
    case .rootMeanSquaredError: "The square root of the mean of squared differences."
    case .rate(.precision, _): "Of what was said to be so, the share that is."
    case .rate(.recall, _): "Of what is so, the share that was said to be."
    case .rate(.specificity, _): "Of what is not so, the share that was said not to be."
    case .count: "How many answers are right or wrong in that way."
    case .fBeta: "The weighted harmonic mean of precision and recall."
    case .areaUnderCurve: "The area under the curve of two rates."
    case .best: "The best of one rate over the thresholds at which the other is reached."
    case .confusionMatrix: "How many samples of each class were taken for each class."
    }
  }

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    try options.text("reported_as", &reportedName, "The name that it is reported by; null for its own.")
    switch metric {
    case .accuracy, .meanSquaredError, .meanAbsoluteError, .rootMeanSquaredError: break
    case .binaryAccuracy(var threshold):
      try options.number("threshold", &threshold, "A score above it says yes.")
      metric = .binaryAccuracy(threshold: threshold)
    case .confusionMatrix(var threshold):
      try options.number("threshold", &threshold, "A single score above it says yes, class 1.")
      metric = .confusionMatrix(threshold: threshold)
    case .topK(var k):
      try options.integer("k", &k, in: .atLeast(1), "How many scores count.")
      metric = .topK(k)
    case .rate(let rate, var chosen):
      try options.numbers(
        "thresholds", &chosen.thresholds,
        "A score above it says yes; null is 0.5, or any score with top_k. Several give a number each.")
      try options.integer(
        "top_k", &chosen.topK, in: .atLeast(1), "Only so many of the largest scores of a sample say yes.")
      try options.integer(
        "class_id", swift: "classNumber", &chosen.classNumber, in: .atLeast(0), "The one class that is looked at.")
      try options.average(&chosen.average)
      metric = .rate(rate, chosen)
    case .count(let outcome, let usual):
      var thresholds: [Double]? = usual
      try options.numbers("thresholds", &thresholds, "A score above it says yes. Several give a number each.")
      metric = .count(outcome, thresholds: thresholds ?? usual)
    case .fBeta(var score):
      if hasBeta || score.beta != 1 {
        try options.number("beta", &score.beta, in: .above(0), "How much more recall counts than precision.")
      }
      try options.average(&score.average)
      try options.number(
        "threshold", &score.threshold, in: .above(0, upTo: 1),
        "A score above it says yes; null: the largest score of a sample does.")
      metric = .fBeta(score)
    case .areaUnderCurve(var area):
      try options.integer(
        "num_thresholds", swift: "thresholdCount", &area.thresholdCount, in: .within(2...100_000),
        "How many thresholds, evenly from 0 to 1, both included.")
      try options.choice(
        "curve", &area.curve, "Recall over false positive rate (ROC), precision over recall (PR), or PRGAIN.")
      try options.choice("summation_method", &area.summation, "How high the curve is between two thresholds.")
      try options.numbers("thresholds", &area.thresholds, "Thresholds of one's own between 0 and 1, in their place.")
      try options.flag(
        "multi_label", &area.isPerClass,
        "Whether each class has a curve of its own, and the mean of the areas counts; else all scores make one.")
      try options.numbers("label_weights", &area.labelWeights, "What each class weighs.")
      try options.flag("from_logits", &area.fromLogits, "Whether scores are logits, of which a sigmoid is taken.")
      metric = .areaUnderCurve(area)
    case .best(var best):
      try options.number(best.optionName, &best.value, needed: true, in: .within(0...1), "What has to be reached.")
      try options.integer(
        "num_thresholds", swift: "thresholdCount", &best.thresholdCount, in: .within(1...100_000),
        "How many thresholds, evenly from 0 to 1, both included.")
      try options.integer(
        "class_id", swift: "classNumber", &best.classNumber, in: .atLeast(0), "The one class that is looked at.")
      metric = .best(best)
    }
    if reportedName == metric.name { reportedName = nil }
    if let reportedName, reportedName.isEmpty || reportedName.utf8.contains(UInt8(ascii: "\n")) {
      throw CNNError(
        .invalidArgument,
        "\(option: "reported_as", swift: "metricNames") is '\(reportedName)'; expected a name in one line")
    }
    if options.purpose != .describing { try metric.validate() }
  }
}

extension OptionReader {
  /// A word for an average.
  private enum Word: String, CaseIterable { case none, micro, macro, weighted }

  /// "average": "none" is nil.
  fileprivate mutating func average(_ average: inout Average?) throws(CNNError) {
    var word = average.flatMap { Word(rawValue: $0.rawValue) } ?? .none
    try choice(
      "average", &word,
      "Over the answers for all classes together (micro), the mean over the classes (macro), weighted by how often they "
        + "are so (weighted), or a number for each class (none).")
    average = Average(rawValue: word.rawValue)
  }
}
