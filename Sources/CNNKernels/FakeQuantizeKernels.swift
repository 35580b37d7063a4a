import CNNRuntime

/// Rounding to the levels of whole numbers, channel by channel (Jacob et al. 2018).
public enum FakeQuantizeKernels {
  /// `y = (clip(round(x / scale) + zero, minimum, maximum) - zero) * scale` for `count` floats with the channels last,
  /// halves rounded to the even number. NaN stays NaN. `y` may be `x`.
  /// - Parameters:
  ///   - scale: one number or one per channel.
  ///   - zero: one number or one per channel.
  public static func apply(
    scale: [Float], zero: [Float], minimum: Float, maximum: Float, channels: Int, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      if scale.count == 1 && zero.count == 1 {
        let (scale, zero) = (scale[0], zero[0])
        for i in range { y[i] = rounded(x[i], scale, zero, minimum, maximum) }
      } else {
        var channel = range.lowerBound % channels
        for i in range {
          y[i] = rounded(
            x[i], scale[scale.count == 1 ? 0 : channel], zero[zero.count == 1 ? 0 : channel], minimum, maximum)
          channel = channel + 1 == channels ? 0 : channel + 1
        }
      }
    }
  }

  @inline(__always)
  private static func rounded(_ x: Float, _ scale: Float, _ zero: Float, _ minimum: Float, _ maximum: Float) -> Float {
    let level = (x / scale).rounded(.toNearestOrEven) + zero
    // Comparisons that leave NaN as it is.
    return ((level < minimum ? minimum : level > maximum ? maximum : level) - zero) * scale
  }
}
