import CNNRuntime

/// Rounding to the levels of whole numbers, channel by channel (Jacob et al. 2018).
public struct FakeQuantizeKernels: Sendable {
  private let scale, zero: [Float]
  private let minimum, maximum: Float
  private let count, channels, inner: Int

  /// - Parameters:
  ///   - scale: one number or one per channel.
  ///   - zero: one number or one per channel.
  ///   - count: the floats of a tensor.
  ///   - channels: how many there are, and `inner` how many floats each of them has side by side.
  public init(
    scale: [Float], zero: [Float], minimum: Float, maximum: Float, count: Int, channels: Int, inner: Int
  ) {
    (self.scale, self.zero, self.minimum, self.maximum) = (scale, zero, minimum, maximum)
    (self.count, self.channels, self.inner) = (count, channels, inner)
  }

  /// `y = (clip(round(x / scale) + zero, minimum, maximum) - zero) * scale`, halves rounded to the even number. NaN stays
  /// NaN. `y` may be `x`.
  public func apply(_ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, workers: Workers) {
    forEachRun(workers) { range, scale, zero in
      // What is added and taken away again leaves no room for digits behind the point, and is right up to 2^22: what is
      // larger is cut where no level is.
      let shift: Float = 12_582_912
      if max(minimum.magnitude, maximum.magnitude) + zero.magnitude <= 4_194_304 {
        for i in range { y[i] = number((x[i] / scale + shift) - shift, scale, zero) }
      } else {
        for i in range { y[i] = number((x[i] / scale).rounded(.toNearestOrEven), scale, zero) }
      }
    }
  }

  /// What a whole number of steps from 0 stands for.
  @inline(__always)
  private func number(_ steps: Float, _ scale: Float, _ zero: Float) -> Float {
    let level = steps + zero
    // Comparisons that leave NaN as it is.
    return ((level < minimum ? minimum : level > maximum ? maximum : level) - zero) * scale
  }

  /// `dx = dy` where `x` lies between the lowest and the highest level, else 0: rounding is passed over (straight-through,
  /// Bengio et al. 2013). `dx` may be `dy` or `x`.
  public func applyGradient(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    forEachRun(workers) { range, scale, zero in
      let lowest = (minimum - zero) * scale, highest = (maximum - zero) * scale
      for i in range { dx[i] = x[i] >= lowest && x[i] <= highest ? dy[i] : 0 }
    }
  }

  /// Calls `body` with ranges of floats of one scale and zero.
  @inline(__always)
  private func forEachRun(_ workers: Workers, _ body: (_ range: Range<Int>, _ scale: Float, _ zero: Float) -> Void) {
    let isPlain = scale.count == 1 && zero.count == 1
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      if isPlain { return body(range, scale[0], zero[0]) }
      var start = range.lowerBound
      while start < range.upperBound {
        let channel = start / inner % channels, end = min(range.upperBound, (start / inner + 1) * inner)
        body(start..<end, scale[scale.count == 1 ? 0 : channel], zero[zero.count == 1 ? 0 : channel])
        start = end
      }
    }
  }
}
