import CNNCore
import CNNGraph

/// How many channels each group keeps: one step after the other, the channels of least worth leave.
struct ChannelAllocation {
  /// By group its channels, the one that matters least first.
  private let order: [[Int]]
  /// By group the sum of the scores of so many of the first of them.
  private let sums: [[Double]]
  /// By group the numbers of channels that it may keep, fewer and fewer.
  private var widths: [[Int]]
  /// By group how many it keeps now.
  private(set) var kept: [Int]
  /// The steps that led there.
  private var taken: [Step] = []

  /// - Parameters:
  ///   - scores: of the channels of each group, those that are compared in the same units.
  ///   - widths: of each group, descending, without the present one; none where it stays whole.
  init(scores: [[Double]], widths: [[Int]]) {
    order = scores.map { scores in scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) } }
    sums = zip(order, scores).map { order, scores in
      order.reduce(into: [0.0]) { sums, channel in sums.append(sums[sums.count - 1] + scores[channel]) }
    }
    kept = scores.map(\.count)
    // The next one is the last.
    self.widths = widths.map { $0.reversed() }
  }

  /// A step: a group that keeps fewer channels.
  struct Step {
    let group: Int
    /// How many channels it keeps before and after.
    let before, after: Int
    /// The sum of the scores of those that leave.
    let loss: Double
  }

  /// The channels that each group keeps, ascending.
  var channels: [[Int]] {
    zip(order, kept).map { order, kept in order.suffix(kept).sorted() }
  }

  /// Takes steps, the one of least worth first, until `isReached` says that it is enough.
  /// - Parameters:
  ///   - worth: of a step, where groups keep so many channels each before it.
  ///   - onStep: called before each step that is taken.
  /// - Returns: false where no step is left before that.
  mutating func shrink(
    until isReached: ([Int]) -> Bool, worth: (Step, [Int]) -> Double, onStep: (Step, [Int]) -> Void = { _, _ in }
  ) -> Bool {
    while !isReached(kept) {
      var best: Step?, least = Double.infinity
      for (group, after) in widths.enumerated() {
        guard let after = after.last else { continue }
        let count = order[group].count
        let step = Step(
          group: group, before: kept[group], after: after,
          loss: sums[group][count - after] - sums[group][count - kept[group]])
        let worth = worth(step, kept)
        if best == nil || worth < least { (best, least) = (step, worth) }
      }
      guard let best else { return false }
      onStep(best, kept)
      kept[best.group] = best.after
      widths[best.group].removeLast()
      taken.append(best)
    }
    return true
  }

  /// Takes steps back that were more than was needed, the last ones first: steps are of widths, and the last one goes further
  /// than to the goal.
  /// - Parameter isReached: whether it is still enough.
  mutating func restore(while isReached: ([Int]) -> Bool) {
    for step in taken.reversed() where kept[step.group] == step.after {
      kept[step.group] = step.before
      guard isReached(kept) else {
        kept[step.group] = step.after
        continue
      }
      widths[step.group].append(step.after)
    }
    taken = []
  }
}
