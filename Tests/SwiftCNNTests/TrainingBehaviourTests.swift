import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct TrainingBehaviourTests {
  private func model(seed: Int = 0, weights: UInt64 = 0, optimizer: String = #"{"name": "sgd", "learning_rate": 0.1}"#)
    throws -> Model
  {
    let model = try Model(randomNetwork(), name: "random", seed: weights)
    try model.compile(#"{"optimizer": \#(optimizer), "metrics": ["accuracy"], "seed": \#(seed)}"#)
    return model
  }

  private static let options: FitOptions = {
    var options = FitOptions()
    (options.batchSize, options.epochs, options.flipsHorizontally) = (5, 2, true)
    return options
  }()

  @Test func oneSeedGivesTheSameBitsAndAnotherOthers() throws {
    let data = try imageData(17)
    func trained(_ seed: Int) throws -> [UInt32] {
      let model = try model(seed: seed)
      try model.fit(data.x.view, data.y.view, options: Self.options)
      return try model.bits()
    }
    let first = try trained(1)
    #expect(try trained(1) == first)
    #expect(try trained(2) != first)
    #expect(try trained(-1) != first)
  }

  @Test func everySampleIsSeenOnceAnEpoch() throws {
    // The loss of a run that learns nothing is the mean over all samples, in whatever order and batches.
    var builder = GraphBuilder()
    let input = try builder.input(shape: [3])
    try builder.graph.addOutput("y", builder.apply(Reshape([3]), input, name: "y"))
    let model = try Model(builder.graph, name: "identity")
    try model.compile(#"{"loss": "mean_squared_error", "optimizer": "sgd"}"#)
    let x = try Tensor((0..<33).map { Float($0) }, shape: [11, 3]), y = try Tensor(.float32, zeros: [11, 3])
    var options = FitOptions()
    (options.batchSize, options.epochs) = (4, 3)
    let history = try model.fit(x.view, y.view, options: options)
    var mean = 0.0
    for element in 0..<33 { mean += Double(element * element) / 33 }
    #expect(history.count == 3)
    for epoch in history { #expect(abs(epoch[0] / mean - 1) < 1e-6) }
    // Weights of classes and samples multiply; the divisor is the number of samples.
    let weights = try Tensor((0..<11).map { Float($0) }, shape: [11])
    var expected = 0.0
    for element in 0..<33 { expected += Double(element * element) * Double(element / 3) / 33 }
    let weighted = try model.evaluate(x.view, y.view, sampleWeight: weights.view, batchSize: 4)
    #expect(abs(weighted[0] / expected - 1) < 1e-6)
  }

  @Test func classWeightsAreSampleWeights() throws {
    let data = try imageData(9)
    let a = try model(), b = try model()
    var options = FitOptions()
    (options.batchSize, options.shuffles) = (9, false)
    let weights: [Float] = (0..<9).map { [1, 0.5, 3][$0 * 5 % 3] }
    try a.fit(data.x.view, data.y.view, sampleWeight: Tensor(weights, shape: [9]).view, options: options)
    options.classWeights = [1: 0.5, 2: 3]
    try b.fit(data.x.view, data.y.view, options: options)
    #expect(try a.bits() == b.bits())
  }

  @Test func notANumberStopsTrainingAndLeavesTheWeights() throws {
    let data = try imageData(4)
    let model = try model(optimizer: #"{"name": "adam", "ema_decay": 0.5}"#)
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    let before = try model.bits()
    let slots = model.training?.optimizer.slots.values.map { Array($0.values(at: 0)) }
    for poison in [Float.nan, .infinity] {
      let bad = try imageData(4)
      bad.x.floats[7] = poison
      for text in [
        "training stopped at step 2: the loss is", "; the first number that is none is in 'input'; the weights",
      ] {
        expectError(.notFinite, text) { _ = try model.trainOnBatch(bad.x.view, bad.y.view) }
      }
      #expect(try model.bits() == before)
    }
    #expect(model.training?.optimizer.slots.values.map { Array($0.values(at: 0)) } == slots)
    // And it goes on as if nothing had been.
    let other = try self.model(optimizer: #"{"name": "adam", "ema_decay": 0.5}"#)
    for _ in 0..<3 { _ = try other.trainOnBatch(data.x.view, data.y.view) }
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    #expect(try model.bits() == other.bits())
  }

  @Test func frozenParametersStayAndFrozenStatisticsToo() throws {
    let data = try imageData(6)
    let model = try model(optimizer: #"{"name": "adamw", "weight_decay": 0.5, "decay_all": true}"#)
    #expect(try model.setTrainable(false, matching: "bn1.*") == 2)
    #expect(try model.setTrainable(false, matching: "conv?.weight") == 2)
    let before = try Dictionary(uniqueKeysWithValues: model.parameterList.map { ($0.name, try model.values($0.name)) })
    for _ in 0..<3 { _ = try model.trainOnBatch(data.x.view, data.y.view) }
    for parameter in model.parameterList {
      let isFrozen = parameter.name.hasPrefix("bn1.") || parameter.name.hasPrefix("conv")
      #expect((try model.values(parameter.name) == before[parameter.name]) == isFrozen, "\(parameter.name)")
    }
    expectError(.invalidState, "'conv1.weight' has no gradient") { _ = try model.gradient("conv1.weight") }
    expectError(.invalidState, "'bn2.running_mean' has no gradient") { _ = try model.gradient("bn2.running_mean") }
    #expect(try model.gradient("fc.weight").contains { $0 != 0 })
    // Unfrozen again they move.
    try model.setTrainable(true, matching: "*")
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    #expect(try model.values("bn1.running_mean") != before["bn1.running_mean"])
    expectError(.unknownName, "'conv9*'") { try model.setTrainable(false, matching: "conv9*") }
  }

  /// One row for each channel has a variance of 0, also where the running variance is otherwise the unbiased one.
  @Test func oneRowForEachChannelTrains() throws {
    for unbiased in [true, false] {
      var builder = GraphBuilder()
      var x = try builder.input(shape: [3])
      x = try builder.batchNormalization(x, "bn", momentum: 0.25, unbiased: unbiased)
      x = try builder.dense(x, "fc", units: 2)
      let model = try Model(NetworkBuilder(builder.graph), output: x)
      try model.compile(#"{"optimizer": {"name": "sgd", "learning_rate": 0.1}}"#)
      let images = try Tensor([1, -2, 4] as [Float], shape: [1, 3]), labels = try Tensor([1] as [Int32], shape: [1])
      #expect(try model.trainOnBatch(images.view, labels.view)[0].isFinite)
      #expect(try model.values("bn.running_mean") == [0.25, -0.5, 1])
      #expect(try model.values("bn.running_var") == [0.75, 0.75, 0.75])
      #expect(try model.gradient("bn.weight").allSatisfy { abs($0) < 1e-3 })
      #expect(try model.gradient("bn.bias").contains { $0 != 0 })
    }
  }

  /// 32 x 32 pixels leave one for each channel of a ResNet-18's last stage: its kernels are the generated ones.
  @Test func aBatchOfOneImageTrainsWhereMapsAreOfOnePixel() throws {
    var options = ModelOptions()
    (options.inputShape, options.classes) = ([32, 32, 3], 2)
    let model = try Model("resnet18", options: options)
    try model.compile(#"{"optimizer": "sgd"}"#)
    let x = try Tensor(.float32, zeros: [1, 32, 32, 3]), y = try Tensor([0] as [Int32], shape: [1])
    let before = try model.values("layer4.1.bn2.running_var")
    #expect(try model.trainOnBatch(x.view, y.view)[0].isFinite)
    #expect(try model.values("layer4.1.bn2.running_var") == before.map { $0 * 0.9 })
    #expect(try model.evaluate(x.view, y.view)[0].isFinite)
  }

  private func warning(_ model: Model) throws -> String {
    var found = ""
    try model.readWarning { (text) throws(CNNError) in found = text }
    return found
  }

  /// A network whose second normalisation has one value a channel of each image.
  private func shrinkingModel() throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [6, 6, 2])
    x = try builder.batchNormalization(x, "bn1")
    x = try builder.apply(GlobalPooling2D(.average), x)
    x = try builder.dense(builder.batchNormalization(x, "bn2"), "fc", units: 3)
    let model = try Model(NetworkBuilder(builder.graph), output: x)
    try model.compile(#"{"optimizer": "sgd"}"#)
    return model
  }

  @Test func batchesThatLeaveNormalizationOneValueAreTold() throws {
    let data = try imageData(5)
    let model = try shrinkingModel()
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    #expect(try warning(model) == "")
    var options = FitOptions()
    // The last of an epoch: told before anything is trained, once.
    options.batchSize = 2
    let run = try TrainingRun(model, data.x.view, data.y.view, options: options)
    let text = try warning(model)
    #expect(
      text.hasPrefix("a batch of 1 sample leaves batch normalisation a single value for each channel in 1 layer:"))
    while try !run.step().finished {}
    #expect(try warning(model) == "")
    // One by one, without a run.
    let other = try shrinkingModel()
    _ = try other.trainOnBatch(data.x.view.samples(0..<1), data.y.view.samples(0..<1))
    #expect(try warning(other) == text)
    // Frozen, it has its running statistics.
    let frozen = try shrinkingModel()
    try frozen.setTrainable(false, matching: "bn2.*")
    _ = try frozen.trainOnBatch(data.x.view.samples(0..<1), data.y.view.samples(0..<1))
    #expect(try warning(frozen) == "")
  }

  @Test func everythingFrozenStillReportsTheLoss() throws {
    let data = try imageData(6)
    let model = try model()
    try model.setTrainable(false, matching: "*")
    let before = try model.bits()
    #expect(try model.trainOnBatch(data.x.view, data.y.view)[0].isFinite)
    #expect(try model.bits() == before)
  }

  @Test func aSmallNetworkLearns() throws {
    let data = try imageData(48)
    let model = try model(optimizer: #"{"name": "sgd", "learning_rate": 0.03, "momentum": 0.9}"#)
    let before = try model.evaluate(data.x.view, data.y.view)
    var options = FitOptions()
    (options.batchSize, options.epochs) = (16, 80)
    try model.fit(data.x.view, data.y.view, options: options)
    let after = try model.evaluate(data.x.view, data.y.view)
    #expect(after[0] < before[0] / 2, "loss \(before[0]) to \(after[0])")
    #expect(after[1] > 0.8)
  }

  @Test(arguments: [
    #""categorical_crossentropy""#, #""binary_crossentropy""#, #""mean_squared_error""#, #""kl_divergence""#,
    #"{"name": "categorical_crossentropy", "label_smoothing": 0.1}"#,
  ])
  func everyLossOfSoftTargetsTrains(_ loss: String) throws {
    let data = try imageData(12)
    var targets = [Float](repeating: 0, count: 36)
    for sample in 0..<12 { targets[sample * 3 + sample * 5 % 3] = 1 }
    let y = try Tensor(targets, shape: [12, 3])
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(
      #"{"loss": \#(loss), "optimizer": {"name": "adam", "learning_rate": 0.01}, "metrics": ["accuracy", {"name": "top_k", "k": 2}]}"#
    )
    let before = try model.evaluate(data.x.view, y.view)
    for _ in 0..<30 { _ = try model.trainOnBatch(data.x.view, y.view) }
    let after = try model.evaluate(data.x.view, y.view)
    #expect(after.count == 3 && after[0] < before[0])
    #expect(after[2] >= 0 && after[2] <= 1)
  }

  @Test func evaluationIsTheMeanOverUnequalBatches() throws {
    let data = try imageData(11)
    let model = try model()
    for _ in 0..<3 { _ = try model.trainOnBatch(data.x.view, data.y.view) }
    let probabilities = try model.predict(data.x.view)
    var loss = 0.0, right = 0
    for sample in 0..<11 {
      let row = Array(probabilities.values[sample * 3..<sample * 3 + 3]), label = sample * 5 % 3
      loss -= Double(row[label]).logarithm
      if row.max() == row[label] { right += 1 }
    }
    for batchSize in [1, 4, 11, 100] {
      let results = try model.evaluate(data.x.view, data.y.view, batchSize: batchSize)
      #expect(abs(results[0] - loss / 11) < 1e-6)
      #expect(abs(results[1] - Double(right) / 11) < 1e-12)
    }
    let bits = try model.bits()
    _ = try model.evaluate(data.x.view, data.y.view)
    #expect(try model.bits() == bits)
  }

  @Test func metricsOfKWithMoreThanTheClassesAreAllRight() throws {
    let data = try imageData(5)
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(#"{"optimizer": "sgd", "metrics": [{"name": "top_k", "k": 3}, {"name": "top_k", "k": 99}]}"#)
    #expect(try model.evaluate(data.x.view, data.y.view).values.dropFirst() == [1, 1])
    #expect(model.trainingSettings?.resultNames == ["loss", "top_3_accuracy", "top_99_accuracy"])
  }
}

import Glibc

extension Double {
  fileprivate var logarithm: Double { log(self) }
}
