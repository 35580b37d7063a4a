/// The transcendental functions that activations need, eight floats at a time, by polynomials.
///
/// All are good for every float: infinities give the limit, NaN stays NaN.
enum ActivationMath {
  typealias Vector = SIMD8<Float>

  /// `exp(x)`, within 2 units in the last place, denormal results included.
  ///
  /// x = n ln 2 + r with |r| <= ln 2 / 2; the polynomial in r and the two-piece ln 2 are those of Cephes' `expf`
  /// (Moshier).
  @inline(__always)
  static func exponential(_ x: Vector) -> Vector {
    // Beyond these the result is infinity or 0 anyway. NaN passes through both comparisons.
    let (p, exponent) = reduced(x.replacing(with: 89, where: x .> 89).replacing(with: -104, where: x .< -104))
    // 2^n alone may be outside the floats (n is -150...128) where the product is not: multiply by two halves.
    let half = exponent &>> 1
    return (p + 1) * powerOfTwo(half) * powerOfTwo(exponent &- half)
  }

  /// `exp(x) - 1` for `x` of 0 or less (taken as 0 above it), without cancellation near 0.
  @inline(__always)
  static func exponentialMinusOne(_ x: Vector) -> Vector {
    let (p, exponent) = reduced(x.replacing(with: 0, where: x .> 0).replacing(with: -40, where: x .< -40))
    let power = powerOfTwo(exponent)
    return p * power + (power - 1)
  }

  /// `exp(x) = (p + 1) * 2^n`.
  @inline(__always)
  private static func reduced(_ x: Vector) -> (p: Vector, n: SIMD8<Int32>) {
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
    let magic: Float = 0x1.8p23
    let shifted = x * 1.442_695_04 + magic
    let n = shifted - magic
    let r = (x - n * 0.693_359_375) + n * 2.121_944_4e-4
    var p = r * 1.987_569_15e-4 + 1.398_199_95e-3
    p = p * r + 8.333_451_9e-3
    p = p * r + 4.166_579_6e-2
    p = p * r + 1.666_666_55e-1
    p = p * r + 0.5
    p = p * (r * r) + r
    return (p, unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- Int32(bitPattern: magic.bitPattern))
  }

  @inline(__always)
  private static func powerOfTwo(_ exponent: SIMD8<Int32>) -> Vector {
    unsafeBitCast((exponent &+ 127) &<< 23, to: Vector.self)
  }

  /// `1 / (1 + exp(-x))`
  @inline(__always)
  static func sigmoid(_ x: Vector) -> Vector { 1 / (1 + exponential(0 - x)) }

  /// `x`, or -1000 below that: times what is zero there it is zero, and so is the limit at -infinity, which times zero is NaN.
  @inline(__always)
  static func heldBelow(_ x: Vector) -> Vector { x.replacing(with: -1000, where: x .< -1000) }

  /// `log(1 + exp(x))`, within 4 units in the last place.
  ///
  /// The logarithm of `1 + z`, `z = exp(-|x|)`, is that of `1 + r` or of `2 * (1 + r)`, with r exact and small; the
  /// polynomial in r and the two-piece ln 2 are those of Cephes' `logf`.
  @inline(__always)
  static func softplus(_ x: Vector) -> Vector {
    let z = exponential(0 - absolute(x))
    let isLarge = z .> 0.414_213_56
    let r = z.replacing(with: (z - 1) * 0.5, where: isLarge)
    let exponent = Vector().replacing(with: 1, where: isLarge)
    var p = r * 7.037_683_63e-2 - 1.151_461_03e-1
    p = p * r + 1.167_699_87e-1
    p = p * r - 1.242_014_08e-1
    p = p * r + 1.424_932_28e-1
    p = p * r - 1.666_805_77e-1
    p = p * r + 2.000_071_48e-1
    p = p * r - 2.499_999_4e-1
    p = p * r + 3.333_333_12e-1
    let square = r * r
    let small = p * r * square - exponent * 2.121_944_4e-4 - square * 0.5
    let logarithm = (r + small) + exponent * 0.693_359_375
    return x.replacing(with: 0, where: x .< 0) + logarithm
  }

  /// The hyperbolic tangent, within 3 units in the last place.
  @inline(__always)
  static func tanh(_ x: Vector) -> Vector {
    let sign = unsafeBitCast(x, to: SIMD8<UInt32>.self) & 0x8000_0000
    let magnitude = absolute(x)
    // Near 0 the formula with exp cancels; this odd polynomial is that of Cephes' `tanhf`.
    let square = x * x
    var p = square * -5.704_988_7e-3 + 2.063_908_9e-2
    p = p * square - 5.373_971_6e-2
    p = p * square + 1.333_144_2e-1
    p = p * square - 3.333_328_2e-1
    let near = p * square * x + x
    let far = 1 - 2 / (exponential(magnitude + magnitude) + 1)
    let signed = unsafeBitCast(unsafeBitCast(far, to: SIMD8<UInt32>.self) | sign, to: Vector.self)
    return signed.replacing(with: near, where: magnitude .< 0.625)
  }

  /// The normal distribution function Φ(x) = (1 + erf(x / √2)) / 2 to 1e-7, and its density φ(x).
  ///
  /// erfc(z) = exp(-z²) P(t), t = 1 / (1 + 0.4 z) (the form of Abramowitz and Stegun 7.1.26); P is a minimax fit of
  /// degree 9 for 0 <= z <= 10.5 with relative error 6.6e-8, so the lower tail keeps its relative accuracy.
  @inline(__always)
  static func normalDistribution(_ x: Vector) -> (cumulative: Vector, density: Vector) {
    let bell = exponential(x * x * -0.5)
    let tail = scaledErrorComplement(1 / (1 + absolute(x) * (0.4 * 0.707_106_78))) * bell * 0.5
    return ((1 - tail).replacing(with: tail, where: x .< 0), bell * 0.398_942_28)
  }

  /// `(1 - erf(z)) exp(z^2)` for `z` of 0 or more, of `t = 1 / (1 + 0.4 z)`.
  @inline(__always)
  static func scaledErrorComplement(_ t: Vector) -> Vector {
    var p = t * 0.042_118_485_84 - 0.144_551_31
    p = p * t + 0.092_782_654_8
    p = p * t + 0.077_845_185_66
    p = p * t + 0.086_785_413_78
    p = p * t + 0.190_383_662_2
    p = p * t + 0.202_661_025_9
    p = p * t + 0.226_334_316_3
    p = p * t + 0.225_640_631_3
    return p * t
  }

  @inline(__always)
  static func absolute(_ x: Vector) -> Vector {
    unsafeBitCast(unsafeBitCast(x, to: SIMD8<UInt32>.self) & 0x7FFF_FFFF, to: Vector.self)
  }
}
