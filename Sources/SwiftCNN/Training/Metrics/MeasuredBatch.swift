import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime
import Glibc

/// A batch's predictions and targets, to be measured.
struct MeasuredBatch {
  /// `[rows, classes]`.
  let scores: UnsafePointer<Float>
  let rows, classes: Int
  /// `[rows]`, or `[rows, classes]`.
  let targets: ScoreHistogram.Targets
  /// The rows of which each sample has as many.
  let samples: Int
  /// `[samples]`; nil for 1.
  var weights: UnsafePointer<Float>?
  /// Of what scores become probabilities; nil where they are that already.
  var logits: Logits?
  let workers: Workers

  /// What is taken of logits.
  enum Logits { case softmax, sigmoid }

  /// The weight of a sample.
  func weight(_ sample: Int) -> Double { weights.map { Double($0[sample]) } ?? 1 }

  /// The same with probabilities in `memory`, which has room for the scores.
  func probabilities(in memory: Memory, _ logits: Logits) -> MeasuredBatch {
    let count = rows * classes, result = memory.base.assumingMemoryBound(to: Float.self)
    switch logits {
    case .softmax: SoftmaxKernels.forward(x: scores, y: result, rows: rows, classes: classes, workers: workers)
    case .sigmoid: for index in 0..<count { result[index] = 1 / (1 + expf(-scores[index])) }
    }
    return MeasuredBatch(
      scores: UnsafePointer(result), rows: rows, classes: classes, targets: targets, samples: samples, weights: weights,
      logits: nil, workers: workers)
  }

  /// Some of the rows as a batch of one sample.
  func rows(_ range: Range<Int>) -> MeasuredBatch {
    let targets: ScoreHistogram.Targets =
      switch targets {
      case .labels(let labels): .labels(labels + range.lowerBound)
      case .values(let values): .values(values + range.lowerBound * classes)
      }
    return MeasuredBatch(
      scores: scores + range.lowerBound * classes, rows: range.count, classes: classes, targets: targets, samples: 1,
      weights: nil, logits: logits, workers: workers)
  }

  /// The mean that a metric takes of the rows: a share of right ones, or of squared or absolute differences.
  func mean(of metric: Metric) -> Double {
    switch (metric, targets) {
    case (.accuracy, .labels(let labels)):
      share(MetricCounts.correct(scores: scores, labels: labels, rows: rows, classes: classes, workers: workers))
    case (.accuracy, .values(let values)) where classes == 1: binaryAccuracy(values, logits == nil ? 0.5 : 0)
    case (.accuracy, .values(let values)):
      share(MetricCounts.correct(scores: scores, targets: values, rows: rows, classes: classes, workers: workers))
    case (.binaryAccuracy(let threshold), .values(let values)): binaryAccuracy(values, Float(threshold))
    case (.topK(let k), .labels(let labels)):
      share(
        MetricCounts.correctInTop(k, scores: scores, labels: labels, rows: rows, classes: classes, workers: workers))
    case (.topK(let k), .values(let values)):
      share(
        MetricCounts.correctInTop(k, scores: scores, targets: values, rows: rows, classes: classes, workers: workers))
    case (.meanSquaredError, .values(let values)), (.rootMeanSquaredError, .values(let values)):
      mean(.squared, values)
    case (.meanAbsoluteError, .values(let values)): mean(.absolute, values)
    default: .nan
    }
  }

  private func share(_ right: Int) -> Double { Double(right) / Double(rows) }

  private func binaryAccuracy(_ targets: UnsafePointer<Float>, _ threshold: Float) -> Double {
    let count = rows * classes
    let right = MetricCounts.correctBinary(
      scores: scores, targets: targets, threshold: threshold, count: count, workers: workers)
    return Double(right) / Double(count)
  }

  private func mean(_ loss: DifferenceLoss, _ targets: UnsafePointer<Float>) -> Double {
    loss.mean(prediction: scores, targets: targets, count: rows * classes, workers: workers)
  }

  /// The class that a row is taken for, and the true one: of a single score, 1 where it is above the threshold.
  func classes(ofRow row: Int, threshold: Double) -> (truth: Int, prediction: Int) {
    func largest(_ values: UnsafePointer<Float>) -> Int {
      if classes == 1 { return values[0] > Float(threshold) ? 1 : 0 }
      var best = 0
      for index in 0..<classes where values[index] > values[best] { best = index }
      return best
    }
    let prediction = largest(scores + row * classes)
    switch targets {
    case .labels(let labels): return (Int(labels[row]), prediction)
    case .values(let values): return (largest(values + row * classes), prediction)
    }
  }
}
