import CNNCore
import CNNRuntime
import Glibc

/// Activation functions, element by element.
///
/// `constants` are those of `ActivationFunction.constants`, in that order; other functions look at none.
public enum Activation {
  /// `y[i] = f(x[i])` for `i` in `0..<count`. `y` may be `x`.
  public static func forward(
    _ function: ActivationFunction, constants: SIMD4<Float>, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    switch function {
    case .relu: forward(Relu(), x, y, count, workers)
    case .relu6: forward(Relu6(), x, y, count, workers)
    case .leakyRelu: forward(LeakyRelu(constants), x, y, count, workers)
    case .elu: forward(Elu(alpha: constants[0]), x, y, count, workers)
    case .selu: forward(Selu(), x, y, count, workers)
    case .silu: forward(Silu(), x, y, count, workers)
    case .sigmoid: forward(Sigmoid(), x, y, count, workers)
    case .hardSwish: forward(HardSwish(), x, y, count, workers)
    case .hardSigmoid: forward(HardSigmoid(), x, y, count, workers)
    case .gelu: forward(Gelu(), x, y, count, workers)
    case .geluTanh: forward(GeluTanh(), x, y, count, workers)
    case .tanh: forward(Tanh(), x, y, count, workers)
    case .softplus: forward(Softplus(), x, y, count, workers)
    case .softsign: forward(Softsign(), x, y, count, workers)
    case .exponential: forward(Exponential(), x, y, count, workers)
    case .mish: forward(Mish(), x, y, count, workers)
    case .clip: forward(Clip(minimum: constants[0], maximum: constants[1]), x, y, count, workers)
    case .erf: forward(Erf(), x, y, count, workers)
    case .logarithm: forward(Logarithm(), x, y, count, workers)
    case .power: forward(Power(exponent: constants[0]), x, y, count, workers)
    }
  }

  /// `dx[i] = dy[i] * f'(x[i])` for `i` in `0..<count`, from the input `x` of the forward pass. `dx` may be `dy`.
  ///
  /// Where f has a corner the derivative is PyTorch's: that of the flat side (relu at 0; relu6 at 0 and 6; hard sigmoid
  /// at -3 and 3; hard swish 0 at -3 and 1 at 3), that of the lower side for leaky_relu and elu, and 1 at the ends of a
  /// clip.
  public static func backward(
    _ function: ActivationFunction, constants: SIMD4<Float>, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    into dx: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    switch function {
    case .relu: backward(Relu(), x, dy, dx, count, workers)
    case .relu6: backward(Relu6(), x, dy, dx, count, workers)
    case .leakyRelu: backward(LeakyRelu(constants), x, dy, dx, count, workers)
    case .elu: backward(Elu(alpha: constants[0]), x, dy, dx, count, workers)
    case .selu: backward(Selu(), x, dy, dx, count, workers)
    case .silu: backward(Silu(), x, dy, dx, count, workers)
    case .sigmoid: backward(Sigmoid(), x, dy, dx, count, workers)
    case .hardSwish: backward(HardSwish(), x, dy, dx, count, workers)
    case .hardSigmoid: backward(HardSigmoid(), x, dy, dx, count, workers)
    case .gelu: backward(Gelu(), x, dy, dx, count, workers)
    case .geluTanh: backward(GeluTanh(), x, dy, dx, count, workers)
    case .tanh: backward(Tanh(), x, dy, dx, count, workers)
    case .softplus: backward(Softplus(), x, dy, dx, count, workers)
    case .softsign: backward(Softsign(), x, dy, dx, count, workers)
    case .exponential: backward(Exponential(), x, dy, dx, count, workers)
    case .mish: backward(Mish(), x, dy, dx, count, workers)
    case .clip: backward(Clip(minimum: constants[0], maximum: constants[1]), x, dy, dx, count, workers)
    case .erf: backward(Erf(), x, dy, dx, count, workers)
    case .logarithm: backward(Logarithm(), x, dy, dx, count, workers)
    case .power: backward(Power(exponent: constants[0]), x, dy, dx, count, workers)
    }
  }

  private static func forward(
    _ f: some ActivationDefinition, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int,
    _ workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      var i = range.lowerBound
      while i &+ 8 <= range.upperBound {
        let value = f.value(UnsafeRawPointer(x + i).loadUnaligned(as: Vector.self))
        UnsafeMutableRawPointer(y + i).storeBytes(of: value, as: Vector.self)
        i &+= 8
      }
      let rest = range.upperBound &- i
      if rest > 0 { storeFirst(rest, of: f.value(loadFirst(rest, x + i)), y + i) }
    }
  }

  private static func backward(
    _ f: some ActivationDefinition, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    _ dx: UnsafeMutablePointer<Float>, _ count: Int, _ workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      var i = range.lowerBound
      while i &+ 8 <= range.upperBound {
        let gradient = f.gradient(
          UnsafeRawPointer(x + i).loadUnaligned(as: Vector.self),
          UnsafeRawPointer(dy + i).loadUnaligned(as: Vector.self))
        UnsafeMutableRawPointer(dx + i).storeBytes(of: gradient, as: Vector.self)
        i &+= 8
      }
      let rest = range.upperBound &- i
      if rest > 0 { storeFirst(rest, of: f.gradient(loadFirst(rest, x + i), loadFirst(rest, dy + i)), dx + i) }
    }
  }

  private static func loadFirst(_ count: Int, _ pointer: UnsafePointer<Float>) -> Vector {
    var vector = Vector()
    for lane in 0..<count { vector[lane] = pointer[lane] }
    return vector
  }

  private static func storeFirst(_ count: Int, of vector: Vector, _ pointer: UnsafeMutablePointer<Float>) {
    for lane in 0..<count { pointer[lane] = vector[lane] }
  }
}

private typealias Vector = ActivationMath.Vector

/// One row of the table of activations: the function, and `dy` times its derivative.
private protocol ActivationDefinition {
  func value(_ x: Vector) -> Vector
  func gradient(_ x: Vector, _ dy: Vector) -> Vector
}

private struct Relu: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { x.replacing(with: 0, where: x .< 0) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy.replacing(with: 0, where: x .<= 0) }
}

private struct Relu6: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector {
    x.replacing(with: 0, where: x .< 0).replacing(with: 6, where: x .> 6)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: 0, where: (x .<= 0) .| (x .>= 6))
  }
}

private struct Sigmoid: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.sigmoid(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let s = ActivationMath.sigmoid(x)
    return dy * (s * (1 - s))
  }
}

private struct Silu: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { x * ActivationMath.sigmoid(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let s = ActivationMath.sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))
  }
}

private struct HardSigmoid: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { Relu6().value(x + 3) * (1 / 6) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    (dy * (1 / 6)).replacing(with: 0, where: (x .<= -3) .| (x .>= 3))
  }
}

private struct HardSwish: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { x * HardSigmoid().value(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    (dy * (x * (1 / 3) + 0.5)).replacing(with: 0, where: x .<= -3).replacing(with: dy, where: x .>= 3)
  }
}

private struct Gelu: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { x * ActivationMath.normalDistribution(x).cumulative }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let normal = ActivationMath.normalDistribution(x)
    return dy * (normal.cumulative + x * normal.density)
  }
}

private struct Tanh: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.tanh(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let t = ActivationMath.tanh(x)
    return dy * (1 - t * t)
  }
}

private struct LeakyRelu: ActivationDefinition {
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

private struct Elu: ActivationDefinition {
  let alpha: Float

  @inline(__always) func value(_ x: Vector) -> Vector {
    x.replacing(with: ActivationMath.exponentialMinusOne(x) * alpha, where: x .<= 0)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: dy * (ActivationMath.exponential(x) * alpha), where: x .<= 0)
  }
}

private struct Selu: ActivationDefinition {
  private static let scale: Float = 1.050_700_987_355_480_5
  private static let elu = Elu(alpha: 1.673_263_242_354_377_3)

  @inline(__always) func value(_ x: Vector) -> Vector { Self.elu.value(x) * Self.scale }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { Self.elu.gradient(x, dy) * Self.scale }
}

private struct GeluTanh: ActivationDefinition {
  // (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its accuracy in the lower tail.
  private static let factor: Float = 1.595_769_121_605_730_7  // 2 √(2/π)
  private static let cubic: Float = 0.044_715

  /// `exp(-2 u)`. Beyond ±10 the sigmoid is 0 or 1, and there nothing overflows.
  @inline(__always) private func decay(_ x: Vector) -> Vector {
    ActivationMath.exponential(x * (x * x * Self.cubic + 1) * -Self.factor)
  }
  @inline(__always) private func held(_ x: Vector) -> Vector {
    x.replacing(with: 10, where: x .> 10).replacing(with: -10, where: x .< -10)
  }
  @inline(__always) func value(_ x: Vector) -> Vector { x / (1 + decay(held(x))) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let x = held(x)
    let e = decay(x)
    let s: Vector = 1 / (1 + e)
    let slope: Vector = (x * x * (3 * Self.cubic) + 1) * Self.factor
    let tail: Vector = s * (s * e)
    return dy * (s + x * tail * slope)
  }
}

private struct Softplus: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.softplus(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy * ActivationMath.sigmoid(x) }
}

private struct Softsign: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector {
    // The limit at infinity is 1, which infinity / infinity is not.
    let x = x.replacing(with: 1e30, where: x .> 1e30).replacing(with: -1e30, where: x .< -1e30)
    return x / (1 + ActivationMath.absolute(x))
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let divisor = 1 + ActivationMath.absolute(x)
    return dy / (divisor * divisor)
  }
}

private struct Exponential: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector { ActivationMath.exponential(x) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy * ActivationMath.exponential(x) }
}

private struct Mish: ActivationDefinition {
  // With e = exp(x), tanh(log(1 + e)) is n / (n + 2), n = e (e + 2); from 20 on it is 1.
  @inline(__always) private func parts(_ x: Vector) -> (e: Vector, n: Vector) {
    let e = ActivationMath.exponential(x.replacing(with: 20, where: x .> 20))
    return (e, e * (e + 2))
  }
  @inline(__always) func value(_ x: Vector) -> Vector {
    let n = parts(x).n
    return x * (n / (n + 2))
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let (e, n) = parts(x)
    let t = n / (n + 2)
    // (1 - t²) sigmoid(x), where 1 - t² is 4 (1 + e)² / (n + 2)².
    let root: Vector = 2 / (n + 2)
    let slope: Vector = e * (1 + e) * (root * root)
    return (dy * (t + x * slope)).replacing(with: dy, where: x .> 20)
  }
}

private struct Clip: ActivationDefinition {
  let minimum: Float
  let maximum: Float

  @inline(__always) func value(_ x: Vector) -> Vector {
    x.replacing(with: minimum, where: x .< minimum).replacing(with: maximum, where: x .> maximum)
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: 0, where: (x .< minimum) .| (x .> maximum))
  }
}

private struct Erf: ActivationDefinition {
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

private struct Logarithm: ActivationDefinition {
  @inline(__always) func value(_ x: Vector) -> Vector {
    var result = Vector()
    for lane in 0..<8 { result[lane] = log(x[lane]) }
    return result
  }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy / x }
}

private struct Power: ActivationDefinition {
  let exponent: Float

  @inline(__always) private func raised(_ x: Vector, to exponent: Float) -> Vector {
    switch exponent {
    case 0: return Vector(repeating: 1)
    case 1: return x
    case 2: return x * x
    case -1: return 1 / x
    case 0.5: return x.squareRoot()
    case -0.5: return 1 / x.squareRoot()
    default:
      var result = Vector()
      for lane in 0..<8 { result[lane] = pow(x[lane], exponent) }
      return result
    }
  }
  @inline(__always) func value(_ x: Vector) -> Vector { raised(x, to: exponent) }
  @inline(__always) func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    exponent == 0 ? Vector() : dy * (raised(x, to: exponent - 1) * exponent)
  }
}
