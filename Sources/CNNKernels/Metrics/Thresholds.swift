/// Ascending thresholds, and how many of them a score is above.
public struct Thresholds: Sendable, Equatable {
  /// The thresholds.
  public let values: [Float]
  /// Whether they go from 0 to 1 in equal steps: a score's place is then a product, rounded as Keras does.
  let isEven: Bool
  /// Whether the first lies below every probability and the last above.
  let hasMargins: Bool

  /// Thresholds in any order.
  /// - Parameter hasMargins: puts one below 0 before them and one above 1 after them.
  public init(_ values: [Double], hasMargins: Bool = false) {
    let inner = values.sorted()
    let all = hasMargins ? [0] + inner + [1] : inner
    isEven =
      all.count > 2
      && all.indices.allSatisfy {
        let even = Double(Float($0) / Float(all.count - 1))
        return (all[$0] - even).magnitude <= 1e-7 + 1e-5 * even
      }
    self.hasMargins = hasMargins
    let margin = Double(Losses.epsilon)
    self.values = (hasMargins ? [-margin] + inner + [1 + margin] : inner).map { Float($0) }
  }

  /// How many of them `score` is above; none where it is NaN.
  @inline(__always)
  func countBelow(_ score: Float) -> Int {
    if score.isNaN { return 0 }
    if isEven {
      let place = (min(max(score, 0), 1) * Float(values.count - 1)).rounded(.up)
      return max(Int(place), hasMargins ? 1 : 0)
    }
    var (low, high) = (0, values.count)
    while low < high {
      let middle = (low + high) / 2
      if score > values[middle] { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
