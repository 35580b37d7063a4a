/// `log(1 + exp(x))` (Dugas et al. 2001)
struct Softplus: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1.5e-7)
  static let gradientBound = ActivationBound(relative: 2e-7, absolute: 2e-39)

  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.softplus(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy * ActivationMath.sigmoid(x) }
}
