/// `relu6(x + 3) / 6`
struct HardSigmoid: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1.5e-7)
  static let gradientBound = ActivationBound(relative: 1e-7)

  @inline(__always) func value(_ x: Vector) -> Vector { Relu6().value(x + 3) * (1 / 6) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    (dy * (1 / 6)).replacing(with: 0, where: (x .<= -3) .| (x .>= 3))
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 1) { code, x, temporaries, _ in
        code.hardSigmoid(x, x, temporaries[0])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 2) { code, x, dy, t, _ in
        code.multiply(dy, dy, code.constant(1 / 6, lanes: x.lanes))
        code.clear(dy, outside: -3, 3, x, t, includingEnds: true)
      })
  }
}
