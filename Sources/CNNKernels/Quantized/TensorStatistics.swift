import CNNRuntime

/// What is known of the numbers that a tensor had, over many runs: the smallest, the largest, and how many fell into each of
/// the bins of a histogram whose bins are fixed, so that each number is looked at once and none is kept.
///
/// A bin is a sign, an exponent from -24 to 23 and the first six bits behind the point: a 64th of its numbers wide.
public enum TensorStatistics {
  /// The exponents that have bins of their own; smaller numbers fall into the bin of 0, larger ones into the last.
  static let exponents = -24..<24
  static let binsPerOctave = 64
  /// Bins of one sign, that of 0 first.
  static let binsPerSign = 1 + exponents.count * binsPerOctave
  /// The bins of both signs, negative numbers first, those farthest from 0 first.
  public static let binCount = 2 * binsPerSign
  /// The floats of a state without a histogram, and with one.
  public static let rangeCount = 2, histogramCount = rangeCount + binCount

  /// The bin of a number that is no NaN.
  @inline(__always)
  static func bin(of x: Float) -> Int {
    let bits = Int(x.magnitude.bitPattern >> 17) - ((exponents.lowerBound + 127) * binsPerOctave - 1)
    let bin = min(max(bits, 0), binsPerSign - 1)
    return x.sign == .minus ? binsPerSign - 1 - bin : binsPerSign + bin
  }

  /// The middle of a bin.
  public static func center(ofBin bin: Int) -> Float {
    let place = bin < binsPerSign ? binsPerSign - 1 - bin : bin - binsPerSign
    if place == 0 { return 0 }
    let bits = (place - 1 + (exponents.lowerBound + 127) * binsPerOctave) << 17 | 1 << 16
    let magnitude = Float(bitPattern: UInt32(bits))
    return bin < binsPerSign ? -magnitude : magnitude
  }

  /// Adds numbers to a state: smallest and largest number, then the counts if it has any. NaN is passed over; the infinities
  /// count as the range alone.
  /// - Parameters:
  ///   - state: what was known before; `result` is what is known then, and may not be the same memory.
  ///   - scratch: as many floats as a state has for each worker.
  public static func add(
    _ x: UnsafePointer<Float>, count: Int, to state: UnsafePointer<Float>, stateCount: Int,
    into result: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let hasHistogram = stateCount > rangeCount
    for worker in 0..<workers.count {
      (scratch + worker * stateCount).update(repeating: 0, count: stateCount)
      scratch[worker * stateCount] = .infinity
      scratch[worker * stateCount + 1] = -.infinity
    }
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, worker in
      note(x, range, scratch + worker * stateCount, hasHistogram)
    }
    result[0] = state[0]
    result[1] = state[1]
    for worker in 0..<workers.count {
      result[0] = min(result[0], scratch[worker * stateCount])
      result[1] = max(result[1], scratch[worker * stateCount + 1])
    }
    guard hasHistogram else { return }
    for bin in rangeCount..<stateCount {
      result[bin] = (0..<workers.count).reduce(state[bin]) { $0 + scratch[$1 * stateCount + bin] }
    }
  }

  private static func note(
    _ x: UnsafePointer<Float>, _ range: Range<Int>, _ state: UnsafeMutablePointer<Float>, _ hasHistogram: Bool
  ) {
    // Of two of which one is NaN, the other is the smaller one.
    var low = SIMD8<Float>(repeating: .infinity), high = -low
    var i = range.lowerBound
    while i + 8 <= range.upperBound {
      let v = UnsafeRawPointer(x + i).loadUnaligned(as: SIMD8<Float>.self)
      low.replace(with: v, where: v .< low)
      high.replace(with: v, where: v .> high)
      i += 8
    }
    var (smallest, largest) = (low.min(), high.max())
    while i < range.upperBound {
      if x[i] < smallest { smallest = x[i] }
      if x[i] > largest { largest = x[i] }
      i += 1
    }
    (state[0], state[1]) = (min(state[0], smallest), max(state[1], largest))
    guard hasHistogram else { return }
    let counts = state + rangeCount
    for i in range where !x[i].isNaN { counts[bin(of: x[i])] += 1 }
  }
}
