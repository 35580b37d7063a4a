/// `exp(x)`
struct Exponential: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1e-7)
  static let gradientBound = ActivationBound(relative: 1e-7)

  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.exponential(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy * ActivationMath.exponential(x) }
}
