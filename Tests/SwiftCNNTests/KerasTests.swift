import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime
import Testing

@testable import CNNCompiler
@testable import SwiftCNN

/// Optimizers, losses and metrics against Keras 3.
@Suite struct KerasTests {
  static let file = Result { try GoldenFile("keras") }

  static func names(_ what: String) -> [String] {
    guard let cases = try? file.get().document.object(what) else { return [] }
    return cases.keys.sorted()
  }

  @Test func thereAreCases() throws {
    _ = try Self.file.get()
    #expect(Self.names("optimizers").count >= 16 && Self.names("losses").count >= 60)
  }

  @Test(arguments: names("optimizers")) func anOptimizersStepsAreKerass(_ name: String) throws {
    let file = try Self.file.get()
    let settings = try OptimizerSettings(file.document.object("optimizers")[name] ?? .null, "optimizer")
    let names = ["weight", "bias"]
    var list: [Parameter] = []
    for name in names {
      list.append(Parameter(name: name, shape: try file.shape("initial/\(name)"), role: .weight, initializer: .zeros))
    }
    let parameters = try ParameterStorage(list)
    for (position, name) in names.enumerated() {
      _ = parameters.values(at: position).update(fromContentsOf: try file.values("initial/\(name)"))
    }
    let optimizer = try Optimizer(settings, parameters: parameters)
    let all = try names.map { try file.values("gradients/\($0)") }
    let expected = try names.map { try file.values("optimizer/\(name)/\($0)") }
    let workers = Workers(count: 2)
    for step in 0..<5 {
      var gradients: [Tensor] = []
      for (position, values) in all.enumerated() {
        let count = parameters.values(at: position).count
        gradients.append(try Tensor(Array(values[step * count..<(step + 1) * count]), shape: [count]))
      }
      let views = gradients.enumerated().map { (position: $0, values: UnsafeBufferPointer($1.floats)) }
      let squares = OptimizerUpdates.sumsOfSquares(of: views.map(\.values), workers: workers)
      optimizer.takeStep(
        parameters, gradients: views, squares: squares, rate: optimizer.settings.learningRate, step: step,
        workers: workers)
      for (position, values) in expected.enumerated() {
        let now = Array(parameters.values(at: position))
        expectClose(
          now, Array(values[step * now.count..<(step + 1) * now.count]), 1e-6, "\(names[position]) after \(step + 1)",
          floor: 1)
      }
    }
  }

  /// A network that gives what it is given: taken as probabilities.
  private func mirror(_ shape: [Int]) throws -> Model {
    var builder = GraphBuilder()
    let x = try builder.input(shape: Array(shape.dropFirst()))
    try builder.graph.addOutput("y", builder.apply(Rescaling(), x))
    return try Model(builder.graph, name: "mirror")
  }

  @Test(arguments: names("losses")) func evaluationIsKerass(_ name: String) throws {
    let file = try Self.file.get()
    let description = try file.document.object("losses").object(name)
    let x = try file.tensor("loss/\(name)/prediction"), shape = try file.shape("loss/\(name)/target")
    var loss = JSONObject(), settings = JSONObject()
    loss["name"] = description["function"]
    if try description.bool("from_logits") { loss["from_logits"] = true }  // Else left to the rule.
    loss["label_smoothing"] = description["label_smoothing"]
    for option in ["delta", "gamma", "alpha", "apply_class_balancing"] { loss[option] = description[option] }
    settings["loss"] = .object(loss)
    let names = [
      ("accuracy", "accuracy"), ("BinaryAccuracy", "binary_accuracy"), ("MeanSquaredError", "mean_squared_error"),
      ("MeanAbsoluteError", "mean_absolute_error"),
    ].filter { description[$0.0] != nil }
    settings["metrics"] = .strings(names.map(\.1))
    let isSparse = try description.string("function") == "sparse_categorical_crossentropy"
    let values = try file.values("loss/\(name)/target")
    let y = try isSparse ? Tensor(values.map { Int32($0) }, shape: shape) : Tensor(values, shape: shape)
    let model = try mirror(x.shape)
    try model.compile(TrainingSettings(json: settings))
    for batchSize in [x.shape[0], 1] {
      let results = try model.evaluate(x.view, y.view, batchSize: batchSize).map { Float($0) }
      var expected = [try file.values("loss/\(name)/mean")[0]]
      for (key, _) in names { expected.append(Float(try description.number(key))) }
      #expect(results.count == expected.count)
      for (index, (a, b)) in zip(results, expected).enumerated() { expectClose([a], [b], 2e-6, "result \(index)") }
    }
  }

  @Test func logitsAreWhatComesDirectlyFromALayerOfWeights() throws {
    func isOfLogits(_ loss: LossFunction = .categoricalCrossEntropy, _ add: (inout GraphBuilder, Value) throws -> Value)
      throws -> Bool
    {
      var builder = GraphBuilder()
      let x = try builder.input(shape: [4, 4, 3])
      try builder.graph.addOutput("y", add(&builder, x))
      let settings = TrainingSettings(loss: loss, optimizer: .sgd())
      return settings.lossOperation(for: builder.graph).fromLogits
    }
    func convolution(_ builder: inout GraphBuilder, _ x: Value) throws -> Value {
      try builder.convolution(x, "conv", outputChannels: 2, kernel: (1, 1))
    }
    #expect(try isOfLogits { try $0.dense($1, "fc", units: 2) })
    #expect(try isOfLogits(.binaryCrossEntropy) { try $0.dense($1, "fc", units: 2) })
    #expect(try isOfLogits { try convolution(&$0, $1) })
    #expect(
      try isOfLogits { builder, x in
        var y = try builder.apply(GlobalPooling2D(.average), convolution(&builder, x))
        y = try builder.apply(Dropout(rate: 0.5, stream: 1), y)
        return try builder.apply(Reshape([1, 2]), y)
      })
    #expect(try !isOfLogits(.meanSquaredError) { try $0.dense($1, "fc", units: 2) })
    #expect(try !isOfLogits { try $0.apply(Softmax(), convolution(&$0, $1)) })
    #expect(try !isOfLogits { try $0.activation(.relu, convolution(&$0, $1)) })
    #expect(try !isOfLogits { try $0.batchNormalization(convolution(&$0, $1), "bn") })
    #expect(try isOfLogits { try $0.apply(GlobalPooling2D(.max), convolution(&$0, $1)) })
    #expect(try !isOfLogits { try $0.apply(GlobalPooling2D(.average), $1) })
  }

  @Test func metricsThatNeedDenseTargetsSaySo() throws {
    let model = try mirror([1, 5])
    for metric in ["binary_accuracy", "mean_squared_error", "mean_absolute_error"] {
      expectError(.invalidArgument, "\(metric) needs targets shaped as the output") {
        try model.compile(#"{"metrics": ["\#(metric)"]}"#)
      }
    }
    try model.compile(
      #"{"loss": "huber", "metrics": [{"name": "binary_accuracy", "threshold": 0.25}, "mean_squared_error"]}"#)
    #expect(model.trainingSettings?.resultNames == ["loss", "binary_accuracy", "mean_squared_error"])
    let settings = try #require(model.trainingSettings)
    #expect(try TrainingSettings(json: settings.json) == settings)
    expectError(.invalidArgument, "delta is 0") { try model.compile(#"{"loss": {"name": "huber", "delta": 0}}"#) }
    expectError(.unknownName, "unknown option 'delta'") {
      try model.compile(#"{"loss": {"name": "mean_squared_error", "delta": 1}}"#)
    }
  }
}
