import CNNRuntime
import Glibc

/// The divergence `Σ t log(t / p)` of each row from its target distribution, both clipped to `[1e-7, 1]`, as in
/// `keras.losses.kl_divergence`.
public enum KullbackLeiblerDivergence {
  /// Writes each row's loss (`perSample`: `[rows]`) from `prediction` and `targets`, `[rows, classes]` float32.
  public static func forward(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, perSample: UnsafeMutablePointer<Float>,
    rows: Int, classes: Int, workers: Workers
  ) {
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let prediction = prediction + row * classes
      let targets = targets + row * classes
      var sum = 0.0
      for c in 0..<classes {
        let target = Losses.clipped(targets[c], upper: 1)
        sum += Double(target * logf(target / Losses.clipped(prediction[c], upper: 1)))
      }
      perSample[row] = Float(sum)
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  public static func backward(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, coefficient: UnsafePointer<Float>,
    dPrediction: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let prediction = prediction + row * classes
      let targets = targets + row * classes
      let gradient = dPrediction + row * classes
      for c in 0..<classes {
        let p = prediction[c]
        let inside = Losses.isInsideClip(p, upper: 1)
        gradient[c] = inside ? -coefficient[row] * Losses.clipped(targets[c], upper: 1) / p : 0
      }
    }
  }
}
