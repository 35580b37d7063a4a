import CNNCore
import Testing

@testable import SwiftCNN

/// The moving average of the weights: kept, exchanged, applied, stored.
@Suite struct MovingAverageTests {
  private func model(_ more: String = "", decay: Double = 0.5) throws -> Model {
    let model = try Model(randomNetwork(), name: "random", seed: 5)
    try model.compile(
      #"{"optimizer": {"name": "sgd", "learning_rate": 0.1, "ema_decay": \#(decay)\#(more)}, "seed": 1}"#)
    return model
  }

  private func step(_ model: Model) throws {
    let data = try imageData(6)
    _ = try model.trainOnBatch(data.x.view, data.y.view)
  }

  /// The average, in the order of the parameters.
  private func average(_ model: Model) throws -> [Float] {
    let storage = try #require(model.training?.optimizer.average)
    return storage.parameters.indices.flatMap { Array(storage.values(at: $0)) }
  }

  private func weights(_ model: Model) throws -> [Float] {
    try model.parameterList.flatMap { try model.values($0.name) }
  }

  @Test func itBeginsWithTheFirstStepsWeightsAndFollows() throws {
    let model = try model(decay: 0.75)
    try step(model)
    #expect(try average(model) == weights(model))
    for _ in 0..<3 {
      let before = try average(model)
      try step(model)
      expectClose(try average(model), zip(before, try weights(model)).map { 0.75 * $0 + 0.25 * $1 }, 1e-6, "average")
    }
  }

  @Test func exchangedTwiceAllIsAsBefore() throws {
    let model = try model()
    for _ in 0..<3 { try step(model) }
    let (weights, average) = (try weights(model), try average(model))
    #expect(weights != average)
    try model.swapMovingAverage()
    #expect(try self.weights(model) == average && self.average(model) == weights)
    try model.swapMovingAverage()
    #expect(try self.weights(model) == weights && self.average(model) == average)
  }

  @Test func appliedTheWeightsAreTheAverageAndItStays() throws {
    for isExchanged in [false, true] {
      let model = try model()
      for _ in 0..<3 { try step(model) }
      let expected = try average(model)
      if isExchanged { try model.swapMovingAverage() }
      try model.applyMovingAverage()
      #expect(try weights(model) == expected && average(model) == expected)
      // Once more changes nothing, and neither does an exchange.
      try model.applyMovingAverage()
      try model.swapMovingAverage()
      #expect(try weights(model) == expected && average(model) == expected)
    }
  }

  @Test func predictionsAreThoseOfTheWeightsInPlace() throws {
    let model = try model(), data = try imageData(3)
    for _ in 0..<3 { try step(model) }
    let plain = try model.predict(data.x.view).bits
    try model.swapMovingAverage()
    let averaged = try model.predict(data.x.view).bits
    #expect(averaged != plain)
    try model.swapMovingAverage()
    #expect(try model.predict(data.x.view).bits == plain)
    try model.applyMovingAverage()
    #expect(try model.predict(data.x.view).bits == averaged)
  }

  @Test func overwrittenTheWeightsAreTheAverageAfterEverySoManySteps() throws {
    let model = try model(#", "ema_overwrite": 3"#), plain = try self.model()
    for step in 1...7 {
      try self.step(model)
      if step < 3 {
        try self.step(plain)
        #expect(try model.bits() == plain.bits())
      }
      #expect(try (weights(model) == average(model)) == (step == 1 || step % 3 == 0), "step \(step)")
    }
    #expect(model.trainingSettings?.optimizer.movingAverage?.overwriteFrequency == 3)
    for count in [0, -3] {
      expectError(.invalidArgument, "ema_overwrite is") { _ = try self.model(#", "ema_overwrite": \#(count)"#) }
    }
  }

  @Test func overwritingGoesOnFromACheckpoint() throws {
    let directory = try TemporaryDirectory()
    let model = try model(#", "ema_overwrite": 3, "momentum": 0.9, "rate_in_velocity": true"#)
    for _ in 0..<4 { try step(model) }
    try model.write(to: directory.file("checkpoint"), includingTrainingState: true)
    let loaded = try Model(contentsOf: directory.file("checkpoint"))
    #expect(loaded.trainingSettings == model.trainingSettings)
    for each in [model, loaded] { for _ in 0..<3 { try step(each) } }
    #expect(try loaded.bits() == model.bits() && average(loaded) == average(model))
  }

  /// A file or a clone of a model whose weights are exchanged knows it: the averages are applied, not lost.
  @Test func exchangedWeightsStaySoInFilesAndClones() throws {
    let directory = try TemporaryDirectory()
    let model = try model()
    for _ in 0..<3 { try step(model) }
    let expected = try average(model)
    try model.swapMovingAverage()
    try model.write(to: directory.file("checkpoint"), includingTrainingState: true)
    for copy in [try Model(contentsOf: directory.file("checkpoint")), try model.copy()] {
      #expect(try weights(copy) == expected)
      try copy.applyMovingAverage()
      #expect(try weights(copy) == expected && average(copy) == expected)
    }
  }

  @Test func trainingGoesOnFromTheWeightsInPlace() throws {
    let model = try model(#", "ema_overwrite": 4"#)
    for _ in 0..<2 { try step(model) }
    try model.swapMovingAverage()
    let start = try weights(model)
    try step(model)
    #expect(try weights(model) != start)
    try step(model)
    // The fourth step: the weights take the average, not the other way round.
    #expect(try weights(model) == average(model))
  }

  @Test func itIsEvaluatedInPlaceOfTheWeightsWhichStay() throws {
    let model = try model(), data = try imageData(7)
    for _ in 0..<3 {
      try step(model)
      let before = try (weights(model), average(model))
      let plain = try model.evaluate(data.x.view, data.y.view, batchSize: 3)
      let averaged = try model.evaluate(data.x.view, data.y.view, batchSize: 3, usingAverage: true)
      #expect(try weights(model) == before.0 && average(model) == before.1)
      try model.swapMovingAverage()
      #expect(try model.evaluate(data.x.view, data.y.view, batchSize: 3) == averaged)
      // Exchanged or not, the average is the average.
      #expect(try model.evaluate(data.x.view, data.y.view, batchSize: 3, usingAverage: true) == averaged)
      try model.swapMovingAverage()
      #expect(try model.evaluate(data.x.view, data.y.view, batchSize: 3) == plain)
    }
    let wrong = try Tensor([Int32](repeating: 9, count: 7), shape: [7])
    let before = try model.bits()
    expectError(.invalidArgument, "y[0] is 9") {
      _ = try model.evaluate(data.x.view, wrong.view, usingAverage: true)
    }
    #expect(try model.bits() == before)
  }

  @Test func whereNoneIsKeptThereIsAnError() throws {
    let model = try Model(randomNetwork(), name: "random")
    expectError(.invalidState, "not compiled") { try model.applyMovingAverage() }
    try model.compile(#"{"optimizer": "sgd"}"#)
    let before = try model.bits()
    expectError(.invalidState, "ema_decay") { try model.applyMovingAverage() }
    expectError(.invalidState, "ema_decay") { try model.swapMovingAverage() }
    let data = try imageData(2)
    expectError(.invalidState, "ema_decay") {
      _ = try model.evaluate(data.x.view, data.y.view, usingAverage: true)
    }
    #expect(try model.bits() == before)
  }
}
