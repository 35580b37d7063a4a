import Glibc

/// `x` to the power of `exponent`; a root of a negative number is NaN
struct Power: ActivationDefinition {
  static let bound = ActivationBound(relative: 1e-7)
  static let gradientBound = ActivationBound(relative: 1.5e-7)

  let exponent: Float

  init(_ constants: SIMD4<Float>) { exponent = constants[0] }

  @inline(__always) private func raised(_ x: Vector, to exponent: Float) -> Vector {
    switch exponent {
    case 0: return Vector(repeating: 1)
    case 1: return x
    case 2: return x * x
    case -1: return 1 / x
    case 0.5: return x.squareRoot()
    case -0.5: return 1 / x.squareRoot()
    default:
      var result = Vector()
      for lane in 0..<8 { result[lane] = pow(x[lane], exponent) }
      return result
    }
  }
  @inline(__always) func value(_ x: Vector) -> Vector { raised(x, to: exponent) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    exponent == 0 ? Vector() : dy * (raised(x, to: exponent - 1) * exponent)
  }
}
