import CNNRuntime
import Testing

@testable import CNNKernels

/// The count for 1, 2, 3 and 5 workers, expected to be the same.
private func count(_ body: (Workers) -> Int, sourceLocation: SourceLocation = #_sourceLocation) -> Int {
  let counts = [1, 2, 3, 5].map { body(Workers(count: $0)) }
  #expect(Set(counts).count == 1, sourceLocation: sourceLocation)
  return counts[0]
}

@Test func correctRowsAreThoseWhoseFirstLargestScoreIsTheLabels() {
  var data = RandomData(seed: 40)
  for (rows, classes) in [(1, 1), (7, 10), (3, 17), (5003, 10), (129, 1000)] {
    // Few distinct values, so that there are many ties.
    let scores = data.floats(rows * classes, in: 0...6).map { $0.rounded() }
    let labels = data.labels(rows, classes: classes)
    let oneHot = labels.flatMap { label in (0..<classes).map { Float($0 == Int(label) ? 1 : 0) } }
    for k in [1, 2, 5, 2000] {
      let expected = (0..<rows).filter { row in
        let score = scores[row * classes + Int(labels[row])]
        return scores[row * classes..<(row + 1) * classes].filter { $0 > score }.count < k
      }
      #expect(
        count {
          MetricCounts.correctInTop(k, scores: scores, labels: labels, rows: rows, classes: classes, workers: $0)
        } == expected.count)
      #expect(
        count {
          MetricCounts.correctInTop(k, scores: scores, targets: oneHot, rows: rows, classes: classes, workers: $0)
        } == expected.count)
    }
    let expected = (0..<rows).filter { row in
      let values = Array(scores[row * classes..<(row + 1) * classes])
      return values.firstIndex(of: values.max() ?? 0) == Int(labels[row])
    }
    #expect(
      count { MetricCounts.correct(scores: scores, labels: labels, rows: rows, classes: classes, workers: $0) }
        == expected.count)
    #expect(
      count { MetricCounts.correct(scores: scores, targets: oneHot, rows: rows, classes: classes, workers: $0) }
        == expected.count)
  }
}

@Test func rowsWithNaNAreWrong() {
  let scores: [Float] = [.nan, 1, 2, 0, .nan, 2, 0, 1, .nan, 0, 1, 2]
  for label in 0..<3 {
    let labels = [Int32](repeating: Int32(label), count: 4)
    let right = label == 2 ? 1 : 0
    #expect(count { MetricCounts.correct(scores: scores, labels: labels, rows: 4, classes: 3, workers: $0) } == right)
    #expect(
      count { MetricCounts.correctInTop(3, scores: scores, labels: labels, rows: 4, classes: 3, workers: $0) } == 1)
  }
  #expect(count { MetricCounts.correct(scores: [.nan], labels: [0], rows: 1, classes: 1, workers: $0) } == 0)
}

@Test func binaryAccuracyComparesWithTheThreshold() {
  let scores: [Float] = [0.4, 0.6, 0.5, 0.5, .nan, .nan, 0.9, 0.1]
  let targets: [Float] = [0, 1, 0, 1, 0, 1, 0, 1]
  #expect(count { MetricCounts.correctBinary(scores: scores, targets: targets, count: 8, workers: $0) } == 3)
  let zeros = [Float](repeating: 0, count: 30_011)
  #expect(count { MetricCounts.correctBinary(scores: zeros, targets: zeros, count: 30_011, workers: $0) } == 30_011)
  #expect(
    count { MetricCounts.correctBinary(scores: scores, targets: targets, threshold: 0, count: 8, workers: $0) } == 3)
}
