import CNNCore
import CNNRuntime

/// How levels become that of their mean: their integer sum, less the zero point for each, times a multiplier, plus the
/// result's zero point, fused.
public struct QuantizedMean: Hashable, Sendable {
  let zeroPoint: Int32
  let multiplier: Float
  let levels: ByteLevels

  /// The mean of levels of `input`, as `levels`.
  public init(_ input: ByteLevels, _ levels: ByteLevels) {
    (zeroPoint, multiplier, self.levels) = (Int32(input.zeroPoint), input.scale * levels.inverse, levels)
  }

  /// How many levels a sum may have.
  public static let largestCount = 1 << 22

  /// - Parameters:
  ///   - sum: of so many `terms`.
  ///   - inverseArea: one over what is divided by.
  @inline(__always)
  func level(_ sum: Int32, terms: Int, inverseArea: Float) -> UInt8 {
    let centered = sum &- zeroPoint &* Int32(truncatingIfNeeded: terms)
    return levels.rounded(Float(levels.zeroPoint).addingProduct(Float(centered), multiplier * inverseArea))
  }
}

/// Pooling of NHWC levels: the definition.
public enum QuantizedPooling {
  /// The largest level of each window, or the level of its mean.
  /// - Parameters:
  ///   - mean: nil for the largest.
  ///   - countsPadding: whether what lies around the image counts as zeros in a mean.
  public static func pool(
    _ x: UnsafePointer<UInt8>, mean: QuantizedMean?, countsPadding: Bool, into y: UnsafeMutablePointer<UInt8>,
    _ geometry: Pooling.Geometry, workers: Workers
  ) {
    let g = geometry, channels = g.channels
    workers.forEachRange(of: g.images * g.output.height) { range, _ in
      for line in range {
        let image = line / g.output.height, row = line % g.output.height
        let source = x + image * g.inputCount
        for column in 0..<g.output.width {
          let target = y + (line * g.output.width + column) * channels
          if let mean {
            let (rows, columns, inverseArea) = g.averaged(row, column, countsPadding)
            for channel in 0..<channels {
              var sum: Int32 = 0
              forEachTap(rows, columns, g) { sum &+= Int32(source[$0 * channels + channel]) }
              target[channel] = mean.level(
                sum, terms: max(0, rows.count) * max(0, columns.count), inverseArea: inverseArea)
            }
          } else {
            let rows = g.rowTaps(row), columns = g.columnTaps(column)
            for channel in 0..<channels {
              var largest: UInt8 = 0
              forEachTap(rows, columns, g) { largest = max(largest, source[$0 * channels + channel]) }
              target[channel] = largest
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
