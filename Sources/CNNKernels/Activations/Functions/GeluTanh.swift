/// The approximation of `gelu` by a hyperbolic tangent, `x / 2 * (1 + tanh(√(2/π) (x + 0.044715 x³)))`
struct GeluTanh: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1e-6, absolute: 1e-10)
  static let gradientBound = ActivationBound(relative: 3e-7, absolute: 1e-7)

  // (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its accuracy in the lower tail.
  private static let factor: Float = 1.595_769_121_605_730_7  // 2 √(2/π)
  private static let cubic: Float = 0.044_715

  /// `exp(-2 u)`. Beyond ±10 the sigmoid is 0 or 1, and there nothing overflows.
  @inline(__always) private func decay(_ x: Vector) -> Vector {
    ActivationMath.exponential(x * (x * x * Self.cubic + 1) * -Self.factor)
  }
  @inline(__always) private func held(_ x: Vector) -> Vector {
    x.replacing(with: 10, where: x .> 10).replacing(with: -10, where: x .< -10)
  }
  @inline(__always) func value(_ x: Vector) -> Vector {
    // Not x itself below -10, since the sigmoid there is not 0 but 1e-38.
    x.replacing(with: -10, where: x .< -10) / (1 + decay(held(x)))
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let x = held(x)
    let e = decay(x)
    let s: Vector = 1 / (1 + e)
    let slope: Vector = (x * x * (3 * Self.cubic) + 1) * Self.factor
    let tail: Vector = s * (s * e)
    return dy * (s + x * tail * slope)
  }
}
