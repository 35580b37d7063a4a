import CNNRuntime
import Glibc

/// Cross-entropy against a distribution over classes: `-Σ t log p` of each row.
///
/// With label smoothing `ε` the target is `t * (1 - ε) + ε / classes` (Szegedy et al. 2016, section 7). Probabilities are
/// divided by their sum and clipped to `[1e-7, 1 - 1e-7]`, as in `keras.ops.categorical_crossentropy`.
public enum CategoricalCrossEntropy {
  /// Writes each row's loss.
  /// - Parameters:
  ///   - prediction: `[rows, classes]` float32, logits or probabilities as `kind` says.
  ///   - targets: `[rows, classes]` float32; rows need not sum to 1.
  ///   - labelSmoothing: in `[0, 1]`.
  ///   - perSample: `[rows]` float32, the result.
  public static func forward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, targets: UnsafePointer<Float>,
    labelSmoothing: Float = 0, perSample: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    let smoothing = Smoothing(labelSmoothing, classes: classes)
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let targets = targets + row * classes
      perSample[row] = CrossEntropyRow.loss(prediction + row * classes, kind, classes) {
        targets[$0] * smoothing.scale + smoothing.offset
      }
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  /// The other arguments are those of `forward`.
  public static func backward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, targets: UnsafePointer<Float>,
    labelSmoothing: Float = 0, coefficient: UnsafePointer<Float>, dPrediction: UnsafeMutablePointer<Float>,
    rows: Int, classes: Int, workers: Workers
  ) {
    let smoothing = Smoothing(labelSmoothing, classes: classes)
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let targets = targets + row * classes
      CrossEntropyRow.gradient(
        prediction + row * classes, kind, classes, coefficient[row], into: dPrediction + row * classes
      ) {
        targets[$0] * smoothing.scale + smoothing.offset
      }
    }
  }
}

/// Cross-entropy against one class a row: `CategoricalCrossEntropy` with one-hot targets that are never written out.
///
/// Keras's TensorFlow backend renormalises sparse probabilities after clipping instead of before; its PyTorch and JAX
/// backends do as here.
public enum SparseCategoricalCrossEntropy {
  /// Writes each row's loss.
  /// - Parameters:
  ///   - prediction: `[rows, classes]` float32, logits or probabilities as `kind` says.
  ///   - labels: `[rows]` int32, each in `0..<classes` (see `InputChecks.firstInvalidLabel`).
  ///   - labelSmoothing: in `[0, 1]`.
  ///   - perSample: `[rows]` float32, the result.
  public static func forward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, labels: UnsafePointer<Int32>,
    labelSmoothing: Float = 0, perSample: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    let smoothing = Smoothing(labelSmoothing, classes: classes)
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let label = Int(labels[row])
      perSample[row] = CrossEntropyRow.loss(prediction + row * classes, kind, classes) {
        $0 == label ? smoothing.scale + smoothing.offset : smoothing.offset
      }
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  /// The other arguments are those of `forward`.
  public static func backward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, labels: UnsafePointer<Int32>,
    labelSmoothing: Float = 0, coefficient: UnsafePointer<Float>, dPrediction: UnsafeMutablePointer<Float>,
    rows: Int, classes: Int, workers: Workers
  ) {
    let smoothing = Smoothing(labelSmoothing, classes: classes)
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let label = Int(labels[row])
      CrossEntropyRow.gradient(
        prediction + row * classes, kind, classes, coefficient[row], into: dPrediction + row * classes
      ) {
        $0 == label ? smoothing.scale + smoothing.offset : smoothing.offset
      }
    }
  }
}

/// The line through which smoothing sends a target.
private struct Smoothing {
  let scale: Float
  let offset: Float

  init(_ amount: Float, classes: Int) {
    scale = 1 - amount
    offset = amount / Float(classes)
  }
}

/// Cross-entropy of one row, for any way of asking for the target of a class.
private enum CrossEntropyRow {
  @inline(__always)
  static func loss(
    _ prediction: UnsafePointer<Float>, _ kind: Losses.Prediction, _ classes: Int, target: (Int) -> Float
  ) -> Float {
    var loss = 0.0
    switch kind {
    case .logits:
      let logSum = SoftmaxKernels.logSumOfExponentials(prediction, classes: classes)
      for c in 0..<classes {
        let target = target(c)
        // A class of no weight may have a logit of minus infinity.
        loss += target == 0 ? 0 : Double(target) * (logSum - Double(prediction[c]))
      }
      // Without a target of weight a NaN logit would go unseen.
      if logSum.isNaN { loss = .nan }
    case .probabilities:
      let sum = sum(prediction, classes)
      for c in 0..<classes {
        let target = target(c)
        loss -= target == 0 ? 0 : Double(target * logf(Losses.clipped(prediction[c] / sum)))
      }
      if sum.isNaN { loss = .nan }
    }
    return Float(loss)
  }

  @inline(__always)
  static func gradient(
    _ prediction: UnsafePointer<Float>, _ kind: Losses.Prediction, _ classes: Int, _ coefficient: Float,
    into gradient: UnsafeMutablePointer<Float>, target: (Int) -> Float
  ) {
    switch kind {
    case .logits:
      // d/dx_j of Σ t (log Σ exp(x) - x) is softmax_j Σ t - t_j.
      var targetSum = 0.0
      for c in 0..<classes { targetSum += Double(target(c)) }
      let sum = SoftmaxKernels.exponentials(of: prediction, into: gradient, classes: classes)
      let scale = Float(targetSum / sum)
      for c in 0..<classes { gradient[c] = coefficient * (gradient[c] * scale - target(c)) }
    case .probabilities:
      // With q = p / Σ p: d/dp_j is (g_j - Σ g q) / Σ p, where g_j = -t_j / q_j, or 0 where q_j is clipped.
      let sum = sum(prediction, classes)
      var unclippedTargets = 0.0
      for c in 0..<classes where Losses.isInsideClip(prediction[c] / sum) { unclippedTargets += Double(target(c)) }
      let common = Float(unclippedTargets)
      for c in 0..<classes {
        let q = prediction[c] / sum
        let own = Losses.isInsideClip(q) ? target(c) / q : 0
        gradient[c] = coefficient * (common - own) / sum
      }
    }
  }

  @inline(__always)
  private static func sum(_ values: UnsafePointer<Float>, _ count: Int) -> Float {
    var sum = 0.0
    for index in 0..<count { sum += Double(values[index]) }
    return Float(sum)
  }
}
