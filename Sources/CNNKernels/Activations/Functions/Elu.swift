/// `x` above 0, `alpha * (exp(x) - 1)` at and below it (Clevert et al. 2016)
struct Elu: ActivationDefinition {
  static let bound = ActivationBound(relative: 1e-7)
  static let gradientBound = ActivationBound(relative: 1e-7)

  let alpha: Float

  init(_ constants: SIMD4<Float>) { self.init(alpha: constants[0]) }
  init(alpha: Float) { self.alpha = alpha }

  @inline(__always) func value(_ x: Vector) -> Vector {
    x.replacing(with: ActivationMath.exponentialMinusOne(x) * alpha, where: x .<= 0)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: dy * (ActivationMath.exponential(x) * alpha), where: x .<= 0)
  }
}
