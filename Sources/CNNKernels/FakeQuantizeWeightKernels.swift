import CNNCore
import CNNRuntime

/// Rounding of a weight to the levels of signed bytes that its largest magnitudes give; see `WeightLevels`.
public enum FakeQuantizeWeightKernels {
  /// `y = level * scale`. `y` may be `weight`.
  /// - Parameters:
  ///   - factors: what each output channel is multiplied by, before it is rounded, and divided by again; one whose factor is
  ///     0 stays as it is. nil for 1.
  ///   - perChannel: whether each output channel has a scale of its own, to which factors make no difference.
  public static func apply(
    _ weight: UnsafePointer<Float>, times factors: UnsafePointer<Float>?, perChannel: Bool,
    into y: UnsafeMutablePointer<Float>, outputs: Int, size: Int, workers: Workers
  ) {
    let factors = perChannel ? nil : factors
    /// The largest magnitude of a channel times its factor.
    func magnitude(_ output: Int) -> Float {
      largestMagnitude(weight + output * size, size) * (factors?[output].magnitude ?? 1)
    }
    let most = perChannel ? 0 : (0..<outputs).reduce(Float(0)) { max($0, magnitude($1)) }
    workers.forEachRange(of: outputs, grain: max(1, Workers.grainOfFloats / max(1, size))) { range, _ in
      for output in range {
        let factor = factors?[output] ?? 1, channel = weight + output * size, result = y + output * size
        if factor == 0 {
          result.update(from: channel, count: size)
        } else {
          let scale = WeightLevels.scale(ofLargest: perChannel ? magnitude(output) : most)
          round(channel, scale / factor, into: result, size)
        }
      }
    }
  }

  /// The largest magnitude of some numbers, of which NaN is none.
  public static func largestMagnitude(_ weight: UnsafePointer<Float>, _ count: Int) -> Float {
    var most = SIMD8<Float>(), i = 0
    while i + 8 <= count {
      let v = UnsafeRawPointer(weight + i).loadUnaligned(as: SIMD8<Float>.self)
      let magnitudes = v.replacing(with: -v, where: v .< 0)
      most.replace(with: magnitudes, where: magnitudes .> most)
      i += 8
    }
    return (i..<count).reduce(most.max()) { max($0, weight[$1].magnitude) }
  }

  /// The levels of numbers, none of which is beyond the ends by more than rounding makes it, times the scale. `y` may be `x`.
  public static func round(
    _ x: UnsafePointer<Float>, _ scale: Float, into y: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    // What is added and taken away again leaves no room for digits behind the point: halves go to the even number.
    let shift: Float = 12_582_912
    for i in 0..<count { y[i] = ((x[i] / scale + shift) - shift) * scale }
  }
}
