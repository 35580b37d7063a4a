/// `x * tanh(softplus(x))` (Misra 2020)
struct Mish: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 3e-7, absolute: 1e-30)
  static let gradientBound = ActivationBound(relative: 3e-7, absolute: 2e-7)

  // With e = exp(x), tanh(log(1 + e)) is n / (n + 2), n = e (e + 2); from 20 on it is 1.
  @inline(__always) private func parts(_ x: Vector) -> (e: Vector, n: Vector) {
    let e = ActivationMath.exponential(x.replacing(with: 20, where: x .> 20))
    return (e, e * (e + 2))
  }
  @inline(__always) func value(_ x: Vector) -> Vector {
    let n = parts(x).n
    return ActivationMath.heldBelow(x) * (n / (n + 2))
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let (e, n) = parts(x)
    let t = n / (n + 2)
    // (1 - t²) sigmoid(x), where 1 - t² is 4 (1 + e)² / (n + 2)².
    let root: Vector = 2 / (n + 2)
    let slope: Vector = e * (1 + e) * (root * root)
    return (dy * (t + x * slope)).replacing(with: dy, where: x .> 20)
  }
}
