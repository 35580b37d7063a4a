import CNNRuntime

/// What all losses share.
///
/// Each loss has `forward`, one loss for every row of a `[rows, classes]` prediction, and `backward`, the derivative by
/// the prediction of `Σ coefficient[row] * loss[row]`. Keras takes every loss over the last axis, so of a tensor with
/// more axes `rows` is the product of all the others. `dPrediction` may be the memory of the prediction.
public enum Losses {
  /// What a network's last layer gives.
  public enum Prediction: Sendable, Hashable, CaseIterable {
    /// Unbounded scores: softmax (or sigmoid) is part of the loss.
    case logits
    /// The output of softmax (or sigmoid).
    case probabilities
  }

  /// `Σ weight[i] * perSample[i] / count`, in double precision, in an order that depends on `count` alone.
  /// Without weights, the mean.
  ///
  /// As in Keras the divisor is the number of samples, not the sum of their weights. An empty array gives 0.
  public static func weightedMean(
    perSample: UnsafePointer<Float>, weight: UnsafePointer<Float>?, count: Int, workers: Workers
  ) -> Double {
    if count <= 0 { return 0 }
    guard let weight else {
      return ChunkedReduction.sum(count: count, workers: workers) { Double(perSample[$0]) } / Double(count)
    }
    return ChunkedReduction.sum(count: count, workers: workers) { Double(perSample[$0]) * Double(weight[$0]) }
      / Double(count)
  }

  /// Keras's `epsilon`: probabilities are held at least this far from 0 and 1 before a logarithm is taken.
  static let epsilon: Float = 1e-7
  /// The largest probability whose logarithm is taken.
  static let largestProbability: Float = 1 - epsilon

  /// `value` held between `epsilon` and `upper`; NaN stays NaN.
  @inline(__always)
  static func clipped(_ value: Float, upper: Float = largestProbability) -> Float {
    value < epsilon ? epsilon : value > upper ? upper : value
  }

  /// Whether a change of `value` passes through `clipped`. True for NaN, so that it is not hidden.
  @inline(__always)
  static func isInsideClip(_ value: Float, upper: Float = largestProbability) -> Bool {
    !(value < epsilon || value > upper)
  }
}
