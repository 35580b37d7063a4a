import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Faults that a reading of the code found; each would come back unnoticed otherwise.
@Suite struct RegressionTests {
  private func options(batchSize: Int = 4, epochs: Int = 1) -> FitOptions {
    var options = FitOptions()
    (options.batchSize, options.epochs) = (batchSize, epochs)
    return options
  }

  @Test func theInputsNameMeansTheNormalisedImage() throws {
    let model = try Model(randomNetwork(), name: "random", mean: [0.5, 0.25], deviation: [0.5, 2])
    let pixels = try Tensor([UInt8](repeating: 255, count: 72), shape: [1, 6, 6, 2])
    let values = try model.predict(pixels.view, output: "input").values
    #expect(values[0] == 1 && values[1] == 0.375)
  }

  @Test func aModelLoadedFrozenTrainsOnceItIsUnfrozen() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("frozen")
    let model = try Model(randomNetwork(), name: "random")
    try model.setTrainable(false, matching: "*")
    try model.write(to: path)
    let loaded = try Model(contentsOf: path), data = try imageData(4)
    #expect(loaded.parameterCount(trainableOnly: true) == 0)
    try loaded.setTrainable(true, matching: "*")
    try loaded.compile(#"{"optimizer": "sgd"}"#)
    let before = try loaded.values("conv1.weight")
    _ = try loaded.trainOnBatch(data.x.view, data.y.view)
    #expect(try loaded.values("conv1.weight") != before)
  }

  @Test func anOpenScheduleNeedsFitAndBeginsAnewWithEach() throws {
    let data = try imageData(8)
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(#"{"schedule": {"name": "one_cycle", "maximum": 0.1}}"#)
    #expect(throws: CNNError.self) { try model.trainOnBatch(data.x.view, data.y.view) }
    for _ in 0..<2 {
      var rates: [Double] = []
      try model.fit(data.x.view, data.y.view, options: options(epochs: 5)) { (progress) throws(CNNError) in
        rates.append(progress.learningRate)
        return true
      }
      #expect(abs((rates.first ?? 0) - 0.004) < 1e-12)
      #expect(rates.max() ?? 0 > 0.09)
    }
  }

  @Test func everyFitHasAnOrderOfItsOwn() throws {
    // With a learning rate of 0 the first batch's loss tells which samples it had.
    let data = try imageData(32)
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(#"{"optimizer": {"name": "sgd", "learning_rate": 0}, "seed": 3}"#)
    var first: [Double] = []
    for _ in 0..<3 {
      try model.fit(data.x.view, data.y.view, options: options()) { (progress) throws(CNNError) in
        if progress.batch == 1 { first.append(progress.results[0]) }
        return true
      }
    }
    #expect(Set(first).count == 3)
  }

  @Test func aLastBatchOfOneValueAChannelIsTrained() throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [1, 1, 3])
    x = try builder.convolution(x, "conv", outputChannels: 3, kernel: (1, 1))
    x = try builder.batchNormalization(x, "bn")
    x = try builder.apply(Reshape.flatten, x)
    let model = try Model(NetworkBuilder(builder.graph), output: x)
    try model.compile(#"{"optimizer": "sgd"}"#)
    let images = try Tensor([Float](repeating: 1, count: 15), shape: [5, 1, 1, 3])
    let labels = try Tensor([Int32](repeating: 0, count: 5), shape: [5])
    var steps = 0
    try model.fit(images.view, labels.view, options: options(batchSize: 4)) { (progress) throws(CNNError) in
      #expect(progress.results[0].isFinite)
      steps += 1
      return true
    }
    #expect(steps > 0 && steps.isMultiple(of: 2))
  }

  @Test func aLayerMayBeCalledLoss() throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [3])
    let y = try builder.dense(x, "loss", units: 2)
    let model = try Model(NetworkBuilder(builder.graph), output: y)
    try model.compile(#"{"optimizer": "sgd"}"#)
    let images = try Tensor([Float](repeating: 1, count: 6), shape: [2, 3])
    let labels = try Tensor([0, 1] as [Int32], shape: [2])
    #expect(try model.trainOnBatch(images.view, labels.view)[0].isFinite)
  }

  @Test func aNameThatMeansAFurtherResultIsRefused() throws {
    var graph = Graph()
    #expect(throws: CNNError.self) { try graph.addInput("x:1", TensorType(.float32, [1])) }
    _ = try graph.addInput("x:a", TensorType(.float32, [1]))
  }

  @Test func labelsChangedDuringARunAreAnError() throws {
    let data = try imageData(8)
    let labels = try Tensor([Int32](repeating: 0, count: 8), shape: [8])
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(#"{"optimizer": "sgd", "metrics": ["accuracy", "top_k"]}"#)
    let run = try TrainingRun(model, data.x.view, labels.view, options: options())
    _ = try run.step()
    for index in 0..<8 {
      UnsafeMutableRawPointer(mutating: labels.view.base).storeBytes(
        of: 1 << 30, toByteOffset: index * 4, as: Int32.self)
    }
    #expect(throws: CNNError.self) { try run.step() }
  }

  @Test func theAverageFollowsWeightsThatAreSet() throws {
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(#"{"optimizer": {"name": "sgd", "ema_decay": 0.5}}"#)
    let other = try Model(randomNetwork(), name: "random", seed: 9)
    let directory = try TemporaryDirectory()
    let path = directory.file("weights")
    try other.write(to: path)
    try model.loadWeights(from: path)
    try model.swapMovingAverage()
    #expect(try model.bits() == other.bits())
  }

  @Test func settingsFromSwiftAreCheckedToo() throws {
    let model = try Model(randomNetwork(), name: "random")
    var optimizer = OptimizerSettings.adam()
    #expect(throws: CNNError.self) {
      try model.compile(
        TrainingSettings(
          loss: .sparseCategoricalCrossEntropy, optimizer: optimizer, schedule: .step(stepSize: 0, gamma: 1)))
    }
    optimizer.learningRate = .nan
    #expect(throws: CNNError.self) {
      try model.compile(TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: optimizer))
    }
  }
}
