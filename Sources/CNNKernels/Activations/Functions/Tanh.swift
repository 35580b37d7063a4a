/// The hyperbolic tangent
struct Tanh: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 2e-7)
  static let gradientBound = ActivationBound(relative: 3e-7, absolute: 1e-7)

  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.tanh(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let t = ActivationMath.tanh(x)
    return dy * (1 - t * t)
  }
}
