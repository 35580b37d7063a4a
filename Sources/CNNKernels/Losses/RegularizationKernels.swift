import CNNRuntime

/// Penalties for large weights, as Keras's `L1L2`.
public enum RegularizationKernels {
  /// `l1 * Σ|w| + l2 * Σw²`, in double precision, with the same bits for every number of workers.
  public static func penalty(_ w: UnsafePointer<Float>, l1: Double, l2: Double, count: Int, workers: Workers) -> Double
  {
    let absolute =
      l1 == 0 ? 0 : ChunkedReduction.sum(count: count, workers: workers) { Double(w[$0].magnitude) }
    let squares =
      l2 == 0 ? 0 : ChunkedReduction.sum(count: count, workers: workers) { Double(w[$0]) * Double(w[$0]) }
    return l1 * absolute + l2 * squares
  }

  /// `dw = factor * (l1 * sign(w) + 2 * l2 * w)`, with 0 as the sign of 0.
  public static func gradient(
    _ w: UnsafePointer<Float>, l1: Float, l2: Float, factor: Float, into dw: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) {
    let (step, slope) = (factor * l1, factor * 2 * l2)
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for index in range {
        let value = w[index]
        let sign: Float = value > 0 ? step : value < 0 ? -step : 0
        dw[index] = sign + slope * value
      }
    }
  }
}
