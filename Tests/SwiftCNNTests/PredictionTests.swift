import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct PredictionTests {
  @Test func fourThreadsPredictTheSerialBits() async throws {
    let model = try Model(randomNetwork(), name: "random", seed: 1)
    let inputs = try (0..<4).map { try imageData(3 + $0 * 2) }
    let expected = try inputs.map { try model.predict($0.x.view, batchSize: 4).bits }
    let right = try await withThrowingTaskGroup(of: Bool.self) { group in
      for thread in 0..<4 {
        group.addTask {
          for round in 0..<20 {
            let index = (thread + round) % 4
            guard try model.predict(inputs[index].x.view, batchSize: 4).bits == expected[index] else { return false }
          }
          return true
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(right == [true, true, true, true])
  }

  @Test func predictionsWaitForChanges() async throws {
    // One thread changes the weights between two states, the others must see one of them whole.
    let model = try Model(randomNetwork(), name: "random", seed: 1)
    let data = try imageData(4)
    let one = try model.values("conv1.weight"), two = one.map { $0 + 0.5 }
    let first = try model.predict(data.x.view).bits
    try model.set("conv1.weight", two)
    let second = try model.predict(data.x.view).bits
    #expect(first != second)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for round in 0..<60 { try model.set("conv1.weight", round % 2 == 0 ? one : two) } }
      for _ in 0..<3 {
        group.addTask {
          for _ in 0..<40 {
            let bits = try model.predict(data.x.view).bits
            #expect(bits == first || bits == second)
          }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func theBatchSizeChangesLittle() throws {
    let model = try Model(randomNetwork(), name: "random")
    let data = try imageData(7)
    let whole = try model.predict(data.x.view, batchSize: 7).values
    for batchSize in [1, 2, 3, 100] {
      expectClose(try model.predict(data.x.view, batchSize: batchSize).values, whole, 1e-6, "\(batchSize)")
    }
  }

  @Test func intermediateTensorsAreGiven() throws {
    let model = try Model(randomNetwork(), name: "random")
    let data = try imageData(5)
    for name in model.tensorNames {
      let tensor = try model.predict(data.x.view, batchSize: 2, output: name)
      #expect(try tensor.shape == model.outputShape(for: data.x.view, output: name))
      #expect(tensor.shape[0] == 5 && tensor.floats.allSatisfy { $0.isFinite })
    }
    #expect(try model.predict(data.x.view, output: "relu").values.allSatisfy { $0 >= 0 })
    #expect(try model.predict(data.x.view, output: "bn1").values.contains { $0 < 0 })
    #expect(try model.predict(data.x.view, output: "input").bits == data.x.bits)
  }

  @Test func pixelsAreNormalized() throws {
    let model = try Model(randomNetwork(), name: "random", mean: [0.25, 0.5], deviation: [0.5, 2])
    let pixels = (0..<3 * 72).map { UInt8($0 * 31 % 256) }
    let floats = pixels.enumerated().map { (Float($1) / 255 - ($0 % 2 == 0 ? 0.25 : 0.5)) / ($0 % 2 == 0 ? 0.5 : 2) }
    let a = try model.predict(Tensor(pixels, shape: [3, 6, 6, 2]).view)
    let b = try model.predict(Tensor(floats, shape: [3, 6, 6, 2]).view)
    expectClose(a.values, b.values, 1e-6, "pixels")
    try model.setNormalization(mean: [0, 0], deviation: [1, 1])
    #expect(try model.predict(Tensor(pixels, shape: [3, 6, 6, 2]).view).bits != a.bits)
    expectError(.invalidArgument, "expected 2 finite numbers each") {
      try model.setNormalization(mean: [0], deviation: [1, 1])
    }
    expectError(.invalidArgument, "std above 0") { try model.setNormalization(mean: [0, 0], deviation: [1, 0]) }
    #expect(model.normalization == ([0, 0], [1, 1]))
  }

  @Test func aCloneIsIndependent() throws {
    let model = try Model(randomNetwork(), name: "random"), data = try imageData(3)
    let before = try model.predict(data.x.view).bits
    let clone = try model.copy()
    try clone.set("fc.bias", [1, 2, 3])
    #expect(try model.predict(data.x.view).bits == before)
    #expect(try clone.predict(data.x.view).bits != before)
  }

  @Test func graphsArePrinted() throws {
    let model = try Model(randomNetwork(), name: "random")
    #expect(try model.graphText("text") == model.graph.text)
    #expect(try model.graphText("dot").hasPrefix("digraph"))
    let structure = try #require(try JSON(parsing: model.graphText("structure")).objectValue)
    #expect(try structure.strings("parameters") == model.parameterList.map(\.name))
    #expect(try structure.array("steps").count == model.tensorNames.count)
    #expect(try Graph(json: JSON(parsing: model.graphText("json"))).text == model.graph.text)
    expectError(.unknownName, "unknown format 'png'; did you mean 'svg'?") { _ = try model.graphText("png") }
    #expect(model.summary.contains("[N, 6, 5, 4]"))
  }
}
