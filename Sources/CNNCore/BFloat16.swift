/// A number of 16 bits with the range of a single and 8 bits of precision: the upper half of a `Float`.
///
/// It is a type to store, not to compute in. Two are equal if their bits are.
public struct BFloat16: Sendable, Hashable, BitwiseCopyable {
  /// Sign, 8 bits of exponent, 7 of fraction.
  public var bitPattern: UInt16

  /// The number with these bits.
  @inlinable
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// The number nearest to `value`, the even one of two that are as near; beyond the largest it is infinite. A NaN stays
  /// one, and becomes quiet.
  @inlinable
  public init(_ value: Float) {
    let bits = value.bitPattern
    let rounded = (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16
    // Rounding could carry a NaN's fraction away; cutting it could leave zero.
    let quiet = bits >> 16 | 0x40
    bitPattern = UInt16(truncatingIfNeeded: bits & 0x7FFF_FFFF > 0x7F80_0000 ? quiet : rounded)
  }

  /// Rounds every number of `source` to the place of the same index.
  /// - Precondition: both have the same count.
  public static func convert(
    _ source: UnsafeBufferPointer<Float>, to destination: UnsafeMutableBufferPointer<BFloat16>
  ) {
    precondition(source.count == destination.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    for index in 0..<source.count { to[index] = BFloat16(from[index]) }
  }

  /// Widens every number of `source` to the place of the same index, exactly.
  /// - Precondition: both have the same count.
  public static func convert(
    _ source: UnsafeBufferPointer<BFloat16>, to destination: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(source.count == destination.count)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    for index in 0..<source.count { to[index] = Float(from[index]) }
  }
}

extension Float {
  /// The value of a bfloat16, exactly.
  @inlinable
  public init(_ value: BFloat16) { self.init(bitPattern: UInt32(value.bitPattern) << 16) }
}
