/// `min(max(x, 0), 6)`
struct Relu6: PlainActivationDefinition {
  static let bound = ActivationBound.exact
  static let gradientBound = ActivationBound.exact

  @inline(__always) func value(_ x: Vector) -> Vector {
    x.replacing(with: 0, where: x .< 0).replacing(with: 6, where: x .> 6)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: 0, where: (x .<= 0) .| (x .>= 6))
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 1) { code, x, temporaries, _ in
        code.clamp(x, 0, 6, temporaries[0])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 2) { code, x, dy, t, _ in
        code.clear(dy, outside: 0, 6, x, t, includingEnds: true)
      })
  }
}
