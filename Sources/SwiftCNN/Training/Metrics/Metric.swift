import CNNCore
import CNNGraph

/// What is measured beside the loss, over all samples since the beginning of an epoch or evaluation.
///
/// Probabilities are compared with thresholds: where the loss takes logits, they are made probabilities first.
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
  /// The square root of the mean of squared differences.
  case rootMeanSquaredError
  /// Precision, recall or specificity: for each threshold, or for each class too where there is no average.
  case rate(Rate, RateOptions)
  /// How many answers are right or wrong in one of the four ways, for each threshold.
  case count(Outcome, thresholds: [Double])
  /// The harmonic mean of precision and recall, F1, and its weighted forms.
  case fBeta(FBetaScore)
  /// The area under the curve of two rates.
  case areaUnderCurve(AreaUnderCurve)
  /// The best of one rate over the thresholds at which another reaches a value.
  case best(BestRate)
  /// How many samples of each class were taken for each class: rows are true classes, columns predicted ones. Its one
  /// number is the share that is right. A single score is yes (class 1) where it is above the threshold.
  case confusionMatrix(threshold: Double)

  /// The name under which it is reported.
  public var name: String {
    switch self {
    case .topK(let k): "top_\(k)_accuracy"
    default: kind
    }
  }

  /// The name that options call it by.
  var kind: String {
    switch self {
    case .accuracy: "accuracy"
    case .binaryAccuracy: "binary_accuracy"
    case .topK: "top_k"
    case .meanSquaredError: "mean_squared_error"
    case .meanAbsoluteError: "mean_absolute_error"
    case .rootMeanSquaredError: "root_mean_squared_error"
    case .rate(let rate, _): rate.rawValue
    case .count(let outcome, _): outcome.rawValue
    case .fBeta(let score): score.beta == 1 ? "f1_score" : "fbeta_score"
    case .areaUnderCurve: "auc"
    case .best(let best): best.kind
    case .confusionMatrix: "confusion_matrix"
    }
  }

  /// Whether the targets must be shaped as the output.
  var needsDenseTargets: Bool {
    switch self {
    case .binaryAccuracy, .meanSquaredError, .meanAbsoluteError, .rootMeanSquaredError: true
    default: false
    }
  }

  /// Whether more of it is better.
  var growsWithSkill: Bool {
    switch self {
    case .meanSquaredError, .meanAbsoluteError, .rootMeanSquaredError, .count: false
    default: true
    }
  }

  /// Whether it is a mean over predictions.
  var isMean: Bool {
    switch self {
    case .accuracy, .binaryAccuracy, .topK, .meanSquaredError, .meanAbsoluteError: true
    default: false
    }
  }

  /// Throws `.invalidArgument` where a constant is out of its domain or the loss has other targets.
  func validate(with loss: LossFunction) throws(CNNError) {
    try validate()
    if needsDenseTargets, loss.hasLabelTargets {
      throw CNNError(
        .invalidArgument, "\(name) needs targets shaped as the output; \(loss.rawValue) has class numbers")
    }
  }

  /// Throws `.invalidArgument` where a constant is out of its domain.
  func validate() throws(CNNError) {
    switch self {
    case .topK(let k): try check(k >= 1, "k", k, "1 or more")
    case .binaryAccuracy(let threshold), .confusionMatrix(let threshold):
      try check(threshold.isFinite, "threshold", threshold, "a number")
    case .count(_, let thresholds): try check(thresholds: thresholds)
    case .rate(_, let options):
      if let thresholds = options.thresholds { try check(thresholds: thresholds) }
      if let k = options.topK { try check(k >= 1, "top_k", k, "1 or more") }
      try check(classNumber: options.classNumber)
    case .fBeta(let score):
      try check(score.beta > 0 && score.beta.isFinite, "beta", score.beta, "above 0")
      if let threshold = score.threshold {
        try check(threshold > 0 && threshold <= 1, "threshold", threshold, "above 0, and 1 at most")
      }
    case .areaUnderCurve(let area):
      try check(thresholdCount: area.thresholdCount, from: 2)
      if let thresholds = area.thresholds { try check(thresholds: thresholds) }
      for weight in area.labelWeights ?? [] {
        try check(weight >= 0 && weight.isFinite, "label_weights", weight, "0 or more each")
      }
    case .best(let best):
      try check((0...1).contains(best.value), best.optionName, best.value, "0 to 1")
      try check(thresholdCount: best.thresholdCount, from: 1)
      try check(classNumber: best.classNumber)
    case .accuracy, .meanSquaredError, .meanAbsoluteError, .rootMeanSquaredError: break
    }
  }

  private func check(
    _ isValid: Bool, _ name: String, swift: String? = nil, _ value: some CustomStringConvertible, _ expected: String
  ) throws(CNNError) {
    if isValid { return }
    throw CNNError(.invalidArgument, "\(kind): \(option: name, swift: swift) is \(value); expected \(expected)")
  }

  private func check(thresholds: [Double]) throws(CNNError) {
    try check(!thresholds.isEmpty, "thresholds", "empty", "a number or more")
    for threshold in thresholds { try check((0...1).contains(threshold), "thresholds", threshold, "0 to 1 each") }
  }

  private func check(thresholdCount count: Int, from least: Int) throws(CNNError) {
    try check((least...100_000).contains(count), "num_thresholds", swift: "thresholdCount", count, "\(least) to 100000")
  }

  private func check(classNumber: Int?) throws(CNNError) {
    if let classNumber { try check(classNumber >= 0, "class_id", swift: "classNumber", classNumber, "0 or more") }
  }
}

/// In which way a yes or no is right or wrong.
public enum Outcome: String, Sendable, CaseIterable {
  /// A yes that is so.
  case truePositives = "true_positives"
  /// A yes that is not so.
  case falsePositives = "false_positives"
  /// A no that is so.
  case trueNegatives = "true_negatives"
  /// A no that is not so.
  case falseNegatives = "false_negatives"
}

/// Shares of answers that are right.
public enum Rate: String, Sendable, CaseIterable {
  /// Of what was said to be so, what is.
  case precision
  /// Of what is so, what was said to be; sensitivity.
  case recall
  /// Of what is not so, what was said not to be.
  case specificity
}

/// How the numbers of the classes become one.
public enum Average: String, Sendable, CaseIterable {
  /// Counted over all classes together.
  case micro
  /// The mean.
  case macro
  /// The mean, each class weighing as much as it has true samples.
  case weighted
}

/// Which scores are taken for a yes, and what is reported, of precision, recall and specificity.
public struct RateOptions: Sendable, Equatable {
  /// Scores above the threshold say yes, and there is a number for each; nil: 0.5, or with `topK` any.
  public var thresholds: [Double]?
  /// Only so many of the largest scores of a prediction say yes.
  public var topK: Int?
  /// The one class that is looked at; nil: all.
  public var classNumber: Int?
  /// How the classes' numbers become one; nil: each is reported.
  public var average: Average? = .micro

  /// The defaults.
  public init() {}

  var decided: [Double] { thresholds ?? [topK == nil ? 0.5 : -1e10] }
}

/// `(1 + beta^2) * precision * recall / (beta^2 * precision + recall)`.
public struct FBetaScore: Sendable, Equatable {
  /// How much more recall counts than precision.
  public var beta = 1.0
  /// How the classes' numbers become one; nil: each is reported.
  public var average: Average?
  /// Scores above it say yes; nil: the largest of a prediction does.
  public var threshold: Double?

  /// The F1 score of each class.
  public init() {}
}

/// The area under the curve of two rates, from their values at many thresholds, as Keras's `AUC`.
public struct AreaUnderCurve: Sendable, Equatable {
  /// Which rates.
  public enum Curve: String, Sendable, CaseIterable {
    /// Recall over the false positive rate.
    case receiverOperating = "ROC"
    /// Precision over recall.
    case precisionRecall = "PR"
    /// Precision gain over recall gain (Flach and Kull 2015).
    case gain = "PRGAIN"
  }
  /// How high the curve is between two thresholds.
  public enum Summation: String, Sendable, CaseIterable {
    /// The mean of both ends; for precision and recall, the counts lie on a line (Davis and Goadrich 2006).
    case interpolation
    /// The larger end.
    case majoring
    /// The smaller end.
    case minoring
  }

  /// Which curve.
  public var curve = Curve.receiverOperating
  /// How it is summed.
  public var summation = Summation.interpolation
  /// How many thresholds there are, evenly from below 0 to above 1.
  public var thresholdCount = 200
  /// Thresholds of one's own in their place, between those two.
  public var thresholds: [Double]?
  /// Whether each class has an area of its own, of which the mean is reported; else one is made of all scores.
  public var isPerClass = false
  /// What each class weighs in that mean, or in the counts.
  public var labelWeights: [Double]?
  /// Whether scores are logits, of which a sigmoid is taken.
  public var fromLogits = false

  /// The defaults.
  public init() {}
}

/// The largest value of a rate over evenly spaced thresholds at which another has at least a value.
public struct BestRate: Sendable, Equatable {
  /// The rate that is reported, and the one that is bound.
  public var rate: Rate, bound: Rate
  /// What `bound` has to reach.
  public var value: Double
  /// How many thresholds there are from 0 to 1.
  public var thresholdCount = 200
  /// The one class that is looked at; nil: all scores.
  public var classNumber: Int?

  /// One of those four of `kinds`.
  init(_ rate: Rate, at bound: Rate, of value: Double) { (self.rate, self.bound, self.value) = (rate, bound, value) }

  /// The largest recall where the specificity is at least so much.
  public static func sensitivity(atSpecificity value: Double) -> BestRate {
    .init(.recall, at: .specificity, of: value)
  }
  /// The largest specificity where the recall is at least so much.
  public static func specificity(atSensitivity value: Double) -> BestRate {
    .init(.specificity, at: .recall, of: value)
  }
  /// The largest precision where the recall is at least so much.
  public static func precision(atRecall value: Double) -> BestRate { .init(.precision, at: .recall, of: value) }
  /// The largest recall where the precision is at least so much.
  public static func recall(atPrecision value: Double) -> BestRate { .init(.recall, at: .precision, of: value) }

  var kind: String {
    switch (rate, bound) {
    case (.recall, .specificity): "sensitivity_at_specificity"
    case (.specificity, _): "specificity_at_sensitivity"
    case (.precision, _): "precision_at_recall"
    case (.recall, _): "recall_at_precision"
    }
  }

  /// What the option for `value` is called.
  var optionName: String { kind == "specificity_at_sensitivity" ? "sensitivity" : bound.rawValue }
}
