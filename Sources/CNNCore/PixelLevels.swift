/// Which numbers the bytes of a picture stand for: `(pixel - zero point) * scale`, with a zero point for each channel.
public struct PixelLevels: Hashable, Sendable {
  /// How far neighbouring levels lie apart.
  public let scale: Float
  /// The pixel of each channel that stands for 0.
  public let zeroPoints: [UInt8]

  /// Levels, checked.
  /// - Returns: nil unless the scale and its reciprocal are ordinary numbers above 0.
  public init?(scale: Float, zeroPoints: [UInt8]) {
    guard ByteLevels(scale: scale, zeroPoint: 0) != nil else { return nil }
    (self.scale, self.zeroPoints) = (scale, zeroPoints)
  }

  /// The levels of each channel.
  public var channels: [ByteLevels] { zeroPoints.compactMap { ByteLevels(scale: scale, zeroPoint: $0) } }
}
