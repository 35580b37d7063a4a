import CNNCore
import CNNKernels

/// The sums of one metric, and the numbers that it makes of them.
///
/// The sums are doubles: a metric that is a mean has the sum of what it is a mean of and their weight; one that is counted
/// has a `ScoreHistogram`; a confusion matrix is itself.
struct Tally {
  /// What is measured; nil: a mean that is measured elsewhere.
  let metric: Metric?
  /// Whether the samples' weights count.
  let isWeighted: Bool
  let histogram: ScoreHistogram?
  private var memory: Memory?
  /// How many classes the sums are of.
  private(set) var classes = 0

  init(_ metric: Metric?, isWeighted: Bool) {
    (self.metric, self.isWeighted) = (metric, isWeighted)
    histogram = metric.flatMap(ScoreHistogram.init)
  }

  /// The sums; none before anything was added.
  var sums: UnsafeMutableBufferPointer<Double> {
    UnsafeMutableBufferPointer(
      start: memory?.base.assumingMemoryBound(to: Double.self), count: (memory?.byteCount ?? 0) / 8)
  }

  /// An independent copy.
  func copy() throws(CNNError) -> Tally {
    guard let memory else { return self }
    var copy = self
    let new = try Memory(byteCount: memory.byteCount, for: "metrics")
    new.base.copyMemory(from: memory.base, byteCount: memory.byteCount)
    copy.memory = new
    return copy
  }

  /// Forgets what was added.
  mutating func reset() { (memory, classes) = (nil, 0) }

  /// How many sums there are for so many classes.
  func count(classes: Int) throws(CNNError) -> Int {
    if let histogram {
      return try Checked.product([histogram.groupCount(classes: classes), 2, histogram.thresholdCount + 1], "metrics")
    }
    guard case .confusionMatrix = metric else { return 2 }
    return try Checked.product([max(classes, 2), max(classes, 2)], "metrics")
  }

  /// Makes place for the sums of so many classes, zeros where there are none yet.
  mutating func begin(classes: Int) throws(CNNError) {
    guard memory == nil || classes != self.classes else { return }
    memory = try Memory(byteCount: Checked.product([count(classes: classes), 8], "metrics"), for: "metrics")
    self.classes = classes
  }

  /// Adds `weight` times a mean.
  mutating func add(mean: Double, weight: Double) throws(CNNError) {
    try begin(classes: classes)
    sums[0] += mean * weight
    sums[1] += weight
  }

  /// Adds a batch of as many classes as `begin` was told.
  /// - Parameter scratch: room for the scores of a row.
  func add(_ batch: MeasuredBatch, scratch: UnsafeMutablePointer<Float>) {
    guard let metric, let start = sums.baseAddress else { return }
    let rowsPerSample = batch.rows / batch.samples
    if let histogram {
      for row in 0..<batch.rows {
        histogram.add(
          scores: batch.scores, targets: batch.targets, row: row, classes: batch.classes,
          weight: batch.weight(row / rowsPerSample), to: start, scratch: scratch)
      }
    } else if case .confusionMatrix(let threshold) = metric {
      let classes = max(batch.classes, 2)
      for row in 0..<batch.rows {
        let (truth, prediction) = batch.classes(ofRow: row, threshold: threshold)
        guard (0..<classes).contains(truth) else { continue }
        sums[truth * classes + prediction] += batch.weight(row / rowsPerSample)
      }
    } else if batch.weights == nil {
      sums[0] += batch.mean(of: metric) * Double(batch.samples)
      sums[1] += Double(batch.samples)
    } else {
      for sample in 0..<batch.samples {
        let weight = batch.weight(sample)
        sums[0] += batch.rows(sample * rowsPerSample..<(sample + 1) * rowsPerSample).mean(of: metric) * weight
        sums[1] += weight
      }
    }
  }
}

extension Tally {
  /// The metric's number; of several, their mean, and of a confusion matrix the share that is right.
  var result: Double {
    if case .confusionMatrix = metric {
      let classes = max(classes, 2)
      let right = stride(from: 0, to: sums.count, by: classes + 1).reduce(0) { $0 + sums[$1] }
      return ratio(right, sums.reduce(0, +))
    }
    let values = values.elements
    return values.reduce(0, +) / Double(max(1, values.count))
  }

  /// The metric's numbers, and the sizes of the array that they are, none for a single number.
  var values: (shape: [Int], elements: [Double]) {
    guard sums.count > 0 else { return ([], [0]) }
    switch metric {
    case .rate(let rate, let options): return values(of: rate, options)
    case .count(let outcome, let thresholds):
      let counts = inOrder(thresholds, outcomes()[0]).map { $0[outcome] }
      return (counts.count == 1 ? [] : [counts.count], counts)
    case .fBeta(let score): return values(of: score)
    case .areaUnderCurve(let area): return ([], [area.value(outcomes())])
    case .best(let best):
      let reached = outcomes()[0].filter { $0[best.bound] >= best.value }
      return ([], [reached.reduce(0) { max($0, $1[best.rate]) }])
    case .confusionMatrix: return ([max(classes, 2), max(classes, 2)], Array(sums))
    case .rootMeanSquaredError: return ([], [ratio(sums[0], sums[1]).squareRoot()])
    default: return ([], [ratio(sums[0], sums[1])])
    }
  }

  /// For each group of the histogram the outcomes at each threshold, which ascend.
  private func outcomes() -> [[OutcomeCounts]] {
    guard let histogram else { return [[]] }
    let bins = histogram.thresholdCount + 1
    return stride(from: 0, to: sums.count, by: 2 * bins).map { start in
      let middle = start + bins
      return OutcomeCounts.atThresholds(
        negatives: Array(sums[start..<middle]), positives: Array(sums[middle..<middle + bins]))
    }
  }

  /// What was counted at ascending thresholds, in the order in which those were given.
  private func inOrder(_ thresholds: [Double], _ counts: [OutcomeCounts]) -> [OutcomeCounts] {
    let ascending = thresholds.sorted()
    return thresholds.map { threshold in counts[ascending.firstIndex(of: threshold) ?? 0] }
  }

  private func values(of rate: Rate, _ options: RateOptions) -> (shape: [Int], elements: [Double]) {
    let groups = outcomes().map { inOrder(options.decided, $0) }
    let thresholds = options.decided.count
    let lines = (0..<thresholds).map { threshold in
      average(groups.map { ($0[threshold][rate], $0[threshold].positives) }, options.average)
    }
    let shape = [thresholds] + (options.average == nil && options.classNumber == nil ? [groups.count] : [])
    return (thresholds == 1 ? Array(shape.dropFirst()) : shape, lines.flatMap { $0 })
  }

  private func values(of score: FBetaScore) -> (shape: [Int], elements: [Double]) {
    let values = average(outcomes().map { ($0[0].fBeta(score.beta), $0[0].positives) }, score.average)
    return (score.average == nil ? [values.count] : [], values)
  }

  /// The classes' values, or what becomes of them.
  private func average(_ classes: [(value: Double, weight: Double)], _ average: Average?) -> [Double] {
    switch average {
    case nil: return classes.map(\.value)
    case .micro: return [classes[0].value]
    case .macro: return [ratio(classes.reduce(0) { $0 + $1.value }, Double(classes.count))]
    case .weighted:
      return [ratio(classes.reduce(0) { $0 + $1.value * $1.weight }, classes.reduce(0) { $0 + $1.weight })]
    }
  }
}

extension ScoreHistogram {
  /// What is counted for a metric; nil where it is a mean or a confusion matrix.
  init?(_ metric: Metric) {
    switch metric {
    case .rate(_, let options):
      self.init(.above(Thresholds(options.decided)))
      topK = options.topK
      classNumber = options.classNumber
      isPerClass = options.average != .micro
    case .count(_, let thresholds): self.init(.above(Thresholds(thresholds)))
    case .fBeta(let score):
      self.init(score.threshold.map { .above(Thresholds([$0])) } ?? .largest)
      isPerClass = score.average != .micro
      hasShares = true
    case .areaUnderCurve(let area):
      let last = Double(area.thresholdCount - 1)
      let inner = area.thresholds ?? (1..<max(1, area.thresholdCount - 1)).map { Double($0) / last }
      self.init(.above(Thresholds(inner, hasMargins: true)))
      isPerClass = area.isPerClass
      classWeights = area.isPerClass ? nil : area.labelWeights
    case .best(let best):
      let last = Double(best.thresholdCount - 1)
      self.init(.above(Thresholds(last == 0 ? [0.5] : (0..<best.thresholdCount).map { Double($0) / last })))
      classNumber = best.classNumber
    default: return nil
    }
  }
}

/// `a / b`, or 0 where `b` is 0.
func ratio(_ a: Double, _ b: Double) -> Double { b == 0 ? 0 : a / b }
