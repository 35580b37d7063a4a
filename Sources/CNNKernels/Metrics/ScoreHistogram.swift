/// How the scores of what is so and of what is not so lie between thresholds: what precision, recall and the area under
/// their curves are counted from.
///
/// A histogram has `[groups, 2, thresholds + 1]` numbers: for each group the weight of the elements that are not so, by how
/// many thresholds their score is above, then of those that are so. It is added to in the order of the elements, so it has
/// the same bits for every number of workers.
public struct ScoreHistogram: Sendable, Equatable {
  /// Which scores say yes.
  public enum Decision: Sendable, Equatable {
    /// Those above a threshold.
    case above(Thresholds)
    /// The largest of a row, unless it is 0, as Keras's `FBetaScore`: one threshold, which these are above.
    case largest
  }

  /// Targets of rows.
  public enum Targets: @unchecked Sendable {
    /// `[rows]`: the class that is so; of a single score 1 is yes.
    case labels(UnsafePointer<Int32>)
    /// `[rows, classes]`.
    case values(UnsafePointer<Float>)
  }

  /// Which scores say yes.
  public var decision: Decision
  /// Only so many of the largest scores of a row say yes; of equal scores the first.
  public var topK: Int?
  /// The one class that is looked at.
  public var classNumber: Int?
  /// Whether each class has a group of its own.
  public var isPerClass = false
  /// What the elements of each class weigh.
  public var classWeights: [Double]?
  /// Whether a target of 0.3 is so for 0.3 of its weight; else it is so, as all but 0.
  public var hasShares = false

  /// A histogram.
  public init(_ decision: Decision) { self.decision = decision }

  /// How many thresholds there are.
  public var thresholdCount: Int { if case .above(let thresholds) = decision { thresholds.values.count } else { 1 } }

  /// How many groups there are for so many classes.
  public func groupCount(classes: Int) -> Int { isPerClass && classNumber == nil ? classes : 1 }

  /// Adds one row.
  /// - Parameter scratch: room for `topK` numbers.
  public func add(
    scores: UnsafePointer<Float>, targets: Targets, row: Int, classes: Int, weight: Double,
    to histogram: UnsafeMutablePointer<Double>, scratch: UnsafeMutablePointer<Float>
  ) {
    let scores = scores + row * classes
    let chosen = classNumber.map { $0..<min($0 + 1, classes) } ?? 0..<classes
    let floor = topK.map { Selection.smallest(of: $0, largest: scores, classes, scratch) }
    var largest = -Float.infinity
    if case .largest = decision { for c in 0..<classes { largest = max(largest, scores[c]) } }
    for c in chosen {
      let score = scores[c]
      var above: Int
      switch decision {
      case .above(let thresholds): above = thresholds.countBelow(score)
      case .largest: above = score >= largest && score.magnitude > 1e-9 ? 1 : 0
      }
      if let floor, let topK, !Selection.isAmong(topK, scores, c, classes, floor) { above = 0 }
      let target: Float
      switch targets {
      case .labels(let labels): target = Int(labels[row]) == (classes == 1 ? 1 : c) ? 1 : 0
      case .values(let values): target = values[row * classes + c]
      }
      let share = hasShares ? Double(target) : target == 0 ? 0 : 1
      var weight = weight
      if let classWeights, c < classWeights.count { weight *= classWeights[c] }
      let group = isPerClass && classNumber == nil ? c : 0
      let base = histogram + group * 2 * (thresholdCount + 1) + above
      base[0] += weight * (1 - share)
      base[thresholdCount + 1] += weight * share
    }
  }

  /// The largest scores of a row.
  private enum Selection {
    /// The smallest of the `count` largest scores. NaN counts as the smallest.
    static func smallest(
      of count: Int, largest scores: UnsafePointer<Float>, _ classes: Int, _ best: UnsafeMutablePointer<Float>
    ) -> Float {
      let count = min(count, classes)
      var kept = 0
      for c in 0..<classes {
        let score = scores[c].isNaN ? -Float.infinity : scores[c]
        if kept == count, score <= best[kept - 1] { continue }
        var place = kept < count ? kept : kept - 1
        while place > 0, best[place - 1] < score {
          best[place] = best[place - 1]
          place -= 1
        }
        best[place] = score
        kept = min(kept + 1, count)
      }
      return best[kept - 1]
    }

    /// Whether score `c` is among the `count` largest, of which `floor` is the smallest.
    static func isAmong(_ count: Int, _ scores: UnsafePointer<Float>, _ c: Int, _ classes: Int, _ floor: Float) -> Bool
    {
      if scores[c] != floor { return scores[c] > floor }
      var before = 0
      for other in 0..<classes where scores[other] > floor || (scores[other] == floor && other < c) { before += 1 }
      return before < count
    }
  }
}
