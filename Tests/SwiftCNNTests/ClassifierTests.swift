import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Another number of classes for a model that is there.
@Suite struct ClassifierTests {
  private func model(_ seed: UInt64 = 3) throws -> Model {
    var options = ModelOptions()
    options.inputShape = [16, 16, 3]
    options.classes = 10
    options.seed = seed
    return try Model("resnet20", options: options)
  }

  @Test func onlyTheClassifierIsNew() throws {
    let model = try model()
    let before = try model.copy()
    try model.setTrainable(false, matching: "layer1.*")
    try model.resetClassifier(classes: 4, seed: 9)
    #expect(model.parameterList.map(\.name) == before.parameterList.map(\.name))
    for parameter in model.parameterList {
      if parameter.name.hasPrefix("fc.") {
        #expect(parameter.shape.first == 4 && parameter.isTrainable)
      } else {
        #expect(try model.values(parameter.name) == before.values(parameter.name))
        #expect(parameter.isTrainable == (parameter.role.isLearned && !parameter.name.hasPrefix("layer1.")))
      }
    }
    let x = try Tensor(Formula.values("x", 2 * 16 * 16 * 3), shape: [2, 16, 16, 3])
    #expect(try model.predict(x.view).shape == [2, 4])
    #expect(try model.predict(x.view, output: "avgpool").bits == before.predict(x.view, output: "avgpool").bits)
  }

  @Test func theNewWeightsAreThoseOfAModelWithThatSeed() throws {
    let model = try model()
    try model.resetClassifier(classes: 10, seed: 8)
    let other = try self.model(8)
    #expect(try model.values("fc.weight") == other.values("fc.weight"))
    #expect(try model.values("fc.bias").allSatisfy { $0 == 0 })
    #expect(try model.values("conv1.weight") != other.values("conv1.weight"))
  }

  @Test func theModelIsCompiledAnew() throws {
    let model = try model()
    let settings = #"{"loss": "sparse_categorical_crossentropy", "optimizer": "adam"}"#
    let x = try Tensor(Formula.values("x", 2 * 16 * 16 * 3), shape: [2, 16, 16, 3])
    let y = try Tensor([3, 1] as [Int32], shape: [2])
    try model.compile(settings)
    _ = try model.trainOnBatch(x.view, y.view)
    try model.resetClassifier(classes: 4)
    expectError(.invalidState, "not compiled") { _ = try model.trainOnBatch(x.view, y.view) }
    try model.compile(settings)
    #expect(try model.trainOnBatch(x.view, y.view)[0].isFinite)
    #expect(try model.gradient("fc.weight").count == 4 * 64)
    let directory = try TemporaryDirectory()
    try model.write(to: directory.file("model"))
    #expect(try Model(contentsOf: directory.file("model")).predict(x.view).shape == [2, 4])
  }

  @Test func whereThereIsNoClassifierNothingChanges() throws {
    let model = try model()
    let before = try model.bits()
    expectError(.invalidArgument, "classes is 0") { try model.resetClassifier(classes: 0) }
    expectError(.outOfMemory, "") { try model.resetClassifier(classes: 1 << 60) }
    #expect(try model.bits() == before)
    var options = ModelOptions()
    options.inputShape = [16, 16, 3]
    options.includesTop = false
    options.pooling = .average
    let features = try Model("resnet20", options: options)
    expectError(.invalidArgument, "does not end in a dense layer") { try features.resetClassifier(classes: 3) }
  }
}
