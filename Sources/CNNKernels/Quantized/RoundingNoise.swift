import CNNRuntime

/// How far numbers are from what they would be without rounding. Sums are made in double precision, in one order for every
/// number of workers.
public enum RoundingNoise {
  /// The floats of a state of `add`, and of `addHarm`.
  public static let noiseCount = 2, harmCount = 1

  /// Adds the squares of `exact`, and of what `rounded` differs from it by, to what was known before.
  public static func add(
    exact: UnsafePointer<Float>, rounded: UnsafePointer<Float>, count: Int, to state: UnsafePointer<Float>,
    into result: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let sums = ChunkedReduction.reduce(count: count, workers: workers) { range in
      var signal = SIMD4<Double>(), noise = SIMD4<Double>()
      for index in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
        let x = four(exact, index, range.upperBound), change = four(rounded, index, range.upperBound) - x
        signal += x * x
        noise += change * change
      }
      return SIMD2(signal.sum(), noise.sum())
    } combine: {
      $0 + $1
    }
    result[0] = Float(Double(state[0]) + (sums?.x ?? 0))
    result[1] = Float(Double(state[1]) + (sums?.y ?? 0))
  }

  /// Adds what a rounding changes, by a gradient with respect to it, to what was known before.
  public static func addHarm(
    gradient: UnsafePointer<Float>, exact: UnsafePointer<Float>, rounded: UnsafePointer<Float>, count: Int,
    to state: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let harm = ChunkedReduction.reduce(count: count, workers: workers) { range in
      var sum = SIMD4<Double>()
      for index in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
        let end = range.upperBound, change = four(rounded, index, end) - four(exact, index, end)
        sum += four(gradient, index, end) * change
      }
      return sum.sum()
    } combine: {
      $0 + $1
    }
    result[0] = Float(Double(state[0]) + (harm ?? 0))
  }

  /// Four numbers from a place on; 0 for those behind the end.
  @inline(__always)
  private static func four(_ x: UnsafePointer<Float>, _ index: Int, _ end: Int) -> SIMD4<Double> {
    if index + 4 <= end { return SIMD4<Double>(UnsafeRawPointer(x + index).loadUnaligned(as: SIMD4<Float>.self)) }
    var result = SIMD4<Double>()
    for lane in 0..<end - index { result[lane] = Double(x[index + lane]) }
    return result
  }

  /// Half the sum of the squares of what two arrays differ by.
  public static func halfSquaredDistance(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int, workers: Workers
  ) -> Float {
    Float(
      0.5
        * ChunkedReduction.sum(count: count, workers: workers) {
          let difference = Double(a[$0]) - Double(b[$0])
          return difference * difference
        })
  }

  /// `a - b`, number by number.
  public static func subtract(
    _ b: UnsafePointer<Float>, from a: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for index in range { result[index] = a[index] - b[index] }
    }
  }
}
