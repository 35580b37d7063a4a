import CNNCore
import Testing

@testable import CNNGraph
@testable import SwiftCNN

/// What does not fit is refused by name, and the model stays as it was.
@Suite struct BadDataTests {
  private func model(_ settings: String = #"{"optimizer": "sgd"}"#) throws -> Model {
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(settings)
    return model
  }

  private func zeros(_ shape: [Int], _ element: ElementType = .float32) throws -> TensorView {
    // The shape alone is looked at before it is found wrong; the memory is the largest of them.
    TensorView(element, shape: shape, base: try Self.room.get().base)
  }
  private static let room = Result { () throws(CNNError) in try Memory(byteCount: 1 << 16, for: "test") }

  /// (shape of x, its type, shape of y, its type, code, message)
  static let faults: [([Int], ElementType, [Int], ElementType, CNNError.Code, String)] = [
    ([4, 6, 6], .float32, [4], .int32, .shapeMismatch, "x has shape [4, 6, 6]; expected [N, 6, 6, 2]"),
    ([6, 6, 2], .float32, [4], .int32, .shapeMismatch, "add the batch axis"),
    ([4, 6, 6, 3], .float32, [4], .int32, .shapeMismatch, "x has shape [4, 6, 6, 3]; expected [N, 6, 6, 2]"),
    ([4, 7, 6, 2], .float32, [4], .int32, .shapeMismatch, "x has shape [4, 7, 6, 2]"),
    ([0, 6, 6, 2], .float32, [0], .int32, .shapeMismatch, "x has shape [0, 6, 6, 2]: the batch is empty"),
    ([], .float32, [4], .int32, .shapeMismatch, "x has shape []"),
    ([-1, 6, 6, 2], .float32, [4], .int32, .shapeMismatch, "x: shape [-1, 6, 6, 2]"),
    ([1 << 60, 6, 6, 2], .float32, [4], .int32, .outOfMemory, "x: "),
    ([4, 6, 6, 2], .float32, [5], .int32, .shapeMismatch, "y has shape [5]; expected [4]"),
    ([4, 6, 6, 2], .float32, [4, 3], .int32, .shapeMismatch, "y has shape [4, 3]; expected [4]"),
    (
      [4, 6, 6, 2], .float32, [4], .float32, .shapeMismatch,
      "y has element type float32; sparse_categorical_crossentropy expects int32"
    ),
    ([4, 6, 6, 2], .float32, [], .int32, .shapeMismatch, "y is a scalar"),
    ([4, 6, 6, 2], .float32, [0], .int32, .shapeMismatch, "y has shape [0]: the batch is empty"),
  ]

  @Test(arguments: faults)
  func shapesAndTypesAreNamed(
    _ fault: ([Int], ElementType, [Int], ElementType, CNNError.Code, String)
  ) throws {
    let (xShape, xType, yShape, yType, code, message) = fault
    let model = try model(), before = try model.bits()
    let x = try zeros(xShape, xType), y = try zeros(yShape, yType)
    expectError(code, message) { _ = try model.trainOnBatch(x, y) }
    expectError(code, message) { _ = try model.evaluate(x, y) }
    expectError(code, message) { try model.fit(x, y) }
    if message.hasPrefix("x") { expectError(code, message) { _ = try model.predict(x) } }
    #expect(try model.bits() == before)
  }

  @Test(arguments: [-1, 3, Int32.max, Int32.min]) func labelsOutOfRangeAreNamed(_ label: Int32) throws {
    let model = try model(), data = try imageData(4)
    let y = try Tensor([0, 2, label, 1] as [Int32], shape: [4])
    expectError(.invalidArgument, "y[2] is \(label); expected a class from 0 to 2") {
      _ = try model.trainOnBatch(data.x.view, y.view)
    }
    expectError(.invalidArgument, "y[2]") { try model.fit(data.x.view, y.view) }
    expectError(.invalidArgument, "y[2]") { _ = try model.evaluate(data.x.view, y.view) }
  }

  @Test func aColumnOfLabelsIsTaken() throws {
    let model = try model(), other = try self.model(), data = try imageData(5)
    var options = FitOptions()
    options.batchSize = 2
    let column = TensorView(.int32, shape: [5, 1], base: data.y.view.base)
    #expect(try model.trainOnBatch(data.x.view, column) == other.trainOnBatch(data.x.view, data.y.view))
    #expect(
      try model.evaluate(data.x.view, column, batchSize: 2)
        == other.evaluate(data.x.view, data.y.view, batchSize: 2))
    try model.fit(data.x.view, column, options: options)
    try other.fit(data.x.view, data.y.view, options: options)
    #expect(try model.bits() == other.bits())
  }

  @Test func targetsAndWeightsThatAreNotFiniteAreNamed() throws {
    let model = try model(#"{"loss": "categorical_crossentropy", "optimizer": "sgd"}"#), data = try imageData(2)
    let y = try Tensor([1, 0, 0, 0, .nan, 0] as [Float], shape: [2, 3])
    expectError(.invalidArgument, "y element 4 is nan") { _ = try model.trainOnBatch(data.x.view, y.view) }
    let good = try Tensor([1, 0, 0, 0, 1, 0] as [Float], shape: [2, 3])
    let weights = try Tensor([1, .infinity] as [Float], shape: [2])
    expectError(.invalidArgument, "sample_weight element 1 is inf") {
      _ = try model.trainOnBatch(data.x.view, good.view, sampleWeight: weights.view)
    }
    let short = try Tensor([1] as [Float], shape: [1])
    expectError(.shapeMismatch, "sample_weight is float32[1]; expected float32[2]") {
      _ = try model.trainOnBatch(data.x.view, good.view, sampleWeight: short.view)
    }
    let labels = try Tensor([1, 0] as [Int32], shape: [2])
    expectError(.shapeMismatch, "y has shape [2]; expected [2, 3]") {
      _ = try model.trainOnBatch(data.x.view, labels.view)
    }
    var options = FitOptions()
    options.classWeights = [0: 1]
    expectError(.invalidArgument, "class_weight needs one int32 label a sample") {
      try model.fit(data.x.view, good.view, options: options)
    }
  }

  @Test func fitOptionsAreChecked() throws {
    func options(_ text: String) throws { _ = try FitOptions(json: #require(JSON(parsing: text).objectValue)) }
    expectError(.invalidArgument, "batch_size is 0") { try options(#"{"batch_size": 0}"#) }
    expectError(.invalidArgument, "epochs is 0") { try options(#"{"epochs": 0}"#) }
    expectError(.invalidArgument, "initial_epoch is -1; expected 0 or more") { try options(#"{"initial_epoch": -1}"#) }
    expectError(.invalidArgument, "epochs is 3 and initial_epoch 3") {
      try options(#"{"epochs": 3, "initial_epoch": 3}"#)
    }
    expectError(.invalidArgument, "crop_padding is 5000") { try options(#"{"crop_padding": 5000}"#) }
    expectError(.invalidArgument, "class_weight: 'a'") { try options(#"{"class_weight": {"a": 1}}"#) }
    expectError(.invalidArgument, "class_weight of 1 is -1.0") { try options(#"{"class_weight": {"1": -1}}"#) }
    expectError(.unknownName, "did you mean 'shuffle'?") { try options(#"{"shufle": true}"#) }
    expectError(.invalidArgument, "'shuffle': expected a boolean") { try options(#"{"shuffle": 1}"#) }
    let model = try model(), data = try imageData(4)
    expectError(.invalidArgument, "batch_size is 0") { _ = try model.predict(data.x.view, batchSize: 0) }
    expectError(.invalidArgument, "batch_size is -3") {
      _ = try model.evaluate(data.x.view, data.y.view, batchSize: -3)
    }
    var huge = FitOptions()
    (huge.batchSize, huge.epochs) = (.max, 1)
    try model.fit(data.x.view, data.y.view, options: huge)
    (huge.batchSize, huge.epochs) = (1, .max)
    expectError(.outOfMemory, "steps") { try model.fit(data.x.view, data.y.view, options: huge) }
  }

  @Test func flipsAndCropsNeedImages() throws {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [4])
    try builder.graph.addOutput("y", builder.dense(input, "fc", units: 3))
    let model = try Model(builder.graph, name: "dense")
    try model.compile(#"{"optimizer": "sgd"}"#)
    let x = try Tensor(.float32, zeros: [3, 4]), y = try Tensor([0, 1, 2] as [Int32], shape: [3])
    var options = FitOptions()
    options.flipsHorizontally = true
    expectError(.invalidArgument, "need images") { try model.fit(x.view, y.view, options: options) }
    (options.flipsHorizontally, options.cropPadding) = (false, 1)
    expectError(.invalidArgument, "need images") { try model.fit(x.view, y.view, options: options) }
    options.cropPadding = 0
    try model.fit(x.view, y.view, options: options)
  }

  @Test func trainingSettingsAreChecked() throws {
    func settings(_ text: String) throws { try Model(randomNetwork(), name: "m").compile(text) }
    expectError(.unknownName, "unknown loss 'mse'") { try settings(#"{"loss": "mse"}"#) }
    expectError(.unknownName, "did you mean 'accuracy'?") { try settings(#"{"metrics": ["acuracy"]}"#) }
    expectError(.invalidArgument, "k is 0") { try settings(#"{"metrics": [{"name": "top_k", "k": 0}]}"#) }
    expectError(.invalidArgument, "label_smoothing is 1.0") {
      try settings(#"{"loss": {"name": "categorical_crossentropy", "label_smoothing": 1.0}}"#)
    }
    expectError(.invalidArgument, "mean_squared_error has neither") {
      try settings(#"{"loss": {"name": "mean_squared_error", "from_logits": true}}"#)
    }
    expectError(.invalidArgument, "'loss': expected a name") { try settings(#"{"loss": 3}"#) }
    expectError(.unknownName, "unknown option 'optimiser'; did you mean 'optimizer'?") {
      try settings(#"{"optimiser": "sgd"}"#)
    }
    let metrics = Array(repeating: #""accuracy""#, count: 16).joined(separator: ",")
    expectError(.invalidArgument, "16 metrics given") { try settings(#"{"metrics": [\#(metrics)]}"#) }
  }

  @Test func whatNeedsCompilingSaysSo() throws {
    let model = try Model(randomNetwork(), name: "m"), data = try imageData(2)
    expectError(.invalidState, "not compiled") { _ = try model.trainOnBatch(data.x.view, data.y.view) }
    expectError(.invalidState, "not compiled") { _ = try model.evaluate(data.x.view, data.y.view) }
    expectError(.invalidState, "not compiled") { try model.fit(data.x.view, data.y.view) }
    expectError(.invalidState, "not compiled") { _ = try model.learningRate() }
    try model.compile(#"{"optimizer": "sgd"}"#)
    expectError(.invalidState, "no gradient before the first training step") { _ = try model.gradient("fc.bias") }
  }

  @Test func parametersAndOutputsByWrongNamesSuggest() throws {
    let model = try model(), data = try imageData(2)
    expectError(.unknownName, "unknown parameter 'fc.weigth'; did you mean 'fc.weight'?") {
      try model.set("fc.weigth", [1])
    }
    expectError(.shapeMismatch, "'fc.bias' has 3 elements; 2 given") { try model.set("fc.bias", [1, 2]) }
    expectError(.unknownName, "unknown tensor 'rely'; did you mean 'relu'?") {
      _ = try model.predict(data.x.view, output: "rely")
    }
    expectError(.invalidArgument, "'fc.weight' is a parameter") {
      _ = try model.predict(data.x.view, output: "fc.weight")
    }
    let room = try Tensor(.float32, zeros: [5])
    expectError(.shapeMismatch, "there is room for 5 results; the output has 6") {
      try model.predict(data.x.view, into: room.floats)
    }
  }

  /// A graph whose output has a batch of its own must not read targets that are not there.
  @Test func anOutputThatDoesNotFollowTheBatchIsRefused() throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [1, 4]))
    _ = try graph.addSingle(Softmax(), [x])
    try graph.addOutput("y", graph.addSingle(Fill(0.5, shape: [4096, 3]), [], name: "y"))
    let model = try Model(graph, name: "hostile")
    try model.compile(
      #"{"loss": {"name": "sparse_categorical_crossentropy", "from_logits": true}, "optimizer": "sgd"}"#)
    let input = try Tensor(.float32, zeros: [2, 4]), labels = try Tensor([0, 1] as [Int32], shape: [2])
    expectError(.shapeMismatch, "one row for each sample") { _ = try model.trainOnBatch(input.view, labels.view) }
    expectError(.shapeMismatch, "one row for each sample") { _ = try model.evaluate(input.view, labels.view) }
    expectError(.shapeMismatch, "one row for each sample") { _ = try model.predict(input.view) }
  }

  @Test func aModelHasAnInputAndAnOutputAndTrainsWithOneOutput() throws {
    var graph = Graph()
    expectError(.invalidArgument, "0 inputs and 0 outputs; expected at least one of each") {
      _ = try Model(graph, name: "m")
    }
    let x = try graph.addInput("x", TensorType(.float32, [1, 4]))
    try graph.addOutput("a", graph.addSingle(Softmax(), [x]))
    try graph.addOutput("b", graph.addSingle(Activation(.tanh), [x]))
    let model = try Model(graph, name: "m")
    #expect(model.outputNames == ["a", "b"])
    expectError(.invalidState, "2 outputs") { try model.compile(#"{"optimizer": "sgd"}"#) }
    let input = try Tensor([1, 2, 3, 4] as [Float], shape: [1, 4])
    let both = try model.predict(input.view, outputs: ["b", "a"])
    #expect(try both.map(\.bits) == [model.predict(input.view, output: "b").bits, model.predict(input.view).bits])
    expectError(.invalidArgument, "twice") { _ = try model.predict(input.view, outputs: ["a", "a"]) }
    expectError(.invalidArgument, "0 results") { _ = try model.predict(input.view, outputs: []) }
  }
}
