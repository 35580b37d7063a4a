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
    let signal = ChunkedReduction.sum(count: count, workers: workers) { Double(exact[$0]) * Double(exact[$0]) }
    let noise = ChunkedReduction.sum(count: count, workers: workers) {
      let difference = Double(rounded[$0]) - Double(exact[$0])
      return difference * difference
    }
    result[0] = Float(Double(state[0]) + signal)
    result[1] = Float(Double(state[1]) + noise)
  }

  /// Adds what a rounding changes, by a gradient with respect to it, to what was known before.
  public static func addHarm(
    gradient: UnsafePointer<Float>, exact: UnsafePointer<Float>, rounded: UnsafePointer<Float>, count: Int,
    to state: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let harm = ChunkedReduction.sum(count: count, workers: workers) {
      Double(gradient[$0]) * (Double(rounded[$0]) - Double(exact[$0]))
    }
    result[0] = Float(Double(state[0]) + harm)
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
