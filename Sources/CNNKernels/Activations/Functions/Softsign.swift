/// `x / (1 + |x|)` (Bergstra et al. 2009)
struct Softsign: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1.5e-7)
  static let gradientBound = ActivationBound(relative: 3e-7, absolute: 4e-39)

  @inline(__always) func value(_ x: Vector) -> Vector {
    // The limit at infinity is 1, which infinity / infinity is not.
    let x = x.replacing(with: 1e30, where: x .> 1e30).replacing(with: -1e30, where: x .< -1e30)
    return x / (1 + ActivationMath.absolute(x))
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let divisor = 1 + ActivationMath.absolute(x)
    return dy / (divisor * divisor)
  }
}
