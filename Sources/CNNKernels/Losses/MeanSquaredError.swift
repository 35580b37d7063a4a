/// The mean over each row of `(p - t)²`.
public enum MeanSquaredError {
  /// Writes each row's loss (`perSample`: `[rows]`) from `prediction` and `targets`, `[rows, classes]` float32.
  public static func forward(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, perSample: UnsafeMutablePointer<Float>,
    rows: Int, classes: Int, workers: Workers
  ) {
    Softmax.forEachRow(rows, classes, workers) { row in
      let prediction = prediction + row * classes
      let targets = targets + row * classes
      var sum = 0.0
      for c in 0..<classes {
        let difference = Double(prediction[c]) - Double(targets[c])
        sum += difference * difference
      }
      perSample[row] = Float(sum / Double(classes))
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  public static func backward(
    prediction: UnsafePointer<Float>, targets: UnsafePointer<Float>, coefficient: UnsafePointer<Float>,
    dPrediction: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    Softmax.forEachRow(rows, classes, workers) { row in
      let prediction = prediction + row * classes
      let targets = targets + row * classes
      let gradient = dPrediction + row * classes
      let share = 2 * coefficient[row] / Float(classes)
      for c in 0..<classes { gradient[c] = share * (prediction[c] - targets[c]) }
    }
  }
}
