/// `x * relu6(x + 3) / 6` (Howard et al. 2019)
struct HardSwish: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 2e-7)
  static let gradientBound = ActivationBound(relative: 2e-7, absolute: 1e-7)

  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.heldBelow(x) * HardSigmoid().value(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    (dy * (x * (1 / 3) + 0.5)).replacing(with: 0, where: x .<= -3).replacing(with: dy, where: x .>= 3)
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 2) { code, x, temporaries, _ in
        code.hardSigmoid(temporaries[1], x, temporaries[0])
        // Infinity times zero is not made of infinity; the other factor of NaN is NaN.
        code.maximum(x, x, code.constant(-3, lanes: x.lanes))
        code.multiply(x, x, temporaries[1])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 2) { code, x, dy, t, _ in
        // 0 up to -3, 1 from 3 on, and x / 3 + 1/2 between, which is 3/2 at 3.
        code.broadcast(t[0], code.assembler.constant(1 / 3))
        code.multiply(t[0], t[0], x)
        code.add(t[0], t[0], code.constant(0.5, lanes: x.lanes))
        code.broadcast(t[1], code.assembler.constant(3))
        code.replaceWithOne(t[0], whereNotBelow: t[1], x, mask: t[1])
        code.broadcast(t[1], code.assembler.constant(-3))
        code.clear(t[0], where: .notAbove, x, t[1], mask: t[1])
        code.multiply(dy, dy, t[0])
      })
  }
}
