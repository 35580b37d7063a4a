/// The error function, `2 Φ(√2 x) - 1`
struct Erf: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 2.5e-7)
  static let gradientBound = ActivationBound(relative: 5e-7, absolute: 1e-9)

  @inline(__always) func value(_ x: Vector) -> Vector {
    // Near 0, where 1 - (1 - erf x) cancels, the series; its next term is below 3e-8 of the result.
    let square = x * x
    var series = square * -8.548_327_0e-4 + 5.223_977_6e-3
    series = series * square - 2.686_617_1e-2
    series = series * square + 1.128_379_2e-1
    series = series * square - 3.761_263_9e-1
    series = series * square + 1.128_379_2
    let size = ActivationMath.absolute(x)
    let tail = ActivationMath.scaledErrorComplement(1 / (1 + size * 0.4)) * ActivationMath.exponential(0 - square)
    let far = (1 - tail).replacing(with: tail - 1, where: x .< 0)
    return far.replacing(with: series * x, where: size .< 0.5)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy * (ActivationMath.exponential(0 - x * x) * 1.128_379_17)
  }
}
