import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Metrics that are counted over several batches.
@Suite struct MetricTests {
  static let file = Result { try GoldenFile("keras") }

  static var names: [String] {
    guard let cases = try? file.get().document.object("metrics") else { return [] }
    return cases.keys.sorted()
  }

  /// Targets, predictions and weights of the golden file.
  private func inputs(_ name: String) throws -> (y: Tensor, p: Tensor, weight: Tensor) {
    let file = try Self.file.get()
    return (
      try file.tensor("metrics/\(name)/target"), try file.tensor("metrics/\(name)/prediction"),
      try file.tensor("metrics/\(name)/weight")
    )
  }

  /// A metric's options, with the name of its kind.
  private func metric(_ description: JSONObject) throws -> JSON {
    var options = try description.object("arguments")
    options["name"] = description["kind"]
    return .object(options)
  }

  private func measures(_ metrics: JSON...) throws -> Measures {
    var settings = JSONObject()
    settings["metrics"] = .array(metrics)
    return try Measures(json: settings)
  }

  @Test func thereAreCases() throws {
    _ = try Self.file.get()
    #expect(Self.names.count >= 160)
  }

  @Test(arguments: names) func isKerass(_ name: String) throws {
    let description = try Self.file.get().document.object("metrics").object(name)
    let given = try inputs(description.string("inputs"))
    let measures = try measures(metric(description))
    let count = given.p.shape[0]
    for batch in [0..<count / 2, count / 2..<count] {
      try measures.add(
        targets: given.y.view.samples(batch), predictions: given.p.view.samples(batch),
        sampleWeight: description.bool("weighted") ? given.weight.view.samples(batch) : nil)
    }
    let (shape, elements) = try measures.values(at: 0)
    #expect(try shape == description.integers("shape"))
    // Keras's F scores have an epsilon in their divisors.
    let expected = try description.numbers("numbers").map { Float($0) }
    expectClose(elements.map { Float($0) }, expected, 2e-6, name, floor: 1)
  }

  @Test(arguments: names.filter { $0.hasPrefix("precision") || $0.hasPrefix("f1") || $0.hasPrefix("auc") })
  func classNumbersAreOneHotTargets(_ name: String) throws {
    let description = try Self.file.get().document.object("metrics").object(name)
    let given = try inputs("classes")
    let labels = try Tensor((0..<40).map { Int32($0 * 7 % 5) }, shape: [40])
    let (sparse, dense) = (try measures(metric(description)), try measures(metric(description)))
    try sparse.add(targets: labels.view, predictions: given.p.view, sampleWeight: given.weight.view)
    try dense.add(targets: given.y.view, predictions: given.p.view, sampleWeight: given.weight.view)
    #expect(try sparse.values(at: 0).elements == dense.values(at: 0).elements)
    #expect(sparse.results[0] != 0)
  }

  @Test func aConfusionMatrixHasTrueClassesAsRows() throws {
    let scores: [Float] = [0.5, 0.3, 0.2, 0.1, 0.8, 0.1, 0.2, 0.2, 0.6, 0.7, 0.2, 0.1]
    let measures = try measures("confusion_matrix")
    try measures.add(
      targets: Tensor([0, 1, 1, 2] as [Int32], shape: [4]).view, predictions: Tensor(scores, shape: [4, 3]).view,
      sampleWeight: Tensor([1, 1, 2, 3] as [Float], shape: [4]).view)
    #expect(try measures.values(at: 0).shape == [3, 3])
    #expect(try measures.values(at: 0).elements == [1, 0, 0, 0, 1, 2, 3, 0, 0])
    #expect(measures.results == [2.0 / 7])
    measures.reset()
    #expect(measures.results == [0])
    try measures.add(
      targets: Tensor([1, 0, 1] as [Float], shape: [3, 1]).view,
      predictions: Tensor([0.9, 0.6, 0.2], shape: [3, 1]).view)
    #expect(try measures.values(at: 0).elements == [0, 1, 1, 1])
  }

  @Test func averagesOfPrecision() throws {
    // Classes 0, 1, 2 are predicted 2, 1 and 1 times, rightly 1, 1 and 0 times; they are there 1, 2 and 1 times.
    let scores: [Float] = [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0]
    func precision(_ average: JSON) throws -> [Double] {
      let measures = try measures(["name": "precision", "top_k": 1, "average": average])
      try measures.add(
        targets: Tensor([0, 1, 1, 2] as [Int32], shape: [4]).view, predictions: Tensor(scores, shape: [4, 3]).view)
      return try measures.values(at: 0).elements
    }
    #expect(try precision("none") == [0.5, 1, 0])
    #expect(try precision("macro") == [0.5])
    #expect(try precision("weighted") == [(0.5 + 2) / 4])
    #expect(try precision("micro") == [0.5])
    #expect(try precision(.null) == [0.5])
  }

  @Test func logitsAreComparedAsProbabilities() throws {
    let x = try Tensor(Formula.values("scores", 120, scale: 2), shape: [30, 4]),
      y = try Tensor((0..<30).map { Int32($0 % 4) }, shape: [30])
    let metrics = #"["precision", {"name": "auc", "multi_label": true}, {"name": "recall", "thresholds": [0.2, 0.4]}]"#
    func results(endsInSoftmax: Bool) throws -> [Double] {
      var builder = GraphBuilder()
      let input = try builder.input(shape: [4])
      var output = try builder.dense(input, "fc", units: 4)
      if endsInSoftmax { output = try builder.apply(Softmax(), output) }
      try builder.graph.addOutput("y", output)
      let model = try Model(builder.graph, name: "two", seed: 3)
      try model.compile(#"{"metrics": \#(metrics)}"#)
      return try model.evaluate(x, y).values
    }
    let (a, b) = (try results(endsInSoftmax: false), try results(endsInSoftmax: true))
    for (a, b) in zip(a, b) { expectClose([Float(a)], [Float(b)], 1e-6, "metric", floor: 1) }
    #expect(a[1] != 0 && a[2] != 0)
  }

  @Test func weightedMetricsAreWeighted() throws {
    let given = try inputs("classes")
    var builder = GraphBuilder()
    let x = try builder.input(shape: [5])
    try builder.graph.addOutput("y", builder.apply(Rescaling(), x))
    let model = try Model(builder.graph, name: "mirror")
    try model.compile(
      #"""
      {"loss": "categorical_crossentropy", "metrics": ["precision", "accuracy"],
       "weighted_metrics": ["precision", "mean_squared_error", {"name": "f1_score", "reported_as": "f1"}]}
      """#)
    let names = ["loss", "precision", "accuracy", "weighted_precision", "mean_squared_error", "f1"]
    #expect(model.trainingSettings?.resultNames == names)
    let settings = try #require(model.trainingSettings)
    #expect(try TrainingSettings(json: settings.json) == settings)
    let alone = try measures("precision", "accuracy", "mean_squared_error", "f1_score")
    try alone.add(targets: given.y.view, predictions: given.p.view)
    let plain = alone.results
    alone.reset()
    try alone.add(targets: given.y.view, predictions: given.p.view, sampleWeight: given.weight.view)
    let weighted = alone.results
    let results = try model.evaluate(given.p.view, given.y.view, sampleWeight: given.weight.view, batchSize: 7)
    let expected = [plain[0], plain[1], weighted[0], weighted[2], weighted[3]]
    for (a, b) in zip(results.dropFirst(), expected) { expectClose([Float(a)], [Float(b)], 1e-6, "result", floor: 1) }
    #expect(plain[0] != weighted[0])
  }

  @Test func trainingReportsTheEpochAndABatchItsOwn() throws {
    let given = try inputs("classes")
    let labels = try Tensor((0..<40).map { Int32($0 * 7 % 5) }, shape: [40])
    var builder = GraphBuilder()
    let x = try builder.input(shape: [5])
    try builder.graph.addOutput("y", builder.apply(Softmax(), builder.dense(x, "fc", units: 5)))
    let model = try Model(builder.graph, name: "classifier", seed: 1)
    let settings = #"{"optimizer": {"name": "sgd", "learning_rate": 0}, "metrics": ["f1_score", "confusion_matrix"]}"#
    try model.compile(settings)
    var options = FitOptions()
    options.batchSize = 16
    let history = try model.fit(given.p, labels, options: options)
    let evaluated = try model.evaluate(given.p.view, labels.view)
    for (a, b) in zip(history[0], evaluated) { expectClose([Float(a)], [Float(b)], 1e-6, "result", floor: 1) }
    #expect(try model.trainingMeasures().values(at: 2).elements.reduce(0, +) == 40)
    let batch = try model.trainOnBatch(given.p.view.samples(0..<8), labels.view.samples(0..<8))
    #expect(try model.trainingMeasures().values(at: 2).elements.reduce(0, +) == 8)
    #expect(try model.trainingMeasures().values(at: 1).shape == [5])
    #expect(batch.values == (try model.trainingMeasures().results))
  }

  @Test func whatDoesNotFitIsSaid() throws {
    func refused(_ code: CNNError.Code, _ message: String, _ settings: String) throws {
      expectError(code, message) { _ = try Measures(json: #require(JSON(parsing: settings).objectValue)) }
    }
    try refused(.unknownName, "unknown metric 'precison'", #"{"metrics": ["precison"]}"#)
    try refused(.invalidArgument, "thresholds", #"{"metrics": [{"name": "recall", "thresholds": 2}]}"#)
    try refused(.invalidArgument, "top_k", #"{"metrics": [{"name": "recall", "top_k": 0}]}"#)
    try refused(.unknownName, "average", #"{"metrics": [{"name": "f1_score", "average": "mean"}]}"#)
    try refused(.invalidArgument, "num_thresholds", #"{"metrics": [{"name": "auc", "num_thresholds": 1}]}"#)
    try refused(.invalidArgument, "num_thresholds", #"{"metrics": [{"name": "auc", "num_thresholds": 1000000000}]}"#)
    try refused(.invalidArgument, "'recall' is missing", #"{"metrics": ["precision_at_recall"]}"#)
    try refused(.invalidArgument, "beta", #"{"metrics": [{"name": "fbeta_score", "beta": 0}]}"#)
    let given = try inputs("classes")
    let measures = try measures(["name": "precision", "class_id": 5])
    expectError(.invalidArgument, "class_id is 5; expected 0 to 4") {
      try measures.add(targets: given.y.view, predictions: given.p.view)
    }
    expectError(.shapeMismatch, "sample_weight") {
      try measures.add(targets: given.y.view, predictions: given.p.view, sampleWeight: given.p.view)
    }
    expectError(.invalidArgument, "y_true[1] is 7") {
      try measures.add(
        targets: Tensor([0, 7] as [Int32], shape: [2]).view, predictions: given.p.view.samples(0..<2))
    }
    expectError(.invalidArgument, "there is no metric 1") { _ = try measures.values(at: 1) }
    var builder = GraphBuilder()
    let x = try builder.input(shape: [5])
    try builder.graph.addOutput("y", builder.apply(Softmax(), x))
    let model = try Model(builder.graph, name: "mirror")
    expectError(.invalidArgument, "top_k is 6; expected 5 at most") {
      try model.compile(#"{"metrics": [{"name": "recall", "top_k": 6}]}"#)
    }
  }
}
