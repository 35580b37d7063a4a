/// `min(max(x, minimum), maximum)`
struct Clip: ActivationDefinition {
  static let bound = ActivationBound.exact
  static let gradientBound = ActivationBound.exact

  let minimum: Float
  let maximum: Float

  init(_ constants: SIMD4<Float>) { (minimum, maximum) = (constants[0], constants[1]) }

  @inline(__always) func value(_ x: Vector) -> Vector {
    x.replacing(with: minimum, where: x .< minimum).replacing(with: maximum, where: x .> maximum)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: 0, where: (x .< minimum) .| (x .> maximum))
  }

  static var code: ActivationCode? {
    ActivationCode(
      value: ActivationCode.Value(temporaryCount: 1) { code, x, temporaries, constants in
        code.clamp(x, constants[0], constants[1], temporaries[0])
      },
      gradient: ActivationCode.Gradient(temporaryCount: 2) { code, x, dy, t, constants in
        code.clear(dy, outside: constants[0], constants[1], x, t, includingEnds: false)
      })
  }
}
