/// One step of an optimizer over flat float32 arrays: a parameter, its gradient, and the optimizer's own arrays ("slots"),
/// all of `count` elements and updated in place. Slots start as zeros.
///
/// The formulas are PyTorch's. Settings are doubles, and constants such as `1 - beta` are formed in double precision and
/// rounded once, as there. Every gradient is first multiplied by `gradientScale` and held within `±gradientLimit`, so
/// that clipping costs no pass of its own. Every element is computed alone: the result does not depend on the number of workers.
public enum OptimizerUpdates {
  /// How parameters are pulled toward zero.
  public enum WeightDecay: Sendable, Hashable {
    /// Not at all.
    case none
    /// The derivative of `strength / 2 * Σ p²` is added to the gradient.
    case l2(strength: Double)
    /// The parameter is multiplied by `1 - learningRate * strength` before the step (Loshchilov and Hutter 2019).
    case decoupled(strength: Double)

    /// What multiplies the parameter when it is added to the gradient.
    var gradientTerm: Float {
      if case .l2(let strength) = self { Float(strength) } else { 0 }
    }

    /// What multiplies the parameter before the step.
    func shrinkage(learningRate: Double) -> Float {
      if case .decoupled(let strength) = self { Float(1 - learningRate * strength) } else { 1 }
    }
  }

  /// `g` held within `±limit`; NaN stays NaN.
  @inline(__always)
  static func limited(_ g: Float, _ limit: Float) -> Float { g > limit ? limit : g < -limit ? -limit : g }

  /// The square root of a number that is not negative.
  ///
  /// Said by way of the magnitude, since the compiler must set C's `errno` for a negative one, and that keeps it from
  /// computing four roots at once.
  @inline(__always)
  static func root(_ x: Float) -> Float { x.magnitude.squareRoot() }

  /// Calls `body` for every index of an array, in parallel where it is long.
  @inline(__always)
  static func forEachElement(_ count: Int, _ workers: Workers, _ body: (Int) -> Void) {
    workers.forEachRange(of: count, grain: 8192) { range, _ in
      for index in range { body(index) }
    }
  }

  /// `average = decay * average + (1 - decay) * p`: the exponential moving average of the weights.
  public static func movingAverage(
    _ average: UnsafeMutablePointer<Float>, of parameter: UnsafePointer<Float>, decay: Double, count: Int,
    workers: Workers
  ) {
    let keep = Float(decay)
    let take = Float(1 - decay)
    forEachElement(count, workers) { average[$0] = keep * average[$0] + take * parameter[$0] }
  }

  /// `x = x * factor`.
  public static func scale(_ x: UnsafeMutablePointer<Float>, by factor: Float, count: Int, workers: Workers) {
    forEachElement(count, workers) { x[$0] *= factor }
  }

  /// `Σ x²` in double precision, with the same bits for every number of workers.
  public static func sumOfSquares(_ x: UnsafePointer<Float>, count: Int, workers: Workers) -> Double {
    ChunkedReduction.sum(count: count, workers: workers) { Double(x[$0]) * Double(x[$0]) }
  }

  /// The L2 norm of several arrays taken as one vector, with the same bits for every number of workers.
  public static func globalNorm(
    of arrays: UnsafeBufferPointer<UnsafeBufferPointer<Float>>, workers: Workers
  ) -> Double {
    var sum = 0.0
    for array in arrays {
      if let base = array.baseAddress { sum += sumOfSquares(base, count: array.count, workers: workers) }
    }
    return sum.squareRoot()
  }
}
