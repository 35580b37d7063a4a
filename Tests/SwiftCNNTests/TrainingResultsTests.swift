import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct TrainingResultsTests {
  @Test func resultsHaveNames() throws {
    let data = try imageData(5), model = try Model(randomNetwork(), name: "random")
    try model.compile(loss: .sparseCategoricalCrossEntropy, metrics: [.accuracy, .topK(2)])
    let results = try model.evaluate(data.x, data.y)
    #expect(results.names == ["loss", "accuracy", "top_2_accuracy"] && results.count == 3)
    #expect(results.loss == results[0] && results["loss"] == results.loss)
    #expect(results[.accuracy] == results[1] && results["top_2_accuracy"] == results[2])
    #expect(results[.meanSquaredError] == nil && results["acc"] == nil)
    try model.fit(data.x, data.y) { progress throws(CNNError) in
      #expect(progress.results.names == results.names)
      #expect("\(progress)".hasPrefix("epoch 1, batch 1 of 1: loss "))
      return true
    }
  }

  @Test func validationIsToldApart() {
    let results = TrainingResults(["loss"], [1]).validated(TrainingResults(["loss"], [2]))
    #expect(results.loss == 1 && results["val_loss"] == 2)
  }

  @Test(arguments: [
    (0.293149, "0.2931"), (0, "0.0"), (0.00012345, "0.00012345"), (1, "1.0"), (.infinity, "inf"), (1e17, "1e+17"),
  ])
  func valuesAreRounded(_ value: Double, _ text: String) {
    #expect("\(TrainingResults(["loss"], [value]))" == "loss \(text)")
  }
}
