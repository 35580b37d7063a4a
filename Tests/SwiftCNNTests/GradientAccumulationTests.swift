import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Gradients of several steps that make one update.
@Suite struct GradientAccumulationTests {
  static let optimizers = [
    #""name": "sgd", "learning_rate": 0.5"#,
    #""name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 0.01"#,
    #""name": "sgd", "learning_rate": 0.5, "clip_norm": 0.05"#,
    #""name": "sgd", "learning_rate": 0.5, "clip_norm_each": 0.02"#,
    #""name": "sgd", "learning_rate": 0.5, "clip_value": 0.005"#,
    #""name": "adam", "learning_rate": 0.01, "ema_decay": 0.5"#,
    #""name": "adam", "learning_rate": 0.01, "ema_decay": 0.5, "ema_overwrite": 2"#,
    #""name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1"#,
    #""name": "rmsprop", "learning_rate": 0.01, "momentum": 0.5, "centered": true, "epsilon": 0.001"#,
  ]

  private func model(_ optimizer: String, steps: Int, memory: String = "normal") throws -> Model {
    // Nothing in it depends on the other images of a batch.
    var builder = GraphBuilder()
    var x = try builder.input(shape: [6, 6, 2])
    x = try builder.convolution(x, "conv", outputChannels: 4, kernel: (3, 3), padding: .same)
    x = try builder.apply(GlobalPooling2D(.average), builder.activation(.silu, x))
    x = try builder.dense(x, "fc", units: 3)
    try builder.graph.addOutput("logits", x)
    let model = try Model(builder.graph, name: "plain", seed: 5)
    try model.compile(
      #"{"optimizer": {\#(optimizer), "gradient_accumulation_steps": \#(steps)}, "memory": "\#(memory)"}"#)
    return model
  }

  private func options(_ batchSize: Int, epochs: Int = 3) -> FitOptions {
    var options = FitOptions()
    (options.batchSize, options.epochs, options.shuffles) = (batchSize, epochs, false)
    return options
  }

  private func everything(_ model: Model) throws -> [Float] {
    let state = try #require(model.training?.optimizer.state).filter { $0.name != "gradient_sum" }
    return try model.parameterList.flatMap { try model.values($0.name) }
      + state.flatMap { _, storage in storage.parameters.indices.flatMap { Array(storage.values(at: $0)) } }
  }

  @Test(arguments: optimizers) func itIsTheLargeBatch(_ optimizer: String) throws {
    let data = try imageData(16)
    let whole = try model(optimizer, steps: 1), parts = try model(optimizer, steps: 4)
    let weights = try Tensor((0..<16).map { Float($0 % 5) * 0.5 }, shape: [16])
    try whole.fit(data.x.view, data.y.view, sampleWeight: weights.view, options: options(16))
    try parts.fit(data.x.view, data.y.view, sampleWeight: weights.view, options: options(4))
    expectClose(try everything(parts), try everything(whole), 1e-5, "weights and what the optimizer keeps")
    let low = try model(optimizer, steps: 4, memory: "low")
    try low.fit(data.x.view, data.y.view, sampleWeight: weights.view, options: options(4))
    expectClose(try everything(low), try everything(whole), 1e-5, "with memory \"low\"")
  }

  @Test func weightsChangeAtTheLastStepOfAGroup() throws {
    let data = try imageData(4)
    let model = try model(Self.optimizers[0], steps: 3)
    var changed: [Bool] = []
    for _ in 0..<7 {
      let before = try model.bits()
      _ = try model.trainOnBatch(data.x.view, data.y.view)
      changed.append(try model.bits() != before)
    }
    #expect(changed == [false, false, true, false, false, true, false])
  }

  @Test func aGroupGoesOnInTheNextEpochAndRun() throws {
    let data = try imageData(12)
    let model = try model(Self.optimizers[0], steps: 2)
    var changes: [Int] = []
    var before = try model.bits()
    for epochs in [2, 1] {  // of three batches
      try model.fit(data.x.view, data.y.view, options: options(4, epochs: epochs)) { (progress) throws(CNNError) in
        if let now = try? model.bits(), now != before {
          changes.append(progress.step)
          before = now
        }
        return true
      }
    }
    #expect(changes == [2, 4, 6, 8])
  }

  @Test func aBatchThatIsNotFiniteIsNotTakenUp() throws {
    let data = try imageData(4)
    let model = try model(Self.optimizers[0], steps: 2), other = try self.model(Self.optimizers[0], steps: 2)
    let bad = try Tensor(data.x.values.map { $0 * .infinity }, shape: data.x.shape)
    for model in [model, other] { _ = try model.trainOnBatch(data.x.view, data.y.view) }
    expectError(.notFinite, "training stopped at step 1") { _ = try model.trainOnBatch(bad.view, data.y.view) }
    for model in [model, other] { _ = try model.trainOnBatch(data.x.view, data.y.view) }
    #expect(try model.bits() == other.bits())
  }

  @Test func whatIsFrozenWithinAGroupStaysAndBeginsAnew() throws {
    let data = try imageData(4)
    let model = try model(Self.optimizers[0], steps: 2)
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    _ = try model.setTrainable(false, matching: "conv.*")
    let frozen = try model.values("conv.weight"), before = try model.values("fc.weight")
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    #expect(try model.values("conv.weight") == frozen && model.values("fc.weight") != before)
    let sums = try #require(model.training?.optimizer.gradientSums)
    #expect(sums.parameters.indices.allSatisfy { sums.values(at: $0).allSatisfy { $0 == 0 } })
  }

  @Test func aProfileHasTheUpdate() throws {
    let data = try imageData(4)
    let model = try model(Self.optimizers[0], steps: 3)
    let before = try model.bits()
    let profile = try model.profile(data.x.view, data.y.view, repeats: 2)
    #expect(profile.steps.last?.algorithm == "sgd, accumulation")
    #expect(try model.bits() == before)
  }
}
