import CNNCore

/// An activation on the way from integer sums to levels: made only of operations whose results IEEE 754 fixes to the last
/// bit, in one order, so that integers are the same on every processor. What only limits its operand is a limit of the
/// levels instead, and everything else is a table of 256 entries.
public enum ExactActivation: Hashable, Sendable {
  /// `x * sigmoid(x)`
  case silu
  /// `1 / (1 + exp(-x))`
  case sigmoid
  /// `x * relu6(x + 3) / 6`
  case hardSwish
  /// `relu6(x + 3) / 6`
  case hardSigmoid
  /// `alpha * x` at and below 0
  case leakyRelu(alpha: Float)

  /// The function with these constants, in the order of `ActivationFunction.constants`; nil where it is none of these.
  public init?(_ function: ActivationFunction, constants: [Double]) {
    switch function {
    case .silu: self = .silu
    case .sigmoid: self = .sigmoid
    case .hardSwish: self = .hardSwish
    case .hardSigmoid: self = .hardSigmoid
    case .leakyRelu where constants.dropFirst() == [0, .infinity]: self = .leakyRelu(alpha: Float(constants[0]))
    default: return nil
    }
  }

  /// `f(x)` of an `x` that is no NaN.
  public func value(_ x: Float) -> Float {
    switch self {
    case .silu: Self.silu(x)
    case .sigmoid: Self.sigmoid(x)
    case .hardSwish: x * Self.hardSigmoid(x)
    case .hardSigmoid: Self.hardSigmoid(x)
    case .leakyRelu(let alpha): x > 0 ? x : alpha * x
    }
  }

  /// The registers that generated code needs for itself.
  static let temporaryCount = 4

  /// `x / 2 + h(|x|)`, where `h(u)` is `u (sigmoid(u) - 1 / 2)`: in the pieces of `SiLUPieces` a polynomial of degree 3, to
  /// 2 parts in 10,000 of `x`, which a level of 256 does not show.
  private static func silu(_ x: Float) -> Float {
    let u = x.magnitude
    let place = SiLUPieces.shift.addingProduct(min(u, SiLUPieces.last), SiLUPieces.inverseWidth)
    let piece = Int(place.bitPattern & 7)
    var value = SiLUPieces.coefficients[0][piece]
    for coefficients in SiLUPieces.coefficients.dropFirst() { value = coefficients[piece].addingProduct(value, u) }
    return value.addingProduct(x, 0.5)
  }

  private static func hardSigmoid(_ x: Float) -> Float { min(max(x + 3, 0), 6) * (1 / 6) }

  /// To 1 part in 10,000, which a level of 256 does not show.
  ///
  /// exp(-x) = 2^t with t = -x / ln 2, which is 2^floor(t) times the minimax polynomial of degree 3 of 2^f, 0 <= f < 1. The
  /// reciprocal is guessed from the bits of the denominator and made better by two steps of Newton's.
  private static func sigmoid(_ x: Float) -> Float {
    let t = min(max(x * -1.442695, -126), 126)
    let floor = t.rounded(.down), f = t - floor
    var power = VectorCode.powerOfTwoCoefficients[0]
    for coefficient in VectorCode.powerOfTwoCoefficients.dropFirst() { power = coefficient.addingProduct(power, f) }
    // Adds to the exponent's bits.
    power = Float(bitPattern: power.bitPattern &+ UInt32(bitPattern: Int32(floor)) &<< 23)
    let denominator = power + 1
    var result = Float(bitPattern: reciprocalBits &- denominator.bitPattern)
    for _ in 0..<2 { result = result * Float(2).addingProduct(-denominator, result) }
    return result
  }

  /// The pieces of the function by which SiLU differs from `x / 2`, each around a multiple of the width. From the last one on
  /// it is `u / 2`.
  enum SiLUPieces {
    /// One over the width of a piece, and the middle of the last one.
    static let inverseWidth: Float = 1 / 1.32, last: Float = 9.24
    /// Added to a number below 2^22, it leaves the nearest whole number in the lowest bits.
    static let shift: Float = 0x1.8p23
    /// Of each piece, the highest power's first: those with the smallest error in proportion to `u`.
    static let coefficients: [[Float]] = [
      [-0.018139128, -0.047000427, -0.010934448, 0.0017324007, 0.0018104768, 0.0008188753, 0.0003041774, 0],
      [0.25358668, 0.29110318, 0.07980051, -0.037005015, -0.03690266, -0.019383648, -0.008326852, 0],
      [0, -0.0140502555, 0.40504596, 0.7656011, 0.75982004, 0.656446, 0.5771689, 0.5],
      [0, 0.001037851, -0.2802675, -0.65315175, -0.6363082, -0.4325782, -0.24285312, 0],
    ]
  }

  /// Minus the bits of a number this is the bits of its reciprocal to within 5 %.
  static let reciprocalBits: UInt32 = 0x7EF3_11C7
}
