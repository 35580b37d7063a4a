/// `1 / (1 + exp(-x))`
struct Sigmoid: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 2.5e-7, absolute: 1e-38)
  static let roundedBound = ActivationBound(relative: 1.6e-4, absolute: 1e-38)
  static let gradientBound = ActivationBound(relative: 3e-7, absolute: 2e-7)

  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.sigmoid(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let s = ActivationMath.sigmoid(x)
    return dy * (s * (1 - s))
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 3) { code, x, temporaries, _ in
        code.sigmoid(temporaries[0], x, temporaries[1], temporaries[2])
        code.copy(x, temporaries[0])
      },
      roundedValue: ActivationCode.Value(temporaryCount: 2) { code, x, temporaries, _ in
        code.roughSigmoid(x, x, temporaries[0], temporaries[1])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 3) { code, x, dy, t, _ in
        code.sigmoid(t[0], x, t[1], t[2])
        multiplyBySlope(code, dy, t)
      },
      roundedGradient: ActivationCode.Gradient(temporaryCount: 3) { code, x, dy, t, _ in
        code.roughSigmoid(t[0], x, t[1], t[2])
        multiplyBySlope(code, dy, t)
      })
  }

  /// dy *= s - s^2, of the sigmoid s in the first of the temporaries.
  private static func multiplyBySlope(_ code: VectorCode, _ dy: WideRegister, _ t: [WideRegister]) {
    code.copy(t[1], t[0])
    code.multiplySubtract(t[1], t[0], .register(t[0]))
    code.multiply(dy, dy, t[1])
  }
}
