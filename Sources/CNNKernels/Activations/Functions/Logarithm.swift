import Glibc

/// The natural logarithm; that of a negative number is NaN
struct Logarithm: PlainActivationDefinition {
  static let bound = ActivationBound(relative: 1e-7)
  static let gradientBound = ActivationBound(relative: 1e-7)

  @inline(__always) func value(_ x: Vector) -> Vector {
    var result = Vector()
    for lane in 0..<8 { result[lane] = log(x[lane]) }
    return result
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy / x }
}
