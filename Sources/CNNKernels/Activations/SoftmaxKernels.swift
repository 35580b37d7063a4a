import CNNRuntime
import Glibc

/// Softmax over the last axis: `y[r, c] = exp(x[r, c]) / Σ exp(x[r, ·])`, float32.
public enum SoftmaxKernels {
  /// Writes the softmax of every row of `x` to `y` (both `[rows, classes]`; they may be the same memory).
  ///
  /// A row with a NaN or a positive infinity becomes NaN.
  public static func forward(
    x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    forEachRow(rows, classes, workers) { row in
      let y = y + row * classes
      let reciprocal = Float(1 / exponentials(of: x + row * classes, into: y, classes: classes))
      for c in 0..<classes { y[c] *= reciprocal }
    }
  }

  /// Writes `dx = y * (dy - Σ y dy)` for every row, where `y` is the output of `forward`
  /// (all `[rows, classes]`; `dx` may be the memory of `dy` or `y`).
  public static func backward(
    y: UnsafePointer<Float>, dy: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, rows: Int, classes: Int,
    workers: Workers
  ) {
    forEachRow(rows, classes, workers) { row in
      let y = y + row * classes
      let dy = dy + row * classes
      let dx = dx + row * classes
      var product = 0.0
      for c in 0..<classes { product += Double(y[c]) * Double(dy[c]) }
      let mean = Float(product)
      for c in 0..<classes { dx[c] = y[c] * (dy[c] - mean) }
    }
  }

  /// Writes `x - log Σ exp(x)` of every row to `y` (both `[rows, classes]`; they may be the same memory).
  public static func logarithm(
    x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    forEachRow(rows, classes, workers) { row in
      let x = x + row * classes
      let y = y + row * classes
      // The maximum is taken off first: the logarithm of the sum may be too large for a difference of floats.
      let maximum = maximum(of: x, count: classes)
      let logSum = Float(log(sumOfExponentials(x, classes, maximum) { _, _, _ in }))
      for c in 0..<classes { y[c] = (x[c] - maximum) - logSum }
    }
  }

  /// Writes `dx = dy - exp(y) Σ dy` for every row, where `y` is the output of `logarithm`
  /// (all `[rows, classes]`; `dx` may be the memory of `dy` or `y`).
  public static func logarithmBackward(
    y: UnsafePointer<Float>, dy: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>, rows: Int, classes: Int,
    workers: Workers
  ) {
    forEachRow(rows, classes, workers) { row in
      let y = y + row * classes
      let dy = dy + row * classes
      let dx = dx + row * classes
      var sum = 0.0
      for c in 0..<classes { sum += Double(dy[c]) }
      let total = Float(sum)
      for c in 0..<classes { dx[c] = dy[c] - expf(y[c]) * total }
    }
  }

  /// Calls `body` for each row, in parallel where there is enough to do.
  @inline(__always)
  static func forEachRow(_ rows: Int, _ classes: Int, _ workers: Workers, _ body: (Int) -> Void) {
    workers.forEachRange(of: rows, grain: max(1, 2048 / max(classes, 1))) { range, _ in
      for row in range { body(row) }
    }
  }

  /// Writes `exp(x - max x)` to `y` and returns its sum.
  @inline(__always)
  static func exponentials(of x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, classes: Int) -> Double {
    sumOfExponentials(x, classes, maximum(of: x, count: classes)) { index, exponentials, count in
      if count == 8 {
        UnsafeMutableRawPointer(y + index).storeBytes(of: exponentials, as: SIMD8<Float>.self)
      } else {
        for lane in 0..<count { y[index + lane] = exponentials[lane] }
      }
    }
  }

  /// `log Σ exp(x)` in double precision, without overflow.
  @inline(__always)
  static func logSumOfExponentials(_ x: UnsafePointer<Float>, classes: Int) -> Double {
    let maximum = maximum(of: x, count: classes)
    return Double(maximum) + log(sumOfExponentials(x, classes, maximum) { _, _, _ in })
  }

  /// `Σ exp(x - maximum)`; the terms are given to `use(index of the first, terms, how many of them)` on the way.
  @inline(__always)
  private static func sumOfExponentials(
    _ x: UnsafePointer<Float>, _ count: Int, _ maximum: Float, _ use: (Int, SIMD8<Float>, Int) -> Void
  ) -> Double {
    var sum = 0.0
    var index = 0
    while index + 8 <= count {
      let values = UnsafeRawPointer(x + index).loadUnaligned(as: SIMD8<Float>.self)
      let exponentials = ActivationMath.exponential(values - maximum)
      use(index, exponentials, 8)
      sum += Double(exponentials.sum())
      index += 8
    }
    if index < count {
      // exp(-inf) = 0 adds nothing.
      var values = SIMD8<Float>(repeating: -.infinity)
      for lane in 0..<(count - index) { values[lane] = x[index + lane] }
      let exponentials = ActivationMath.exponential(values - maximum)
      use(index, exponentials, count - index)
      sum += Double(exponentials.sum())
    }
    return sum
  }

  /// The largest element, NaN left out; negative infinity when there is none.
  @inline(__always)
  static func maximum(of x: UnsafePointer<Float>, count: Int) -> Float {
    var lanes = SIMD8<Float>(repeating: -.infinity)
    var index = 0
    while index + 8 <= count {
      let values = UnsafeRawPointer(x + index).loadUnaligned(as: SIMD8<Float>.self)
      lanes.replace(with: values, where: values .> lanes)
      index += 8
    }
    var largest = lanes.max()
    while index < count {
      if x[index] > largest { largest = x[index] }
      index += 1
    }
    return largest
  }
}
