import Glibc

extension AreaUnderCurve {
  /// The area, of what was counted at ascending thresholds: of several classes the mean of theirs.
  func value(_ classes: [[OutcomeCounts]]) -> Double {
    let areas = classes.map(area)
    guard isPerClass, let labelWeights, labelWeights.count == areas.count else {
      return ratio(areas.reduce(0, +), Double(areas.count))
    }
    return ratio(zip(areas, labelWeights).reduce(0) { $0 + $1.0 * $1.1 }, labelWeights.reduce(0, +))
  }

  private func area(_ counts: [OutcomeCounts]) -> Double {
    if curve == .precisionRecall, summation == .interpolation { return interpolatedPrecision(counts) }
    let points = counts.map(point)
    return zip(points, points.dropFirst()).reduce(0) { sum, ends in
      let (left, right) = ends
      let height =
        switch summation {
        case .interpolation: (left.y + right.y) / 2
        case .majoring: max(left.y, right.y)
        case .minoring: min(left.y, right.y)
        }
      return sum + (left.x - right.x) * height
    }
  }

  private func point(_ counts: OutcomeCounts) -> (x: Double, y: Double) {
    switch curve {
    case .receiverOperating: return (ratio(counts.falsePositives, counts.negatives), counts[.recall])
    case .precisionRecall: return (counts[.recall], counts[.precision])
    case .gain:
      guard counts.truePositives > 0 else { return (0, 1) }
      let scale = ratio(counts.positives, counts.negatives)
      let x = 1 - scale * counts.falseNegatives / counts.truePositives
      return (max(x, 0), 1 - scale * counts.falsePositives / counts.truePositives)
    }
  }

  /// The area under precision over recall where true and false positives lie on a line between two thresholds
  /// (Davis and Goadrich 2006): with `P` of both and slope `s = dTP / dP` precision is `s + c / P`, whose integral over
  /// recall is `s (dTP + c log(P_B / P_A)) / positives`.
  private func interpolatedPrecision(_ counts: [OutcomeCounts]) -> Double {
    zip(counts, counts.dropFirst()).reduce(0) { sum, ends in
      let (left, right) = ends
      let (a, b) = (right.predictedPositives, left.predictedPositives)
      let step = left.truePositives - right.truePositives
      let slope = ratio(step, max(b - a, 0))
      let intercept = right.truePositives - slope * a
      let logarithm = a > 0 && b > 0 ? log(b / a) : 0
      return sum + ratio(slope * (step + intercept * logarithm), max(right.positives, 0))
    }
  }
}
