import CNNCore

/// Activation functions, element by element.
public enum Activation {
  /// `y[i] = f(x[i])` for `i` in `0..<count`. `y` may be `x`.
  public static func forward(
    _ function: ActivationFunction, _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) {
    switch function {
    case .relu: forward(Relu.self, x, y, count, workers)
    case .relu6: forward(Relu6.self, x, y, count, workers)
    case .silu: forward(Silu.self, x, y, count, workers)
    case .sigmoid: forward(Sigmoid.self, x, y, count, workers)
    case .hardSwish: forward(HardSwish.self, x, y, count, workers)
    case .hardSigmoid: forward(HardSigmoid.self, x, y, count, workers)
    case .gelu: forward(Gelu.self, x, y, count, workers)
    case .tanh: forward(Tanh.self, x, y, count, workers)
    }
  }

  /// `dx[i] = dy[i] * f'(x[i])` for `i` in `0..<count`, from the input `x` of the forward pass. `dx` may be `dy`.
  ///
  /// Where f has a corner the derivative is PyTorch's: 0 on the flat side (relu at 0; relu6 at 0 and 6; hard sigmoid
  /// at -3 and 3; hard swish 0 at -3 and 1 at 3).
  public static func backward(
    _ function: ActivationFunction, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    into dx: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    switch function {
    case .relu: backward(Relu.self, x, dy, dx, count, workers)
    case .relu6: backward(Relu6.self, x, dy, dx, count, workers)
    case .silu: backward(Silu.self, x, dy, dx, count, workers)
    case .sigmoid: backward(Sigmoid.self, x, dy, dx, count, workers)
    case .hardSwish: backward(HardSwish.self, x, dy, dx, count, workers)
    case .hardSigmoid: backward(HardSigmoid.self, x, dy, dx, count, workers)
    case .gelu: backward(Gelu.self, x, dy, dx, count, workers)
    case .tanh: backward(Tanh.self, x, dy, dx, count, workers)
    }
  }

  private static func forward<F: ActivationDefinition>(
    _: F.Type, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int, _ workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      var i = range.lowerBound
      while i &+ 8 <= range.upperBound {
        let value = F.value(UnsafeRawPointer(x + i).loadUnaligned(as: Vector.self))
        UnsafeMutableRawPointer(y + i).storeBytes(of: value, as: Vector.self)
        i &+= 8
      }
      let rest = range.upperBound &- i
      if rest > 0 { storeFirst(rest, of: F.value(loadFirst(rest, x + i)), y + i) }
    }
  }

  private static func backward<F: ActivationDefinition>(
    _: F.Type, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ count: Int, _ workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      var i = range.lowerBound
      while i &+ 8 <= range.upperBound {
        let gradient = F.gradient(
          UnsafeRawPointer(x + i).loadUnaligned(as: Vector.self),
          UnsafeRawPointer(dy + i).loadUnaligned(as: Vector.self))
        UnsafeMutableRawPointer(dx + i).storeBytes(of: gradient, as: Vector.self)
        i &+= 8
      }
      let rest = range.upperBound &- i
      if rest > 0 { storeFirst(rest, of: F.gradient(loadFirst(rest, x + i), loadFirst(rest, dy + i)), dx + i) }
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
  static func value(_ x: Vector) -> Vector
  static func gradient(_ x: Vector, _ dy: Vector) -> Vector
}

private enum Relu: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { x.replacing(with: 0, where: x .< 0) }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector { dy.replacing(with: 0, where: x .<= 0) }
}

private enum Relu6: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector {
    x.replacing(with: 0, where: x .< 0).replacing(with: 6, where: x .> 6)
  }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    dy.replacing(with: 0, where: (x .<= 0) .| (x .>= 6))
  }
}

private enum Sigmoid: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { ActivationMath.sigmoid(x) }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let s = ActivationMath.sigmoid(x)
    return dy * (s * (1 - s))
  }
}

private enum Silu: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { x * ActivationMath.sigmoid(x) }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let s = ActivationMath.sigmoid(x)
    return dy * (s * (1 + x * (1 - s)))
  }
}

private enum HardSigmoid: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { Relu6.value(x + 3) * (1 / 6) }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    (dy * (1 / 6)).replacing(with: 0, where: (x .<= -3) .| (x .>= 3))
  }
}

private enum HardSwish: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { x * HardSigmoid.value(x) }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    (dy * (x * (1 / 3) + 0.5)).replacing(with: 0, where: x .<= -3).replacing(with: dy, where: x .>= 3)
  }
}

private enum Gelu: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { x * ActivationMath.normalDistribution(x).cumulative }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let normal = ActivationMath.normalDistribution(x)
    return dy * (normal.cumulative + x * normal.density)
  }
}

private enum Tanh: ActivationDefinition {
  @inline(__always) static func value(_ x: Vector) -> Vector { ActivationMath.tanh(x) }
  @inline(__always) static func gradient(_ x: Vector, _ dy: Vector) -> Vector {
    let t = ActivationMath.tanh(x)
    return dy * (1 - t * t)
  }
}
