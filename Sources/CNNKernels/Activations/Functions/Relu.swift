/// `max(x, 0)`
struct Relu: PlainActivationDefinition {
  static let bound = ActivationBound.exact
  static let gradientBound = ActivationBound.exact

  @inline(__always) func value(_ x: Vector) -> Vector { x.replacing(with: 0, where: x .< 0) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy.replacing(with: 0, where: x .<= 0) }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 1) { code, x, temporaries, _ in
        // The second operand is the result where one is NaN.
        code.zero(temporaries[0])
        code.maximum(x, temporaries[0], x)
      },
      gradient: ActivationCode.Gradient(temporaryCount: 1) { code, x, dy, temporaries, _ in
        code.zero(temporaries[0])
        code.clear(dy, where: .notAbove, x, temporaries[0], mask: temporaries[0])
      })
  }
}
