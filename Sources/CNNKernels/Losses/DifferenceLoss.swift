import CNNRuntime
import Glibc

/// Losses of the difference `d = p - t` alone: the mean over each row of a function of it.
public enum DifferenceLoss: Sendable, Hashable {
  /// `d²`
  case squared
  /// `|d|`, with 0 as the derivative at 0
  case absolute
  /// `d² / 2` up to `|d| = delta`, and on from there along the tangent (Huber 1964)
  case huber(delta: Double)
  /// `log cosh d`
  case logCosh

  /// Writes each row's loss (`perSample`: `[rows]`) from `prediction` and `targets`, `[rows, classes]` float32.
  public func forward(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, perSample: UnsafeMutablePointer<Float>,
    rows: Int, classes: Int, workers: Workers
  ) {
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      var sum = 0.0
      for index in row * classes..<(row + 1) * classes {
        sum += value(Double(prediction[index]) - Double(targets[index]))
      }
      perSample[row] = Float(sum / Double(classes))
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  public func backward(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, coefficient: UnsafePointer<Float>,
    dPrediction: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let share = coefficient[row] / Float(classes)
      for index in row * classes..<(row + 1) * classes {
        dPrediction[index] = share * slope(prediction[index] - targets[index])
      }
    }
  }

  /// The mean over `count` elements, with the same bits for every number of workers.
  public func mean(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, count: Int, workers: Workers
  ) -> Double {
    ChunkedReduction.sum(count: count, workers: workers) { value(Double(prediction[$0]) - Double(targets[$0])) }
      / Double(max(1, count))
  }

  @inline(__always)
  private func value(_ d: Double) -> Double {
    let size = d.magnitude
    switch self {
    case .squared: return d * d
    case .absolute: return size
    case .huber(let delta): return size <= delta ? d * d / 2 : delta * (size - delta / 2)
    case .logCosh: return size + log1p(exp(-2 * size)) - M_LN2
    }
  }

  @inline(__always)
  private func slope(_ d: Float) -> Float {
    switch self {
    case .squared: return 2 * d
    case .absolute: return d > 0 ? 1 : d < 0 ? -1 : d  // NaN stays NaN.
    case .huber(let delta):
      let delta = Float(delta)
      return d > delta ? delta : d < -delta ? -delta : d
    case .logCosh: return tanhf(d)
    }
  }
}
