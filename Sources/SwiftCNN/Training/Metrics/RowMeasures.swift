import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Loss {
  /// What each prediction costs, a number for each row of the last axis.
  /// - Parameters:
  ///   - targets: as `targetType(for:)` says, or without the last axis where that is 1.
  ///   - predictions: float32, 2 axes or more.
  /// - Throws: `.shapeMismatch` or `.invalidArgument` for what does not fit; `.outOfMemory`.
  func rows(targets: TensorView, predictions: TensorView, into rows: UnsafeMutableBufferPointer<Float>)
    throws(CNNError)
  {
    let prediction = try predictions.validated("\(option: "y_pred", swift: "predictions")")
    let given = try targets.validated("\(option: "y_true", swift: "targets")")
    var graph = Graph()
    let y = try graph.addInput("y_pred", prediction)
    let expected = try targetType(for: prediction)
    guard given.element == expected.element, given.count == expected.count,
      given.shape == expected.shape || given.shape + [1] == expected.shape || given.shape == expected.shape + [1]
    else { throw CNNError(.shapeMismatch, "\(option: "y_true", swift: "targets") is \(given); expected \(expected)") }
    if function.hasLabelTargets {
      let labels = targets.base.assumingMemoryBound(to: Int32.self), classes = prediction.shape.last ?? 1
      let workers = Workers(count: Threads.count)
      if let index = InputChecks.firstInvalidLabel(labels, count: given.count, classes: classes, workers: workers) {
        throw CNNError(
          .invalidArgument,
          "\(option: "y_true", swift: "targets")[\(index)] is \(labels[index]); expected a class "
            + "from 0 to \(classes - 1)")
      }
    }
    let cost = try graph.addSingle(self, [y, graph.addInput("y_true", expected)], name: "loss")
    try graph.addOutput("loss", cost)
    let context = try ExecutionContext(Plan(graph, threads: Threads.count))
    try context.run(parameters: ParameterStorage(graph.parameters), inputs: [predictions.base, targets.base])
    let values = context.output(0)
    guard values.count == rows.count else {
      throw CNNError(.bufferTooSmall, "there is room for \(rows.count) numbers; there are \(values.count)")
    }
    _ = rows.update(fromContentsOf: values)
  }
}

extension Measures {
  /// What a metric that is a mean gives for each row of the last axis.
  /// - Throws: as `add`; `.invalidArgument` where the metric is no mean.
  static func rows(
    of metric: Metric, targets: TensorView, predictions: TensorView, into rows: UnsafeMutableBufferPointer<Float>
  ) throws(CNNError) {
    try metric.validate()
    guard metric.isMean else { throw CNNError(.invalidArgument, "\(metric.kind) is no mean over predictions") }
    let batch = try MeasuredBatch(targets: targets, predictions: predictions)
    try metric.check(batch)
    guard rows.count == batch.rows else {
      throw CNNError(.bufferTooSmall, "there is room for \(rows.count) numbers; there are \(batch.rows)")
    }
    for row in 0..<batch.rows { rows[row] = Float(batch.rows(row..<row + 1).mean(of: metric)) }
  }
}

/// Evaluates one loss or metric on arrays.
package enum RowMeasures {
  /// What a loss costs, or a metric that is a mean gives, for each row of the last axis.
  /// - Parameter settings: "loss" or "metric", as `scnn_compile` takes a loss and one of the metrics.
  /// - Throws: `.unknownName` or `.invalidArgument` naming the option; `.shapeMismatch` for what does not fit.
  package static func evaluate(
    _ settings: JSONObject, targets: TensorView, predictions: TensorView,
    into rows: UnsafeMutableBufferPointer<Float>
  ) throws(CNNError) {
    if let metric = settings["metric"] {
      return try Measures.rows(
        of: NamedMetric(metric, "metric").metric, targets: targets, predictions: predictions, into: rows)
    }
    let loss = try TrainingSettings(json: settings)
    try loss.lossOperation(fromLogits: loss.fromLogits ?? false)
      .rows(targets: targets, predictions: predictions, into: rows)
  }
}
