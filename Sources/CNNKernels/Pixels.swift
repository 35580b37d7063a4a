import CNNRuntime

/// Images to the numbers a network reads, NHWC.
public enum Pixels {
  /// `y = (x - mean[c]) / standardDeviation[c]`, each operation rounded to float32.
  /// - Parameters:
  ///   - x: `[pixels, channels]` uint8, where `pixels` is batch times height times width.
  ///   - y: `[pixels, channels]` float32.
  ///   - mean: `[channels]` float32, in units of a pixel, 0 to 255.
  ///   - standardDeviation: `[channels]` float32, as the mean; not zero.
  public static func normalize(
    x: UnsafePointer<UInt8>, y: UnsafeMutablePointer<Float>, pixels: Int, channels: Int, mean: UnsafePointer<Float>,
    standardDeviation: UnsafePointer<Float>, workers: Workers
  ) {
    let rows = max(1, 4096 / max(channels, 1))
    // A whole number of periods of the vector loop below.
    let grain = (rows + 11) / 12 * 12
    workers.forEachRange(of: pixels, grain: grain) { range, _ in
      normalize(
        x + range.lowerBound * channels, y + range.lowerBound * channels, range.count, channels, mean,
        standardDeviation)
    }
  }

  /// `normalize` by the calling thread.
  static func normalize(
    _ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>, _ pixels: Int, _ channels: Int,
    _ mean: UnsafePointer<Float>, _ deviation: UnsafePointer<Float>
  ) {
    if channels >= 1 && channels <= 4 { return normalizeNarrow(x, y, pixels * channels, channels, mean, deviation) }
    for pixel in 0..<pixels {
      for c in 0..<channels { y[pixel * channels + c] = (Float(x[pixel * channels + c]) - mean[c]) / deviation[c] }
    }
  }

  /// `normalize` for 1 to 4 channels: they repeat within every 12 elements, which are three vectors.
  private static func normalizeNarrow(
    _ x: UnsafePointer<UInt8>, _ y: UnsafeMutablePointer<Float>, _ count: Int, _ channels: Int,
    _ mean: UnsafePointer<Float>, _ deviation: UnsafePointer<Float>
  ) {
    let mean0 = pattern(mean, channels, 0), deviation0 = pattern(deviation, channels, 0)
    let mean1 = pattern(mean, channels, 4), deviation1 = pattern(deviation, channels, 4)
    let mean2 = pattern(mean, channels, 8), deviation2 = pattern(deviation, channels, 8)
    var index = 0
    while index + 12 <= count {
      store((load(x + index) - mean0) / deviation0, y + index)
      store((load(x + index + 4) - mean1) / deviation1, y + index + 4)
      store((load(x + index + 8) - mean2) / deviation2, y + index + 8)
      index += 12
    }
    while index < count {
      y[index] = (Float(x[index]) - mean[index % channels]) / deviation[index % channels]
      index += 1
    }
  }

  /// The channels' values for the elements from `first` on.
  @inline(__always)
  private static func pattern(_ values: UnsafePointer<Float>, _ channels: Int, _ first: Int) -> SIMD4<Float> {
    SIMD4(
      values[first % channels], values[(first + 1) % channels], values[(first + 2) % channels],
      values[(first + 3) % channels])
  }

  @inline(__always)
  private static func load(_ x: UnsafePointer<UInt8>) -> SIMD4<Float> {
    SIMD4(Float(x[0]), Float(x[1]), Float(x[2]), Float(x[3]))
  }

  @inline(__always)
  private static func store(_ values: SIMD4<Float>, _ y: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(y).storeBytes(of: values, as: SIMD4<Float>.self)
  }
}
