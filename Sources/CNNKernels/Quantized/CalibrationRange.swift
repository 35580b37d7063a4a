import Glibc

/// The range of an activation's levels, from what is known of its numbers. All ranges hold 0.
public struct CalibrationRange: Sendable, Equatable {
  /// The ends.
  public let lowest, highest: Float

  /// The ends, as far as 0 at least.
  public init(_ lowest: Float, _ highest: Float) {
    (self.lowest, self.highest) = (min(lowest, 0), max(highest, 0))
  }

  /// The counts of the bins of a `StatisticsState`.
  public typealias Counts = Slice<UnsafeBufferPointer<Float>>

  /// What lies between two percentiles: half of the numbers left out, `100 - percentile` of a hundred, at each end.
  /// - Parameters:
  ///   - whole: from the smallest to the largest number.
  ///   - counts: those of the bins of a `StatisticsState`.
  public static func percentile(_ percentile: Double, _ whole: CalibrationRange, _ counts: Counts) -> CalibrationRange {
    let histogram = Histogram(counts), out = histogram.total * (1 - percentile / 100) / 2
    // The first bin behind which more is left out, and the last one before which more is.
    let first = histogram.below.dropFirst().firstIndex { $0.count > out }
    let last = histogram.below.lastIndex { histogram.total - $0.count > out }
    guard let first, let last else { return whole }
    return CalibrationRange(
      max(whole.lowest, Float(histogram.centers[first - 1])), min(whole.highest, Float(histogram.centers[last])))
  }

  /// The range with the least squared error of 256 levels: of rounding within, of cutting without.
  public static func leastError(_ whole: CalibrationRange, _ counts: Counts) -> CalibrationRange {
    let histogram = Histogram(counts)
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
  public static func leastDivergence(_ whole: CalibrationRange, _ counts: Counts) -> CalibrationRange {
    let largest = max(whole.highest, -whole.lowest)
    guard largest > 0 else { return whole }
    let sides: Float = whole.lowest < 0 ? 2 : 1
    // As many levels of magnitudes as the range has of both signs.
    let levels = 256 / Int(sides), count = 4096 / Int(sides)
    let magnitudes = Magnitudes(Histogram(counts).magnitudes(count, largest))
    var best = count, lowest = Double.infinity
    for end in Swift.stride(from: levels, through: count, by: levels / 8) {
      let divergence = magnitudes.divergence(end, levels)
      if divergence < lowest { (best, lowest) = (end, divergence) }
    }
    let limit = largest * Float(best) / Float(count)
    return CalibrationRange(max(whole.lowest, -limit), min(whole.highest, limit))
  }
}

extension StatisticsState {
  /// From the smallest to the largest number of a state; nil where one was not finite.
  public func range(_ state: UnsafeBufferPointer<Float>) -> CalibrationRange? {
    state[0].isFinite && state[1].isFinite ? CalibrationRange(state[0], state[1]) : nil
  }
}

/// The bins of a `StatisticsState` that are not empty.
private struct Histogram {
  /// The middles of the bins, in their order, and the counts.
  private(set) var centers: [Double] = []
  private var counts: [Double] = []
  /// Of all bins before each one, and at last of all, so that sums over neighbouring bins are differences.
  private(set) var below = [Sums()]
  /// How many are 0, which is a level whatever the range.
  private var zeros = 0.0
  var total: Double { below[below.count - 1].count }

  /// How many numbers, their sum and that of their squares.
  struct Sums {
    var count = 0.0, sum = 0.0, squares = 0.0
  }

  init(_ counts: CalibrationRange.Counts) {
    var sums = Sums()
    for (bin, count) in counts.enumerated() where count > 0 {
      let x = Double(StatisticsState.center(ofBin: bin)), count = Double(count)
      centers.append(x)
      self.counts.append(count)
      sums = Sums(count: sums.count + count, sum: sums.sum + count * x, squares: sums.squares + count * x * x)
      below.append(sums)
      if x == 0 { zeros += count }
    }
  }

  /// The place of the first bin whose middle is not less, or where `isAbove`, is more than a number.
  private func place(_ x: Double, isAbove: Bool) -> Int {
    var (low, high) = (0, centers.count)
    while low < high {
      let middle = (low + high) / 2
      if centers[middle] < x || isAbove && centers[middle] == x { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The sum of squared errors of 256 levels of a range.
  func error(_ range: CalibrationRange) -> Double {
    let low = Double(range.lowest), high = Double(range.highest)
    let step = (high - low) / 255, rounding = step * step / 12
    /// The squared distances of some numbers from one.
    func distance(_ x: Double, _ count: Double, _ sum: Double, _ squares: Double) -> Double {
      max(0, count * x * x - 2 * x * sum + squares)
    }
    let all = below[below.count - 1]
    let under = below[place(low, isAbove: false)], notOver = below[place(high, isAbove: true)]
    return (total - zeros) * rounding + distance(low, under.count, under.sum, under.squares)
      + distance(high, all.count - notOver.count, all.sum - notOver.sum, all.squares - notOver.squares)
  }

  /// The counts of magnitudes in so many bins of one width up to `largest`, without those of 0.
  func magnitudes(_ count: Int, _ largest: Float) -> [Double] {
    var result = Array(repeating: 0.0, count: count)
    for (center, number) in zip(centers, counts) where center != 0 {
      // A bin is a 64th of its numbers wide.
      let width = center.magnitude / 64, start = center.magnitude - width / 2, scale = Double(count) / Double(largest)
      let first = min(count - 1, Int(start * scale)), last = min(count - 1, Int((start + width) * scale))
      for place in first...last { result[place] += number / Double(last - first + 1) }
    }
    return result
  }
}

/// Counts of bins of one width.
private struct Magnitudes {
  private let counts: [Double]
  /// Of all bins before each one, and at last of all.
  private var below = [Sums()]

  /// How many numbers, how many bins with any, and the sum of count times logarithm of the count.
  private struct Sums {
    var count = 0.0, filled = 0, information = 0.0
  }

  init(_ counts: [Double]) {
    self.counts = counts
    var sums = Sums()
    for count in counts {
      sums.count += count
      sums.filled += count > 0 ? 1 : 0
      sums.information += Self.information(count)
      below.append(sums)
    }
  }

  private static func information(_ count: Double) -> Double { count > 0 ? count * log(count) : 0 }

  /// Of the first `end` bins, with all that is beyond in the last, from themselves in so many levels: each level says of its
  /// filled bins that they have equal shares of what is in them without what is beyond.
  func divergence(_ end: Int, _ levels: Int) -> Double {
    let total = below[counts.count].count, inside = below[end].count, beyond = total - inside
    guard inside > 0 else { return .infinity }
    // Of the shares p that there are and q that levels say, the sum of p log(p / q).
    var divergence = below[end - 1].information + Self.information(counts[end - 1] + beyond) - total * log(total)
    for level in 0..<levels {
      let low = below[end * level / levels], high = below[end * (level + 1) / levels]
      let sum = high.count - low.count
      var given = sum, filled = high.filled - low.filled
      if level == levels - 1, beyond > 0 {
        given += beyond
        if counts[end - 1] == 0 { filled += 1 }
      }
      // Where levels say nothing, a little.
      if given > 0 { divergence -= given * log(max(sum / Double(max(1, filled)), 1e-9) / inside) }
    }
    return divergence / total
  }
}
