import CNNCore
import CNNRuntime

/// How levels become that of their mean: their integer sum, less the zero point for each, times a multiplier, plus the
/// result's zero point, fused. Where the result is float, it is the mean of what they stand for.
public struct QuantizedMean: Hashable, Sendable {
  let zeroPoint: Int32
  let multiplier: Float
  let levels: ByteLevels?

  /// The mean of levels of `input`, as `levels`, or as a float.
  public init(_ input: ByteLevels, _ levels: ByteLevels?) {
    (zeroPoint, multiplier, self.levels) = (Int32(input.zeroPoint), input.scale * (levels?.inverse ?? 1), levels)
  }

  /// How many levels a sum may have.
  public static let largestCount = 1 << 22

  /// Stores what a sum becomes as a level, or a float.
  /// - Parameters:
  ///   - sum: of so many `terms`.
  ///   - inverseArea: one over what is divided by.
  ///   - index: which number of `y` it is.
  @inline(__always)
  func store(_ sum: Int32, terms: Int, inverseArea: Float, into y: UnsafeMutableRawPointer, at index: Int) {
    let centered = Float(sum &- zeroPoint &* Int32(truncatingIfNeeded: terms)), factor = multiplier * inverseArea
    guard let levels else { return y.storeBytes(of: centered * factor, toByteOffset: index * 4, as: Float.self) }
    let level = levels.rounded(Float(levels.zeroPoint).addingProduct(centered, factor))
    y.storeBytes(of: level, toByteOffset: index, as: UInt8.self)
  }
}

/// Pooling of NHWC levels: the definition.
public enum QuantizedPooling {
  /// The largest level of each window, or its mean.
  /// - Parameters:
  ///   - mean: nil for the largest.
  ///   - countsPadding: whether what lies around the image counts as zeros in a mean.
  public static func pool(
    _ x: UnsafePointer<UInt8>, mean: QuantizedMean?, countsPadding: Bool, into y: UnsafeMutableRawPointer,
    _ geometry: Pooling.Geometry, workers: Workers
  ) {
    let g = geometry, channels = g.channels
    workers.forEachRange(of: g.images * g.output.height) { range, _ in
      for line in range {
        let image = line / g.output.height, row = line % g.output.height
        let source = x + image * g.inputCount
        for column in 0..<g.output.width {
          let target = (line * g.output.width + column) * channels
          if let mean {
            let (rows, columns, inverseArea) = g.averaged(row, column, countsPadding)
            for channel in 0..<channels {
              var sum: Int32 = 0
              forEachTap(rows, columns, g) { sum &+= Int32(source[$0 * channels + channel]) }
              mean.store(
                sum, terms: max(0, rows.count) * max(0, columns.count), inverseArea: inverseArea, into: y,
                at: target + channel)
            }
          } else {
            let rows = g.rowTaps(row), columns = g.columnTaps(column)
            for channel in 0..<channels {
              var largest: UInt8 = 0
              forEachTap(rows, columns, g) { largest = max(largest, source[$0 * channels + channel]) }
              y.storeBytes(of: largest, toByteOffset: target + channel, as: UInt8.self)
            }
          }
        }
      }
    }
  }

  @inline(__always)
  private static func forEachTap(
    _ rows: Taps, _ columns: Taps, _ g: Pooling.Geometry, _ body: (_ pixel: Int) -> Void
  ) {
    for i in 0..<max(0, rows.count) {
      let line = (rows.first &+ i &* rows.step) &* g.input.width
      for j in 0..<max(0, columns.count) { body(line &+ columns.first &+ j &* columns.step) }
    }
  }
}
