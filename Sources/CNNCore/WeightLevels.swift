/// Which numbers the signed bytes of a weight stand for: `level * scale`, for each output channel or for all.
public struct WeightLevels: Hashable, Sendable {
  /// One scale, or one for each output channel.
  public let scales: [Float]
  /// The lowest level that occurs, -127 or -128; the highest is 127.
  public let minimum: Int8

  /// Levels with these scales.
  public init(scales: [Float], minimum: Int8 = -127) { (self.scales, self.minimum) = (scales, minimum) }

  /// Levels of which the highest stands for the largest magnitude of a channel, or of all.
  ///
  /// A channel without weights to tell apart, as one of zeros, has the largest scale of the others: its sums are its bias,
  /// which is measured in that scale then, as exactly as others are and as far from the ends of 32 bits.
  public init(ofLargest magnitudes: [Float]) {
    let scales = magnitudes.map { Self.ordinaryScale(ofLargest: $0) }, largest = scales.compactMap(\.self).max() ?? 1
    self.init(scales: scales.map { $0 ?? largest })
  }

  /// How far levels lie apart of which the highest stands for a magnitude, the largest there is; 1 where that is no ordinary
  /// number.
  public static func scale(ofLargest magnitude: Float) -> Float { ordinaryScale(ofLargest: magnitude) ?? 1 }

  private static func ordinaryScale(ofLargest magnitude: Float) -> Float? {
    let scale = magnitude / 127
    return scale.isNormal && (1 / scale).isNormal ? scale : nil
  }

  /// The scale of an output channel.
  @inline(__always)
  public func scale(_ output: Int) -> Float { scales[scales.count == 1 ? 0 : output] }

  /// The level nearest to a weight that is measured in its scale, halves to the even one; NaN is 0.
  @inline(__always)
  public func rounded(_ level: Float) -> Int8 {
    let level = level.rounded(.toNearestOrEven)
    return level > Float(minimum) ? (level < 127 ? Int8(level) : 127) : level.isNaN ? 0 : minimum
  }

  /// The levels of a weight whose first axis is that of output channels.
  public func round(_ weight: UnsafeBufferPointer<Float>, outputs: Int, into levels: UnsafeMutableBufferPointer<Int8>) {
    let size = weight.count / max(1, outputs)
    for index in 0..<min(weight.count, levels.count) { levels[index] = rounded(weight[index] / scale(index / size)) }
  }

  /// The numbers that levels stand for, in whose place they come.
  public func restore(_ levels: UnsafeMutableBufferPointer<Float>, outputs: Int) {
    let size = levels.count / max(1, outputs)
    for index in levels.indices { levels[index] *= scale(index / size) }
  }
}
