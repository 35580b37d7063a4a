import CNNCore
import CNNRuntime

/// Activation functions, element by element.
///
/// `constants` are those of `ActivationFunction.constants`, in that order; other functions look at none.
public enum ActivationKernels {
  /// `y[i] = f(x[i])` for `i` in `0..<count`. `y` may be `x`.
  public static func forward(
    _ function: ActivationFunction, constants: SIMD4<Float>, _ x: UnsafePointer<Float>,
    into y: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    ActivationTable[function].init(constants).forward(x, y, count, workers)
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
    ActivationTable[function].init(constants).backward(x, dy, dx, count, workers)
  }
}

extension ActivationDefinition {
  func forward(
    _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int,
    _ workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      var i = range.lowerBound
      while i &+ 8 <= range.upperBound {
        let value = self.value(UnsafeRawPointer(x + i).loadUnaligned(as: Vector.self))
        UnsafeMutableRawPointer(y + i).storeBytes(of: value, as: Vector.self)
        i &+= 8
      }
      let rest = range.upperBound &- i
      if rest > 0 { storeFirst(rest, of: value(loadFirst(rest, x + i)), y + i) }
    }
  }

  func backward(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>,
    _ dx: UnsafeMutablePointer<Float>, _ count: Int, _ workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      var i = range.lowerBound
      while i &+ 8 <= range.upperBound {
        let gradient = self.gradient(
          UnsafeRawPointer(x + i).loadUnaligned(as: Vector.self),
          UnsafeRawPointer(dy + i).loadUnaligned(as: Vector.self))
        UnsafeMutableRawPointer(dx + i).storeBytes(of: gradient, as: Vector.self)
        i &+= 8
      }
      let rest = range.upperBound &- i
      if rest > 0 { storeFirst(rest, of: gradient(loadFirst(rest, x + i), loadFirst(rest, dy + i)), dx + i) }
    }
  }

  private func loadFirst(_ count: Int, _ pointer: UnsafePointer<Float>) -> Vector {
    var vector = Vector()
    for lane in 0..<count { vector[lane] = pointer[lane] }
    return vector
  }

  private func storeFirst(_ count: Int, of vector: Vector, _ pointer: UnsafeMutablePointer<Float>) {
    for lane in 0..<count { pointer[lane] = vector[lane] }
  }
}
