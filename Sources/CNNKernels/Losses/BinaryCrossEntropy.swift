import CNNRuntime
import Glibc

/// Cross-entropy of independent yes-or-no questions: the mean over each row of `-(t log p + (1 - t) log(1 - p))`.
///
/// With label smoothing `ε` the target is `t * (1 - ε) + ε / 2`. Probabilities are clipped to `[1e-7, 1 - 1e-7]`, as in
/// `keras.losses.binary_crossentropy`.
public enum BinaryCrossEntropy {
  /// Writes each row's loss.
  /// - Parameters:
  ///   - prediction: `[rows, classes]` float32, logits or probabilities as `kind` says.
  ///   - targets: `[rows, classes]` float32, 0 to 1.
  ///   - labelSmoothing: in `[0, 1]`.
  ///   - perSample: `[rows]` float32, the result.
  public static func forward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, targets: UnsafePointer<Float>,
    labelSmoothing: Float = 0, perSample: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    let scale = 1 - labelSmoothing
    let offset = labelSmoothing / 2
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let prediction = prediction + row * classes
      let targets = targets + row * classes
      var sum = 0.0
      switch kind {
      case .logits:
        // log(1 + exp(x)) - t x, without overflow.
        for c in 0..<classes {
          let x = prediction[c]
          let target = targets[c] * scale + offset
          let positive: Float = x < 0 ? 0 : x
          sum += Double(positive - x * target + log1pf(expf(-abs(x))))
        }
      case .probabilities:
        for c in 0..<classes {
          let p = Losses.clipped(prediction[c])
          let target = targets[c] * scale + offset
          sum -= Double(target * logf(p) + (1 - target) * logf(1 - p))
        }
      }
      perSample[row] = Float(sum / Double(classes))
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  /// The other arguments are those of `forward`.
  public static func backward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, targets: UnsafePointer<Float>,
    labelSmoothing: Float = 0, coefficient: UnsafePointer<Float>, dPrediction: UnsafeMutablePointer<Float>,
    rows: Int, classes: Int, workers: Workers
  ) {
    let scale = 1 - labelSmoothing
    let offset = labelSmoothing / 2
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let prediction = prediction + row * classes
      let targets = targets + row * classes
      let gradient = dPrediction + row * classes
      let share = coefficient[row] / Float(classes)
      switch kind {
      case .logits:
        for c in 0..<classes {
          let target = targets[c] * scale + offset
          gradient[c] = share * (1 / (1 + expf(-prediction[c])) - target)
        }
      case .probabilities:
        for c in 0..<classes {
          let p = prediction[c]
          let target = targets[c] * scale + offset
          gradient[c] = Losses.isInsideClip(p) ? share * (p - target) / (p * (1 - p)) : 0
        }
      }
    }
  }
}
