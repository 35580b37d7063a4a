/// `x * sigmoid(x)`, also called swish (Ramachandran et al. 2017)
struct Silu: PlainActivationDefinition {
  // The code's sigmoid is nowhere below 6e-39, which 88 times is what it gives far below zero.
  static let bound = ActivationBound(relative: 2.5e-7, absolute: 6e-37)
  static let roundedBound = ActivationBound(relative: 1.6e-4, absolute: 2e-36)
  static let gradientBound = ActivationBound(relative: 1e-6, absolute: 3e-7)

  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.heldBelow(x) * ActivationMath.sigmoid(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let s = ActivationMath.sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 3) { code, x, temporaries, _ in
        // Not x itself below this, since the sigmoid there is not 0 but 6e-39.
        code.broadcast(temporaries[0], code.assembler.constant(VectorCode.lowestExponent))
        code.maximum(x, temporaries[0], x)
        code.sigmoid(temporaries[0], x, temporaries[1], temporaries[2], isHeld: true)
        code.multiply(x, x, temporaries[0])
      },
      roundedValue: ActivationCode.Value(temporaryCount: 3) { code, x, temporaries, _ in
        code.roughSigmoid(temporaries[0], x, temporaries[1], temporaries[2])
        // Infinity times zero is not made of infinity; the sigmoid of NaN is NaN.
        code.maximum(x, x, code.constant(VectorCode.lowestExponent, lanes: x.lanes))
        code.multiply(x, x, temporaries[0])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 3) { code, x, dy, t, _ in
        code.sigmoid(t[0], x, t[1], t[2])
        multiplyBySlope(code, x, dy, t)
      },
      roundedGradient: ActivationCode.Gradient(temporaryCount: 3) { code, x, dy, t, _ in
        code.roughSigmoid(t[0], x, t[1], t[2])
        multiplyBySlope(code, x, dy, t)
      })
  }

  /// dy *= s (1 + x (1 - s)) = s + x (s - s^2), of the sigmoid s in the first of the temporaries.
  private static func multiplyBySlope(_ code: VectorCode, _ x: WideRegister, _ dy: WideRegister, _ t: [WideRegister]) {
    code.copy(t[1], t[0])
    code.multiplySubtract(t[1], t[0], .register(t[0]))
    code.maximum(t[2], x, code.constant(VectorCode.lowestExponent, lanes: x.lanes))
    code.multiplyAdd(t[0], t[2], t[1])
    code.multiply(dy, dy, t[0])
  }
}
