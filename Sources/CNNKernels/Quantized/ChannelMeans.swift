import CNNRuntime

/// The mean of each channel over many runs, as sums and a number of pixels.
public enum ChannelMeans {
  /// The floats of a state: the channels' sums, then how many pixels there were.
  public static func stateCount(channels: Int) -> Int { channels + 1 }

  /// Adds the pixels of a tensor to a state.
  /// - Parameters:
  ///   - x: `[pixels, channels]`.
  ///   - state: what was known before; `result` is what is known then.
  ///   - scratch: a double for each worker and channel.
  public static func add(
    _ x: UnsafePointer<Float>, pixels: Int, channels: Int, to state: UnsafePointer<Float>,
    into result: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Double>, workers: Workers
  ) {
    scratch.update(repeating: 0, count: workers.count * channels)
    workers.forEachRange(of: pixels, grain: 16) { range, worker in
      let sums = scratch + worker * channels
      for pixel in range {
        let row = x + pixel * channels
        for channel in 0..<channels { sums[channel] += Double(row[channel]) }
      }
    }
    for channel in 0..<channels {
      let sum = (0..<workers.count).reduce(0.0) { $0 + scratch[$1 * channels + channel] }
      result[channel] = state[channel] + Float(sum)
    }
    result[channels] = state[channels] + Float(pixels)
  }
}
