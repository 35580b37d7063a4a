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

  /// What the libraries say of their models, as `Tests/Golden/models.py` found it.
  static let published = Result { try GoldenFile("models").document.object("registry") }

  @Test(arguments: ModelRegistry.names) func isThePublishedModel(_ name: String) throws {
    let expected = try Self.published.get().object(name)
    // As wide and deep as published, at the published resolution; no values are needed for that.
    let variant = try ModelRegistry.variant(name)
    let graph = try ModelRegistry.graph(variant, ModelOptions())
    let learned = graph.parameters.filter(\.role.isLearned).map { $0.shape.reduce(1, *) }
    #expect(learned.reduce(0, +) == (try expected.integer("parameters")))
    #expect(try graph.type(of: graph.inputs[0].value).shape == [1] + expected.integers("resolution") + [3])
    #expect(variant.pixels.mean == (try expected.numbers("mean")))
    #expect(variant.pixels.deviation == (try expected.numbers("std")))
    try graph.verify()
  }

  /// Every layer of the model. The large ones at a fraction of their width, which leaves all else as it is.
  @Test(arguments: ModelRegistry.names) func predictsTrainsAndIsSaved(_ name: String) throws {
    var options = options(40)
    let isLarge = try Self.published.get().object(name).integer("parameters") > 6_000_000
    options.scaling.width = isLarge ? 0.125 : 1
    let model = try Model(name, options: options)
    let x = try Tensor(Formula.values("x", 2 * 40 * 40 * 3), shape: [2, 40, 40, 3])
    let before = try model.predict(x.view)
    #expect(before.shape == [2, 10])
    for row in 0..<2 {
      let probabilities = before.floats[row * 10..<row * 10 + 10]
      #expect(probabilities.allSatisfy { $0 >= 0 } && abs(probabilities.reduce(0, +) - 1) < 1e-5)
    }

    let directory = try TemporaryDirectory()
    try model.write(to: directory.file("model"))
    let copy = try Model(contentsOf: directory.file("model"))
    #expect(copy.name == name)
    #expect(try copy.predict(x.view).bits == before.bits)
    #expect(copy.graph.text == model.graph.text)

    try model.compile(#"{"loss": "sparse_categorical_crossentropy", "optimizer": "sgd"}"#)
    let loss = try model.trainOnBatch(x.view, Tensor([3, 7] as [Int32], shape: [2]).view)[0]
    #expect(loss.isFinite && loss > 0)
    let parameters = model.parameterList
    var moving = 0
    for parameter in parameters where parameter.isTrainable {
      let gradient = try model.gradient(parameter.name)
      #expect(gradient.allSatisfy { $0.isFinite }, "\(parameter.name)")
      moving += gradient.contains { $0 != 0 } ? 1 : 0
    }
    // What stochastic depth leaves out has no gradient in this step; the ends are never left out.
    #expect(moving > parameters.filter(\.isTrainable).count / 2)
    let ends = [parameters.first, parameters.last].compactMap(\.self)
    for end in ends { #expect(try model.gradient(end.name).contains { $0 != 0 }, "\(end.name)") }

    let classifier = try model.graph.classifier().name
    #expect(classifier == (try ModelRegistry.variant(name).classifier.name))
    try copy.resetClassifier(classes: 3, seed: 1)
    #expect(try copy.predict(x.view).shape == [2, 3])
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

  @Test(arguments: [
    ("EfficientNetB0", "efficientnet_b0"), ("efficientnet-b7", "efficientnet_b7"), ("ResNet50", "resnet50"),
    ("efficientnetv2-s", "efficientnet_v2_s"), ("TF-EfficientNet-Lite0", "tf_efficientnet_lite0"),
    ("Wide-ResNet50-2", "wide_resnet50_2"),
  ])
  func caseAndDashesOfANameDoNotCount(_ spelling: String, _ name: String) throws {
    #expect(try ModelRegistry.variant(spelling).name == name)
  }

  @Test func noTwoModelsHaveOneSpelling() {
    #expect(Set(ModelRegistry.names.map(ModelRegistry.spelling)).count == ModelRegistry.names.count)
  }

  @Test func aModelHasTheRegistrysSpelling() throws {
    #expect(try Model("ResNet-20", options: options(32)).name == "resnet20")
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

  /// torchvision counts all channels of a depthwise convolution as its fan out, timm only those of one group.
  @Test(arguments: [
    ("efficientnet_b0", "features.7.0.block.1.0.weight", 1.0 / 1152),
    ("efficientnet_b0", "features.8.0.weight", 1 / 1280.0),
    ("tf_efficientnet_b0", "blocks.6.0.conv_dw.weight", 1.0), ("tf_efficientnet_b0", "conv_head.weight", 1 / 1280.0),
  ])
  func convolutionsBeginAsInTheirLibrary(_ name: String, _ parameter: String, _ share: Double) throws {
    let model = try Model(name, options: options(32))
    let weights = try model.values(parameter).map(Double.init)
    let taps = try #require(model.parameterList.first { $0.name == parameter }).shape.dropFirst(2).reduce(1, *)
    let variance = weights.reduce(0) { $0 + $1 * $1 } / Double(weights.count)
    #expect(abs(variance / (2 * share / Double(taps)) - 1) < 0.05)
  }

  @Test(arguments: ["efficientnet_b0", "tf_efficientnet_b0"]) func classifiersBeginUniform(_ name: String) throws {
    let model = try Model(name, options: options(32))
    let classifier = try model.graph.classifier().name
    let limit = Float((1 / 10.0).squareRoot())
    let weights = try model.values("\(classifier).weight")
    #expect(weights.allSatisfy { abs($0) <= limit } && weights.contains { abs($0) > 0.99 * limit })
    #expect(try model.values("\(classifier).bias").allSatisfy { $0 == 0 })
  }

  @Test func patternsMatchNames() {
    #expect(Set(ModelName.allCases.map(\.rawValue)) == Set(ModelRegistry.names))
    #expect(ModelRegistry.names(matching: "resnet1?") == ["resnet18"])
    #expect(ModelRegistry.names(matching: "*").count == ModelRegistry.names.count)
    #expect(ModelRegistry.names(matching: "resnet_*") == ["resnet_article"])
    #expect(ModelRegistry.names(matching: "").isEmpty)
    #expect(!Glob.matches(String(repeating: "a", count: 5000), String(repeating: "*a", count: 500) + "b"))
  }
}
