/// How many answers were right and wrong, at one threshold.
struct OutcomeCounts {
  var truePositives = 0.0, falsePositives = 0.0, trueNegatives = 0.0, falseNegatives = 0.0

  /// What is so, and what is said to be.
  var positives: Double { truePositives + falseNegatives }
  var predictedPositives: Double { truePositives + falsePositives }
  var negatives: Double { trueNegatives + falsePositives }

  subscript(outcome: Outcome) -> Double {
    switch outcome {
    case .truePositives: truePositives
    case .falsePositives: falsePositives
    case .trueNegatives: trueNegatives
    case .falseNegatives: falseNegatives
    }
  }

  /// A rate; 0 where there is nothing that it is a share of.
  subscript(rate: Rate) -> Double {
    switch rate {
    case .precision: ratio(truePositives, predictedPositives)
    case .recall: ratio(truePositives, positives)
    case .specificity: ratio(trueNegatives, negatives)
    }
  }

  func fBeta(_ beta: Double) -> Double {
    let squared = beta * beta
    return ratio(
      (1 + squared) * truePositives, (1 + squared) * truePositives + squared * falseNegatives + falsePositives)
  }

  /// The outcomes at each threshold, from the weights that lie above so many thresholds.
  static func atThresholds(negatives not: [Double], positives so: [Double]) -> [OutcomeCounts] {
    let (allSo, allNot) = (so.reduce(0, +), not.reduce(0, +))
    var counts: [OutcomeCounts] = []
    var (yesSo, yesNot) = (0.0, 0.0)
    for bin in stride(from: so.count - 1, to: 0, by: -1) {
      yesSo += so[bin]
      yesNot += not[bin]
      counts.append(
        OutcomeCounts(
          truePositives: yesSo, falsePositives: yesNot, trueNegatives: allNot - yesNot, falseNegatives: allSo - yesSo))
    }
    return counts.reversed()
  }
}
