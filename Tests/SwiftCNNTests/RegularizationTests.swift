import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct RegularizationTests {
  private func model(l1: Double, l2: Double, _ pattern: String) throws -> (model: Model, data: (x: Tensor, y: Tensor)) {
    let data = try imageData(11)
    let model = try Model(randomNetwork(), name: "random")
    if l1 != 0 || l2 != 0 { try model.setRegularization(l1: l1, l2: l2, matching: pattern) }
    try model.compile(#"{"optimizer": {"name": "sgd", "learning_rate": 0}}"#)
    return (model, (data.x, data.y))
  }

  private func penalty(_ values: [Float], l1: Double, l2: Double) -> Double {
    values.reduce(0) { $0 + l1 * Double(abs($1)) + l2 * Double($1) * Double($1) }
  }

  @Test func theLossGrowsByThePenaltyInTrainingAndEvaluation() throws {
    let (plain, data) = try model(l1: 0, l2: 0, "")
    let (regularized, _) = try model(l1: 0.01, l2: 0.002, "*.weight")
    let weights = plain.parameterList.filter { $0.name.hasSuffix(".weight") }
    #expect(weights.count >= 2)
    let expected = try weights.reduce(0.0) { $0 + penalty(try plain.values($1.name), l1: 0.01, l2: 0.002) }
    #expect(expected > 0.01)
    for batchSize in [1, 4, 11] {
      let difference =
        try regularized.evaluate(data.x.view, data.y.view, batchSize: batchSize)[0]
        - plain.evaluate(data.x.view, data.y.view, batchSize: batchSize)[0]
      #expect(abs(difference - expected) < 2e-6)
    }
    let difference =
      try regularized.trainOnBatch(data.x.view, data.y.view)[0] - plain.trainOnBatch(data.x.view, data.y.view)[0]
    #expect(abs(difference - expected) < 2e-6)
    for weight in weights {
      let values = try plain.values(weight.name)
      let added = values.map { 0.01 * ($0 > 0 ? 1 : $0 < 0 ? -1 : 0) + 0.004 * $0 }
      let sum = zip(try plain.gradient(weight.name), added).map { $0 + $1 }
      expectClose(try regularized.gradient(weight.name), sum, 1e-5, weight.name)
    }
  }

  @Test func thePenaltyFollowsTheWeights() throws {
    let (model, data) = try model(l1: 0, l2: 1, "fc.weight")
    let before = try model.evaluate(data.x.view, data.y.view)[0]
    let old = try model.values("fc.weight")
    try model.setTrainable(false, matching: "fc.weight")
    let frozen = try model.evaluate(data.x.view, data.y.view)[0]
    #expect(abs(before - frozen - penalty(old, l1: 0, l2: 1)) < 2e-6)
    try model.setTrainable(true, matching: "fc.weight")
    try model.setRegularization(matching: "*")
    #expect(abs(try model.evaluate(data.x.view, data.y.view)[0] - frozen) < 1e-12)
  }

  @Test func aRegularizerIsStoredWithTheModel() throws {
    let (model, data) = try model(l1: 0, l2: 0.5, "fc.*")
    let folder = try TemporaryDirectory()
    let path = folder.file("model.safetensors")
    try model.write(to: path, includingTrainingState: true)
    let copy = try Model(contentsOf: path)
    #expect(try copy.evaluate(data.x.view, data.y.view) == model.evaluate(data.x.view, data.y.view))
    #expect(copy.parameterList == model.parameterList)
  }

  @Test func factorsAndPatternsAreChecked() throws {
    let (model, _) = try model(l1: 0, l2: 0, "")
    for factor in [-1, .infinity, .nan, 1e39] {
      expectError(.invalidArgument, "expected a finite number of 0 or more") {
        try model.setRegularization(l1: factor, matching: "*")
      }
      expectError(.invalidArgument, "l2 is") { try model.setRegularization(l2: factor, matching: "*") }
    }
    expectError(.unknownName, "did you mean 'fc.weight'?") {
      try model.setRegularization(l2: 1, matching: "fc.weigth")
    }
    // Statistics are not learned.
    expectError(.unknownName, "unknown parameter") { try model.setRegularization(l2: 1, matching: "*running_mean") }
    #expect(try model.setRegularization(l2: 1, matching: "fc.*") == 2)
  }
}
