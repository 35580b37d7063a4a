import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct ModelDescriptionTests {
  @Test func aModelIsPrintedInALine() throws {
    let model = try Model("resnet20", options: ModelOptions(inputShape: [nil, 32, 3], classes: 10))
    #expect("\(model)" == "resnet20: [N, any, 32, 3] -> [N, 10], 272,474 parameters, 1.0 MB")
    #expect(try "\(Model(tinyNetwork(), name: "tiny"))" == "tiny: [N, 8, 8, 3] -> [N, 5], 1,105 parameters, 4 kB")
  }

  @Test func parametersAreReadAndReplacedAsTensors() throws {
    let model = try Model(tinyNetwork(), name: "tiny")
    let weight = try model.value(of: "fc.weight")
    #expect(weight.shape == [5, 8])
    try model.setValue(weight.rows.map { $0.map { $0 * 2 } }, of: "fc.weight")
    #expect(try model.value(of: "fc.weight").values == weight.values.map { $0 * 2 })
    expectError(.shapeMismatch, "'fc.weight' is float32[5, 8]; given is float32[8, 5]") {
      try model.setValue(Tensor(zeros: [8, 5]), of: "fc.weight")
    }
    expectError(.shapeMismatch, "given is int32[5, 8]") {
      try model.setValue(Tensor(.int32, zeros: [5, 8]), of: "fc.weight")
    }
    expectError(.unknownName, "did you mean 'fc.weight'?") { _ = try model.value(of: "fc.weigth") }
    try model.compile(loss: .sparseCategoricalCrossEntropy)
    expectError(.invalidState, "before the first training step") { _ = try model.gradient(of: "fc.weight") }
    try model.trainOnBatch(Tensor(zeros: [2, 8, 8, 3]), [0, 4])
    let gradient = try model.gradient(of: "fc.bias")
    #expect(gradient.shape == [5] && gradient.values.contains { $0 != 0 })
  }
}
