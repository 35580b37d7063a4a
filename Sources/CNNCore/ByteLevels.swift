/// Which numbers the values of a byte stand for: `(level - zeroPoint) * scale` (Jacob et al. 2018, equation 1).
public struct ByteLevels: Hashable, Sendable {
  /// How far neighbouring levels lie apart.
  public let scale: Float
  /// The level that stands for 0.
  public let zeroPoint: UInt8
  /// The lowest and the highest level that occur.
  public let minimum, maximum: UInt8

  /// Levels, checked.
  /// - Returns: nil unless the scale and its reciprocal are ordinary numbers above 0 and `minimum` is below `maximum`.
  public init?(scale: Float, zeroPoint: UInt8, minimum: UInt8 = 0, maximum: UInt8 = 255) {
    guard scale.isNormal, scale > 0, (1 / scale).isNormal, minimum < maximum else { return nil }
    (self.scale, self.zeroPoint, self.minimum, self.maximum) = (scale, zeroPoint, minimum, maximum)
  }

  /// The levels of which the lowest and the highest lie at the ends of a range that holds 0.
  /// - Returns: nil where the range has no width, or no ordinary one.
  public init?(lowest: Float, highest: Float) {
    let scale = (highest - lowest) / 255
    self.init(scale: scale, zeroPointNear: -lowest / scale)
  }

  /// All levels, of which the one nearest to a zero point stands for 0.
  /// - Returns: nil unless the scale and its reciprocal are ordinary numbers above 0, and the zero point is a number.
  public init?(scale: Float, zeroPointNear zeroPoint: Float) {
    guard !zeroPoint.isNaN else { return nil }
    self.init(scale: scale, zeroPoint: UInt8(min(max(zeroPoint.rounded(.toNearestOrEven), 0), 255)))
  }

  /// What `x` is multiplied by before `zeroPoint` is added.
  public var inverse: Float { 1 / scale }

  /// The level that is nearest to a number: `x / scale + zeroPoint` by one fused multiplication with the scale's reciprocal
  /// and addition, halves to the even level. NaN becomes the lowest.
  public func level(of x: Float) -> UInt8 {
    rounded(Float(zeroPoint).addingProduct(x, inverse))
  }

  /// The level nearest to a number that is measured in levels.
  public func rounded(_ level: Float) -> UInt8 {
    guard level >= Float(minimum) else { return minimum }
    return level >= Float(maximum) ? maximum : UInt8(level.rounded(.toNearestOrEven))
  }

  /// The number that a level stands for.
  public func value(of level: UInt8) -> Float { Float(Int(level) - Int(zeroPoint)) * scale }
}
