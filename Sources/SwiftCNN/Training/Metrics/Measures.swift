import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// Sums of metrics over batches, of which their numbers are made: of an epoch of training, of an evaluation, or of
/// predictions that come from elsewhere.
public final class Measures {
  private(set) var tallies: [Tally]
  /// How the sums begin: with those of the loss.
  private let hasLoss: Bool
  /// Whether the batch that is measured is kept.
  let keepsBatch: Bool
  /// The batch that was measured last, where `TrainingSettings.customMetrics` has names: targets, predictions and the
  /// samples' weights.
  public private(set) var lastBatch: (targets: Tensor, predictions: Tensor, sampleWeight: Tensor?)?

  /// Measures metrics of predictions that `add` is given.
  /// - Throws: `.invalidArgument` naming an option that is out of its domain.
  public init(_ metrics: [Metric]) throws(CNNError) {
    for metric in metrics { try metric.validate() }
    (hasLoss, keepsBatch) = (false, false)
    tallies = metrics.map { Tally($0, isWeighted: true) }
  }

  /// Reads "metrics", as `scnn_compile` takes them.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the option.
  package convenience init(json: JSONObject) throws(CNNError) {
    var metrics: [NamedMetric] = []
    try OptionReader.read(json) { (options) throws(CNNError) in
      try options.named("metrics", &metrics, "What is measured.")
    }
    try self.init(metrics.map(\.metric))
  }

  /// Measures what `compile` was told.
  init(_ settings: TrainingSettings) {
    (hasLoss, keepsBatch) = (true, !settings.customMetrics.isEmpty)
    tallies =
      [Tally(nil, isWeighted: false)] + settings.metrics.map { Tally($0, isWeighted: false) }
      + settings.weightedMetrics.map { Tally($0, isWeighted: true) }
  }

  private init(copying tallies: [Tally], of other: Measures) {
    (self.tallies, hasLoss, keepsBatch, lastBatch) = (tallies, other.hasLoss, other.keepsBatch, other.lastBatch)
  }

  /// An independent copy.
  /// - Throws: `.outOfMemory`.
  public func copy() throws(CNNError) -> Measures {
    var copies: [Tally] = []
    for tally in tallies { copies.append(try tally.copy()) }
    return Measures(copying: copies, of: self)
  }

  /// Whether these are the metrics of such settings.
  func measures(_ settings: TrainingSettings) -> Bool {
    hasLoss && tallies.dropFirst().map(\.metric) == settings.metrics + settings.weightedMetrics
  }

  /// Forgets everything that was added.
  public func reset() { for index in tallies.indices { tallies[index].reset() } }

  /// Whether anything was added.
  public var isEmpty: Bool { tallies.allSatisfy { $0.sums.isEmpty } }

  /// A number for each metric (the loss first, where it is measured); of a metric with several, their mean, and of a
  /// confusion matrix the share that is right.
  public var results: [Double] { tallies.map(\.result) }

  /// All numbers of one metric, and the sizes of the array that they are: none for a single number.
  /// - Throws: `.invalidArgument` where there is no such metric.
  public func values(at index: Int) throws(CNNError) -> (shape: [Int], elements: [Double]) {
    guard tallies.indices.contains(index) else {
      throw CNNError(.invalidArgument, "there is no metric \(index); expected 0 to \(tallies.count - 1)")
    }
    return tallies[index].values
  }

  /// Adds predictions.
  /// - Parameters:
  ///   - targets: int32 class numbers `[N, ...]`, or float32 shaped as the predictions.
  ///   - predictions: float32 `[N, ..., classes]`.
  ///   - sampleWeight: float32 `[N]`; nil for 1.
  /// - Throws: `.shapeMismatch` or `.invalidArgument` for what does not fit, and nothing is added.
  public func add(
    targets: some TensorConvertible, predictions: some TensorConvertible,
    sampleWeight: (any TensorConvertible)? = nil
  ) throws(CNNError) {
    let (targets, predictions, sampleWeight) = (try targets.view, try predictions.view, try sampleWeight?.view)
    guard !hasLoss else { throw CNNError(.invalidState, "these are the measures of a model, which evaluate adds to") }
    let batch = try MeasuredBatch(targets: targets, predictions: predictions)
    try add(batch, weights: sampleWeight?.weights(of: predictions.sampleCount))
  }

  /// Keeps a batch as the one that was measured last.
  func keep(targets: TensorView, predictions: TensorView, sampleWeight: TensorView?) throws(CNNError) {
    lastBatch = (
      try Tensor(copying: targets), try Tensor(copying: predictions),
      try sampleWeight.map { (weight) throws(CNNError) in try Tensor(copying: weight) }
    )
  }

  /// Adds the loss of a batch.
  func add(loss: Double, samples: Int) throws(CNNError) { try tallies[0].add(mean: loss, weight: Double(samples)) }

  /// Adds a batch to the metrics.
  /// - Parameter weights: of the samples, for weighted metrics.
  func add(_ batch: MeasuredBatch, weights: UnsafePointer<Float>?) throws(CNNError) {
    guard tallies.contains(where: { $0.metric != nil }) else { return }
    for tally in tallies { try tally.metric?.check(batch) }
    let count = try Checked.product([batch.rows, batch.classes], "metrics")
    let scratch = try Memory(count: batch.classes, of: .float32, for: "metrics")
    var made: [MeasuredBatch.Logits: MeasuredBatch] = [:], memories: [Memory] = []
    for index in tallies.indices {
      guard let metric = tallies[index].metric else { continue }
      try tallies[index].begin(classes: batch.classes)
      var given = batch
      if let logits = metric.logits(of: batch) {
        if made[logits] == nil {
          memories.append(try Memory(count: count, of: .float32, for: "probabilities"))
          made[logits] = batch.probabilities(in: memories[memories.count - 1], logits)
        }
        given = made[logits] ?? batch
      }
      given.weights = tallies[index].isWeighted ? weights : nil
      tallies[index].add(given, scratch: scratch.base.assumingMemoryBound(to: Float.self))
    }
    withExtendedLifetime(memories) {}
  }
}

extension Measures {
  /// How many sums each metric has, and of how many classes they are.
  var counts: (sums: [Int], classes: [Int]) { (tallies.map(\.sums.count), tallies.map(\.classes)) }

  /// All sums one after the other; nil where nothing was added.
  func bytes() throws(CNNError) -> Memory? {
    let count = try Checked.sum(tallies.map(\.sums.count), "metrics")
    guard count > 0 else { return nil }
    let bytes = try Memory(byteCount: Checked.product([count, 8], "metrics"), for: "metrics")
    var place = bytes.base
    for tally in tallies {
      guard let sums = tally.sums.baseAddress else { continue }
      place.copyMemory(from: sums, byteCount: tally.sums.count * 8)
      place += tally.sums.count * 8
    }
    return bytes
  }

  /// Takes over sums that `bytes` gave.
  /// - Throws: `.malformedFile` where they are not as many as these metrics have.
  func restore(counts: [Int], classes: [Int], from bytes: UnsafeRawBufferPointer) throws(CNNError) {
    guard classes.count == tallies.count, counts.count == tallies.count else {
      throw CNNError(.malformedFile, "the training state has other metrics than its settings")
    }
    var rest = bytes[...]
    for (index, count) in counts.enumerated() where count != 0 {
      guard classes[index] >= 0, try tallies[index].count(classes: classes[index]) == count, rest.count >= count * 8
      else { throw CNNError(.malformedFile, "the training state has sums of metrics of another size") }
      try tallies[index].begin(classes: classes[index])
      UnsafeMutableRawBufferPointer(tallies[index].sums).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: rest.prefix(count * 8)))
      rest = rest.dropFirst(count * 8)
    }
  }

  /// Takes over sums of metrics that are all means over as many samples.
  func restore(sums: [Double], samples: Int) throws(CNNError) {
    guard sums.count == tallies.count || sums.isEmpty, samples >= 0 else {
      throw CNNError(.malformedFile, "the training state has other metrics than its settings")
    }
    for (index, sum) in sums.enumerated() where try tallies[index].count(classes: 1) == 2 {
      try tallies[index].add(mean: sum, weight: 1)
      tallies[index].sums[1] = Double(samples)
    }
  }
}

extension Metric {
  /// What has to be taken of a batch's logits for this metric; nil where they will do.
  fileprivate func logits(of batch: MeasuredBatch) -> MeasuredBatch.Logits? {
    switch self {
    case .rate, .count, .fBeta, .best: batch.logits
    case .areaUnderCurve(let area): area.fromLogits ? .sigmoid : batch.logits
    case .confusionMatrix: batch.classes == 1 ? batch.logits : nil
    case .accuracy, .binaryAccuracy, .topK, .meanSquaredError, .meanAbsoluteError, .rootMeanSquaredError: nil
    }
  }

  /// Throws where it cannot be measured of such a batch.
  func check(_ batch: MeasuredBatch) throws(CNNError) {
    if case .labels = batch.targets, needsDenseTargets {
      throw CNNError(.shapeMismatch, "\(name) needs targets shaped as the predictions, not class numbers")
    }
    try check(classes: batch.classes)
  }

  /// Throws where it cannot be measured of so many classes.
  func check(classes: Int) throws(CNNError) {
    switch self {
    case .rate(_, let options):
      try check(classNumber: options.classNumber, classes)
      if let k = options.topK, k > classes {
        throw CNNError(
          .invalidArgument, "\(kind): \(option: "top_k") is \(k); expected \(classes) at most, the number of scores")
      }
    case .best(let best): try check(classNumber: best.classNumber, classes)
    case .areaUnderCurve(let area):
      if let count = area.labelWeights?.count, count != classes {
        throw CNNError(.invalidArgument, "auc: \(option: "label_weights") has \(count) numbers; expected \(classes)")
      }
    default: break
    }
  }

  private func check(classNumber: Int?, _ classes: Int) throws(CNNError) {
    if let classNumber, classNumber >= classes {
      throw CNNError(
        .invalidArgument,
        "\(kind): \(option: "class_id", swift: "classNumber") is \(classNumber); expected 0 to \(classes - 1)")
    }
  }
}

extension MeasuredBatch {
  /// Predictions from anywhere.
  init(targets: TensorView, predictions: TensorView) throws(CNNError) {
    let type = try predictions.validated("\(option: "y_pred", swift: "predictions")")
    guard type.element == .float32 else {
      throw CNNError(
        .shapeMismatch,
        "\(option: "y_pred", swift: "predictions") has element type \(type.element.rawValue); expected float32")
    }
    workers = Workers(count: Threads.count)
    classes = type.rank == 1 ? 1 : type.shape[type.rank - 1]
    rows = type.count / classes
    scores = predictions.base.assumingMemoryBound(to: Float.self)
    self.targets = try targets.measured(rows: rows, classes: classes, predictions.shape, workers)
    samples = predictions.sampleCount
  }
}

extension TensorView {
  /// The targets of that many rows.
  fileprivate func measured(rows: Int, classes: Int, _ predictions: [Int], _ workers: Workers) throws(CNNError)
    -> ScoreHistogram.Targets
  {
    let type = try validated("\(option: "y_true", swift: "targets")")
    if element == .int32 {
      guard type.count == rows, Array(shape.prefix(predictions.count - 1)) == Array(predictions.dropLast()) else {
        throw CNNError(
          .shapeMismatch,
          "\(option: "y_true", swift: "targets") has shape \(describe(shape)); expected a class number for each row of "
            + "\(option: "y_pred", swift: "predictions") \(describe(predictions))"
        )
      }
      let labels = base.assumingMemoryBound(to: Int32.self)
      let bound = max(classes, 2)
      if let index = InputChecks.firstInvalidLabel(labels, count: rows, classes: bound, workers: workers) {
        throw CNNError(
          .invalidArgument,
          "\(option: "y_true", swift: "targets")[\(index)] is \(labels[index]); expected a class "
            + "from 0 to \(bound - 1)")
      }
      return .labels(labels)
    }
    guard element == .float32, type.count == rows * classes,
      shape == predictions || shape + [1] == predictions || shape == predictions + [1]
    else {
      throw CNNError(
        .shapeMismatch,
        "\(option: "y_true", swift: "targets") is \(element.rawValue)\(describe(shape)); expected "
          + "float32\(describe(predictions)) or int32 class numbers"
      )
    }
    return .values(base.assumingMemoryBound(to: Float.self))
  }

  /// The weights of that many samples.
  fileprivate func weights(of samples: Int) throws(CNNError) -> UnsafePointer<Float> {
    guard element == .float32, shape == [samples] else {
      throw CNNError(
        .shapeMismatch,
        "\(option: "sample_weight") is \(element.rawValue)\(describe(shape)); expected float32[\(samples)]")
    }
    return base.assumingMemoryBound(to: Float.self)
  }
}
