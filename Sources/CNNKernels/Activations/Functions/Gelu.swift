/// `x * Φ(x)` with the exact normal distribution function (Hendrycks and Gimpel 2016)
struct Gelu: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1e-6, absolute: 1e-10)
  static let gradientBound = ActivationBound(relative: 6e-7, absolute: 2e-7)

  @inline(__always) func value(_ x: Vector) -> Vector {
    ActivationMath.heldBelow(x) * ActivationMath.normalDistribution(x).cumulative
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let normal = ActivationMath.normalDistribution(x)
    return dy * (normal.cumulative + x * normal.density)
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 4) { code, x, t, _ in
        // x Φ(x) = max(x, 0) - |x| Φ(-|x|)
        code.normalBell(t[1], magnitude: t[0], denominator: t[2], x, t[3])
        code.multiply(t[1], t[1], t[0])
        code.reciprocal(t[3], t[2], temporary: t[0])
        code.scaledNormalTail(t[0], t[3])
        code.multiply(t[0], t[0], t[1])
        code.zero(t[1])
        code.maximum(x, t[1], x)
        code.subtract(x, x, t[0])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 5) { code, x, dy, t, _ in
        // Φ(x) + x φ(x): below 0 it is s = Φ(-|x|) - |x| φ(x), and 1 - s = s + (1 - 2 s) from there on.
        code.normalBell(t[1], magnitude: t[0], denominator: t[2], x, t[3])
        code.reciprocal(t[3], t[2], temporary: t[4])
        code.scaledNormalTail(t[2], t[3])
        code.multiply(t[0], t[0], code.constant(0.398_942_28, lanes: x.lanes))
        code.subtract(t[2], t[2], t[0])
        code.multiply(t[2], t[2], t[1])
        code.broadcast(t[0], code.assembler.constant(1))
        code.subtract(t[0], t[0], t[2])
        code.subtract(t[0], t[0], t[2])
        code.zero(t[1])
        code.clear(t[0], where: .below, x, t[1], mask: t[1])
        code.add(t[2], t[2], t[0])
        code.multiply(dy, dy, t[2])
      })
  }
}
