import CNNRuntime

/// A filter `[channels, size]` times a factor for each of its output channels, and the gradient of that.
public enum FilterScaling {
  /// `result[c, i] = filter[c, i] * factors[c]`; `result` may be `filter`.
  public static func scale(
    _ filter: UnsafePointer<Float>, by factors: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
    channels: Int, size: Int, workers: Workers
  ) {
    workers.forEachRange(of: channels, grain: Workers.grainOfRows(channels: size)) { range, _ in
      for channel in range {
        let factor = factors[channel]
        for index in channel * size..<(channel + 1) * size { result[index] = filter[index] * factor }
      }
    }
  }

  /// The gradient of the factors: `result[c]` is the sum of `filter[c, i] * gradient[c, i]`.
  public static func factorGradient(
    _ filter: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
    channels: Int, size: Int, workers: Workers
  ) {
    workers.forEachRange(of: channels, grain: Workers.grainOfRows(channels: size)) { range, _ in
      for channel in range {
        let (a, b) = (filter + channel * size, gradient + channel * size)
        let sum = ChunkedReduction.sum(count: size, workers: Workers(count: 1)) { Double(a[$0]) * Double(b[$0]) }
        result[channel] = Float(sum)
      }
    }
  }
}
