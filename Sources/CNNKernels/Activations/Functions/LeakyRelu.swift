/// `min(x, maximum)` above the threshold, `alpha * (x - threshold)` at and below it (Maas et al. 2013): every form of
/// Keras's `ReLU(max_value, negative_slope, threshold)`
struct LeakyRelu: ActivationDefinition {
  static let bound = ActivationBound(relative: 1e-7)
  static let gradientBound = ActivationBound(relative: 1e-7)

  let alpha: Float
  let threshold: Float
  let maximum: Float

  init(_ constants: SIMD4<Float>) { (alpha, threshold, maximum) = (constants[0], constants[1], constants[2]) }

  @inline(__always) func value(_ x: Vector) -> Vector {
    let upper = x.replacing(with: maximum, where: x .> maximum)
    return upper.replacing(with: (x - threshold) * alpha, where: x .<= threshold)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: 0, where: x .> maximum).replacing(with: dy * alpha, where: x .<= threshold)
  }
}
