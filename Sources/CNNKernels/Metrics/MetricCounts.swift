import CNNRuntime

/// How many predictions of a batch are right. Divide by the number of rows (or elements) for the accuracy.
///
/// Scores are `[rows, classes]` float32, logits or probabilities alike. A row that holds a NaN is wrong.
public enum MetricCounts {
  /// The number of rows whose largest score is the label's. Of equal scores the first counts as the largest.
  /// - Parameter labels: `[rows]` int32, each in `0..<classes`.
  public static func correct(
    scores: UnsafePointer<Float>, labels: UnsafePointer<Int32>, rows: Int, classes: Int, workers: Workers
  ) -> Int {
    countRows(rows, classes, workers) { isLargest(scores + $0 * classes, Int(labels[$0]), classes) }
  }

  /// The same with one-hot targets, `[rows, classes]` float32: the label is the first largest target.
  public static func correct(
    scores: UnsafePointer<Float>, targets: UnsafePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) -> Int {
    countRows(rows, classes, workers) { row in
      isLargest(scores + row * classes, firstLargest(targets + row * classes, classes), classes)
    }
  }

  /// The number of rows where fewer than `k` scores are larger than the label's: ties are in the label's favour, as in
  /// `keras.ops.in_top_k`. With `k` of `classes` or more every row without a NaN is right.
  /// - Parameter labels: `[rows]` int32, each in `0..<classes`.
  public static func correctInTop(
    _ k: Int, scores: UnsafePointer<Float>, labels: UnsafePointer<Int32>, rows: Int, classes: Int, workers: Workers
  ) -> Int {
    countRows(rows, classes, workers) { isInTop(k, scores + $0 * classes, Int(labels[$0]), classes) }
  }

  /// The same with one-hot targets, `[rows, classes]` float32: the label is the first largest target.
  public static func correctInTop(
    _ k: Int, scores: UnsafePointer<Float>, targets: UnsafePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) -> Int {
    countRows(rows, classes, workers) { row in
      isInTop(k, scores + row * classes, firstLargest(targets + row * classes, classes), classes)
    }
  }

  /// The number of elements where `score > threshold` says what the target (0 or 1) says; NaN is wrong.
  public static func correctBinary(
    scores: UnsafePointer<Float>, targets: UnsafePointer<Float>, threshold: Float = 0.5, count: Int, workers: Workers
  ) -> Int {
    ChunkedReduction.count(count, workers: workers) { index in
      scores[index] > threshold ? targets[index] == 1 : scores[index] <= threshold && targets[index] == 0
    }
  }

  @inline(__always)
  private static func countRows(_ rows: Int, _ classes: Int, _ workers: Workers, _ isRight: (Int) -> Bool) -> Int {
    ChunkedReduction.reduce(
      count: rows, workers: workers, pieceLength: max(1, 4096 / max(classes, 1)),
      partial: { range in
        var right = 0
        for row in range { right += isRight(row) ? 1 : 0 }
        return right
      }, combine: { $0 + $1 }) ?? 0
  }

  /// Whether `label` is the index of the first largest score. A comparison with NaN is false, so it is never passed over.
  @inline(__always)
  private static func isLargest(_ scores: UnsafePointer<Float>, _ label: Int, _ classes: Int) -> Bool {
    // The caller's memory may have changed since it was checked.
    guard label >= 0, label < classes else { return false }
    let score = scores[label]
    var notBelow = score.isNaN ? 1 : 0
    for c in 0..<label { notBelow &+= scores[c] < score ? 0 : 1 }
    for c in label..<classes { notBelow &+= scores[c] <= score ? 0 : 1 }
    return notBelow == 0
  }

  @inline(__always)
  private static func isInTop(_ k: Int, _ scores: UnsafePointer<Float>, _ label: Int, _ classes: Int) -> Bool {
    guard label >= 0, label < classes else { return false }
    let score = scores[label]
    var larger = 0
    var numbers = 0
    for c in 0..<classes {
      larger &+= scores[c] > score ? 1 : 0
      numbers &+= scores[c].isNaN ? 0 : 1
    }
    return larger < k && numbers == classes
  }

  @inline(__always)
  private static func firstLargest(_ values: UnsafePointer<Float>, _ count: Int) -> Int {
    var best = 0
    for index in 0..<count where values[index] > values[best] { best = index }
    return best
  }
}
