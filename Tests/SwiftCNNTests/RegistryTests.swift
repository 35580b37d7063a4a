import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// The registry is the list of tests: a new model is tested by being there.
@Suite(.serialized) struct RegistryTests {
  private func options(_ size: Int) -> ModelOptions {
    var options = ModelOptions()
    options.inputShape = [size, size, 3]
    options.classes = 10
    options.seed = 3
    return options
  }

  @Test(arguments: ModelRegistry.names) func predictsTrainsAndIsSaved(_ name: String) throws {
    let model = try Model(name, options: options(32))
    let x = try Tensor(Formula.values("x", 2 * 32 * 32 * 3), shape: [2, 32, 32, 3])
    let before = try model.predict(x.view)
    #expect(before.shape == [2, 10])
    for row in 0..<2 {
      let probabilities = before.floats[row * 10..<row * 10 + 10]
      #expect(probabilities.allSatisfy { $0 >= 0 } && abs(probabilities.reduce(0, +) - 1) < 1e-5)
    }

    let directory = try TemporaryDirectory()
    try model.save(directory.file("model"))
    let copy = try Model(contentsOf: directory.file("model"))
    #expect(copy.name == name)
    #expect(try copy.predict(x.view).bits == before.bits)
    #expect(copy.graph.text == model.graph.text)

    try model.compile(#"{"loss": "sparse_categorical_crossentropy", "optimizer": "sgd"}"#)
    let loss = try model.trainOnBatch(x.view, Tensor([3, 7] as [Int32], shape: [2]).view)[0]
    #expect(loss.isFinite && loss > 0)
    for parameter in model.parameterList where parameter.isTrainable {
      let gradient = try model.gradient(parameter.name)
      #expect(gradient.allSatisfy { $0.isFinite }, "\(parameter.name)")
    }
    // Every weight moves something: the loss depends on it.
    #expect(try model.gradient("conv1.weight").contains { $0 != 0 })
    #expect(try model.gradient("fc.bias").contains { $0 != 0 })
  }

  @Test(arguments: [
    ("resnet18", 1000, 11_689_512), ("resnet34", 1000, 21_797_672), ("resnet50", 1000, 25_557_032),
    ("resnet101", 1000, 44_549_160), ("resnet152", 1000, 60_192_808), ("resnet20", 10, 272_474),
  ])
  func hasThePublishedNumberOfParameters(_ name: String, _ classes: Int, _ count: Int) throws {
    var options = ModelOptions()
    options.classes = classes
    let graph = try ModelRegistry.graph(name, options)
    let learned = graph.parameters.filter(\.role.isLearned).map { $0.shape.reduce(1, *) }
    #expect(learned.reduce(0, +) == count)
    #expect(Set(graph.parameters.map(\.name)).count == graph.parameters.count)
    try graph.verify()
  }

  @Test func parameterCountCountsWhatIsLearned() throws {
    var options = options(32)
    options.classes = 10
    let model = try Model("resnet20", options: options)
    #expect(model.parameterCount() == 272_474)
    try model.setTrainable(false, matching: "*")
    #expect(model.parameterCount(trainableOnly: true) == 0)
    try model.setTrainable(true, matching: "fc.*")
    #expect(model.parameterCount(trainableOnly: true) == 650)
    #expect(model.summary.contains("parameters: 272,474, trainable: 650"))
  }

  @Test(arguments: ModelRegistry.names) func smallAndOddImagesFit(_ name: String) throws {
    for size in [[1, 1, 3], [33, 47, 1], [64, 32, 4]] {
      var options = options(32)
      options.inputShape = size
      try ModelRegistry.graph(name, options).verify()
    }
  }

  @Test func withoutItsTopAModelGivesFeatures() throws {
    var options = options(64)
    options.includesTop = false
    let map = try ModelRegistry.graph("resnet18", options)
    #expect(map.type(of: map.outputs[0].value).shape == [1, 2, 2, 512])
    for pooling in FeaturePooling.allCases {
      options.pooling = pooling
      let pooled = try ModelRegistry.graph("resnet18", options)
      #expect(pooled.type(of: pooled.outputs[0].value).shape == [1, 512])
    }
  }

  @Test func anUnknownModelSuggestsTheNearest() {
    expectError(.unknownName, "unknown model 'resnet51'; did you mean 'resnet") { _ = try Model("resnet51") }
  }

  @Test func optionsAreChecked() throws {
    func build(_ text: String) throws {
      let options = try ModelOptions(json: #require(JSON(parsing: text).objectValue))
      _ = try Model("resnet20", options: options)
    }
    expectError(.invalidArgument, "classes is 0") { try build(#"{"classes": 0}"#) }
    expectError(.invalidArgument, "input_shape is [32, 32]") { try build(#"{"input_shape": [32, 32]}"#) }
    expectError(.invalidArgument, "dropout is 1.5") { try build(#"{"dropout": 1.5}"#) }
    expectError(.invalidArgument, "drop_path is -0.5") { try build(#"{"drop_path": -0.5}"#) }
    expectError(.unknownName, "unknown option 'class'; did you mean 'classes'?") { try build(#"{"class": 3}"#) }
    expectError(.invalidArgument, "'classes': expected an integer") { try build(#"{"classes": "ten"}"#) }
    expectError(.unknownName, "classifier_activation") { try build(#"{"classifier_activation": "relu"}"#) }
    expectError(.invalidArgument, "mean is [0.5]") { try build(#"{"mean": [0.5]}"#) }
    expectError(.outOfMemory, "") { try build(#"{"input_shape": [32, 32, 1099511627776]}"#) }
    expectError(.outOfMemory, "") { try build(#"{"classes": 4611686018427387904}"#) }
    expectError(.outOfMemory, "") { try build(#"{"classes": 1099511627776}"#) }
    expectError(.inputOutput, "/nowhere") { try build(#"{"weights": "/nowhere"}"#) }
  }

  @Test func theSeedDecidesTheWeights() throws {
    let a = try Model("resnet20", options: options(32)), b = try Model("resnet20", options: options(32))
    #expect(try a.bits() == b.bits())
    var other = options(32)
    other.seed = 4
    #expect(try Model("resnet20", options: other).bits() != a.bits())
    // He et al. 2015: deviation sqrt(2 / fan out).
    let weights = try a.values("layer3.2.conv2.weight").map(Double.init)
    let deviation = (weights.reduce(0) { $0 + $1 * $1 } / Double(weights.count)).squareRoot()
    #expect(abs(deviation / (2.0 / (64 * 9)).squareRoot() - 1) < 0.02)
  }

  @Test func patternsMatchNames() {
    #expect(ModelRegistry.names(matching: "resnet1?") == ["resnet18"])
    #expect(ModelRegistry.names(matching: "*").count == ModelRegistry.names.count)
    #expect(ModelRegistry.names(matching: "resnet*_*") == ["resnet_article"])
    #expect(ModelRegistry.names(matching: "").isEmpty)
    #expect(!Glob.matches(String(repeating: "a", count: 5000), String(repeating: "*a", count: 500) + "b"))
  }
}
