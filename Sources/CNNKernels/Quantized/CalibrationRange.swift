import Glibc

/// The range of an activation's levels, from what is known of its numbers. All ranges hold 0.
public struct CalibrationRange: Sendable, Equatable {
  /// The ends.
  public let lowest, highest: Float

  /// The ends, as far as 0 at least.
  public init(_ lowest: Float, _ highest: Float) {
    (self.lowest, self.highest) = (min(lowest, 0), max(highest, 0))
  }

  /// The smallest and the largest number of a state; see `TensorStatistics`.
  public static func whole(_ state: UnsafeBufferPointer<Float>) -> CalibrationRange {
    CalibrationRange(state[0], state[1])
  }

  /// What lies between two percentiles: half of the numbers left out, `100 - percentile` of a hundred, at each end.
  public static func percentile(_ percentile: Double, _ state: UnsafeBufferPointer<Float>) -> CalibrationRange {
    let histogram = Histogram(state), out = histogram.total * (1 - percentile / 100) / 2
    var sum = 0.0, low = state[0], high = state[1]
    if let bin = histogram.counts.firstIndex(where: { count in
      sum += count; return sum > out
    }) {
      low = max(low, TensorStatistics.center(ofBin: bin))
    }
    sum = 0
    if let bin = histogram.counts.lastIndex(where: { count in
      sum += count; return sum > out
    }) {
      high = min(high, TensorStatistics.center(ofBin: bin))
    }
    return CalibrationRange(low, high)
  }

  /// The range with the least squared error of 256 levels: of rounding within, of cutting without.
  public static func leastError(_ state: UnsafeBufferPointer<Float>) -> CalibrationRange {
    let histogram = Histogram(state), whole = whole(state)
    var best = whole, lowest = histogram.error(whole)
    // First the end that is farther, then the other one, each in steps of a 64th of the whole.
    for _ in 0..<2 {
      for side in whole.highest >= -whole.lowest ? [true, false] : [false, true] {
        let start = best
        for step in 1..<56 {
          let factor = Float(64 - step) / 64
          let range =
            side
            ? CalibrationRange(start.lowest, whole.highest * factor)
            : CalibrationRange(whole.lowest * factor, start.highest)
          let error = histogram.error(range)
          if error < lowest { (best, lowest) = (range, error) }
        }
      }
    }
    return best
  }

  /// The range whose 256 levels have the distribution nearest to that of the numbers, by the Kullback-Leibler divergence of
  /// the two (Migacz 2017): both ends are cut at one magnitude.
  public static func leastDivergence(_ state: UnsafeBufferPointer<Float>) -> CalibrationRange {
    let histogram = Histogram(state), whole = whole(state)
    let largest = max(whole.highest, -whole.lowest)
    guard largest > 0, largest.isFinite else { return whole }
    let sides: Float = whole.lowest < 0 ? 2 : 1
    // As many levels of magnitudes as the range has of both signs.
    let levels = 256 / Int(sides), count = 4096 / Int(sides)
    let magnitudes = histogram.magnitudes(count, largest)
    var best = count, lowest = Double.infinity
    for end in Swift.stride(from: levels, through: count, by: levels / 8) {
      let divergence = Self.divergence(magnitudes, end, levels)
      if divergence < lowest { (best, lowest) = (end, divergence) }
    }
    let limit = largest * Float(best) / Float(count)
    return CalibrationRange(max(whole.lowest, -limit), min(whole.highest, limit))
  }

  /// Of the first `end` bins, with all that is beyond in the last, from themselves in so many levels.
  private static func divergence(_ bins: [Double], _ end: Int, _ levels: Int) -> Double {
    var given = Array(bins[..<end])
    let beyond = bins[end...].reduce(0, +)
    let inside = given.reduce(0, +)
    guard inside > 0 else { return .infinity }
    given[end - 1] += beyond
    let total = inside + beyond
    var divergence = 0.0
    for level in 0..<levels {
      let range = end * level / levels..<end * (level + 1) / levels
      let sum = bins[range].reduce(0, +), filled = range.count { given[$0] > 0 }
      for bin in range where given[bin] > 0 {
        // What the levels say of a bin; where they say nothing, a little.
        let said = bins[bin] > 0 || bin == end - 1 ? max(sum / Double(max(1, filled)), 1e-9) / inside : 1e-9
        let p = given[bin] / total
        divergence += p * log(p / said)
      }
    }
    return divergence
  }
}

/// The counts of a state.
private struct Histogram {
  let counts: [Double]
  let total: Double

  init(_ state: UnsafeBufferPointer<Float>) {
    counts = state.dropFirst(TensorStatistics.rangeCount).map { Double($0) }
    total = counts.reduce(0, +)
  }

  /// The sum of squared errors of 256 levels of a range.
  func error(_ range: CalibrationRange) -> Double {
    let step = Double(range.highest - range.lowest) / 255, rounding = step * step / 12
    var sum = 0.0
    for (bin, count) in counts.enumerated() where count > 0 {
      let x = Double(TensorStatistics.center(ofBin: bin))
      let beyond = max(Double(range.lowest) - x, x - Double(range.highest), 0)
      // What is 0 is a level.
      sum += count * (beyond > 0 ? beyond * beyond + rounding : x == 0 ? 0 : rounding)
    }
    return sum
  }

  /// The counts of magnitudes in so many bins of one width up to `largest`, without those of 0, which is a level whatever the
  /// range.
  func magnitudes(_ count: Int, _ largest: Float) -> [Double] {
    var result = Array(repeating: 0.0, count: count)
    for (bin, number) in counts.enumerated() where number > 0 {
      let center = TensorStatistics.center(ofBin: bin).magnitude
      if center == 0 { continue }
      // A bin is a 64th of its numbers wide.
      let width = Double(center) / 64, start = Double(center) - width / 2, scale = Double(count) / Double(largest)
      let first = min(count - 1, Int(start * scale)), last = min(count - 1, Int((start + width) * scale))
      for place in first...last { result[place] += number / Double(last - first + 1) }
    }
    return result
  }
}
