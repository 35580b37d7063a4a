import CNNCore
import Testing

@testable import SwiftCNN

/// A run that is stopped, saved and resumed ends in the same bits as one that was not.
@Suite struct ResumeTests {
  static let optimizers = [
    #"{"name": "sgd", "learning_rate": 0.05}"#,
    #"{"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": true, "weight_decay": 1e-3, "clip_norm": 1}"#,
    #"{"name": "adam", "learning_rate": 0.01, "ema_decay": 0.9}"#,
    #"{"name": "adamw", "learning_rate": 0.01}"#,
    #"{"name": "rmsprop", "learning_rate": 0.01}"#,
    #"{"name": "rmsprop", "learning_rate": 0.01, "momentum": 0.5, "centered": true, "ema_decay": 0.99}"#,
    // Stopped at 5 and 9 in the midst of a group.
    #"{"name": "adam", "learning_rate": 0.01, "ema_decay": 0.9, "gradient_accumulation_steps": 2}"#,
  ]
  static let schedules = [
    #""constant""#, #"{"name": "cosine", "warmup_steps": 2}"#, #"{"name": "one_cycle", "maximum": 0.1}"#,
  ]

  private func model(_ optimizer: String, _ schedule: String) throws -> Model {
    let model = try Model(randomNetwork(), name: "random", seed: 5)
    try model.compile(
      #"{"optimizer": \#(optimizer), "schedule": \#(schedule), "metrics": ["accuracy", "auc"], "seed": 11}"#)
    return model
  }

  /// Five batches an epoch, the last of two samples.
  private static let options: FitOptions = {
    var options = FitOptions()
    (options.batchSize, options.epochs) = (4, 3)
    (options.flipsHorizontally, options.cropPadding) = (true, 1)
    return options
  }()

  /// Everything that further training depends on.
  private func state(_ model: Model) throws -> [UInt32] {
    let slots = model.training?.optimizer.state ?? []
    let results = model.training?.measures.results ?? []
    return try model.bits() + results.map { Float($0).bitPattern }
      + slots.flatMap { _, storage in
        storage.parameters.indices.flatMap { storage.values(at: $0).map(\.bitPattern) }
      }
  }

  @Test(arguments: optimizers, schedules) func endsInTheSameBits(_ optimizer: String, _ schedule: String) throws {
    let data = try imageData(18)
    let whole = try model(optimizer, schedule)
    var rates: [Double] = []
    try whole.fit(data.x.view, data.y.view, options: Self.options) { (progress) throws(CNNError) in
      rates.append(progress.learningRate)
      return true
    }
    #expect(rates.count == 15)
    let expected = try state(whole)

    // In the middle of an epoch, at an epoch's end, and before its last batch.
    for stop in [2, 5, 9] {
      let directory = try TemporaryDirectory()
      let path = directory.file("checkpoint")
      let first = try model(optimizer, schedule)
      try first.fit(data.x.view, data.y.view, options: Self.options) { (progress) throws(CNNError) in
        progress.step < stop
      }
      try first.write(to: path, includingTrainingState: true)

      let second = try Model(contentsOf: path)
      #expect(second.trainingSettings == first.trainingSettings)
      var options = Self.options
      options.resumes = true
      var later: [Double] = []
      try second.fit(data.x.view, data.y.view, options: options) { (progress) throws(CNNError) in
        later.append(progress.learningRate)
        return true
      }
      #expect(later == Array(rates.dropFirst(stop)))
      #expect(try state(second) == expected, "stopped after \(stop)")

      // A clone goes on alike.
      let clone = try first.copy()
      try clone.fit(data.x.view, data.y.view, options: options)
      #expect(try state(clone) == expected, "cloned after \(stop)")
    }
  }

  @Test func aFinishedRunIsNotResumed() throws {
    let data = try imageData(18)
    let model = try model(Self.optimizers[0], Self.schedules[0])
    try model.fit(data.x.view, data.y.view, options: Self.options)
    var options = Self.options
    options.resumes = true
    expectError(.invalidState, "epochs is 3") { try model.fit(data.x.view, data.y.view, options: options) }
  }

  /// Five batches of an epoch, the last of two samples.
  private func batches(_ data: (x: Tensor, y: Tensor), from first: Int = 0) -> [(x: TensorView, y: TensorView)] {
    (first..<5).map { batch in
      let samples = (4 * batch)..<min(4 * batch + 4, 18)
      return (data.x.view.samples(samples), data.y.view.samples(samples))
    }
  }

  /// Data that comes batch by batch trains as the whole of it does, and a checkpoint knows the epoch and the batch.
  @Test(arguments: schedules, [2, 5, 7]) func batchByBatchIsTheSame(_ schedule: String, _ stop: Int) throws {
    let data = try imageData(18)
    var options = FitOptions()
    (options.batchSize, options.epochs, options.shuffles) = (4, 3, false)
    let whole = try model(Self.optimizers[1], schedule)
    let history = try whole.fit(data.x.view, data.y.view, options: options)

    let directory = try TemporaryDirectory()
    let path = directory.file("checkpoint")
    var pieces = try model(Self.optimizers[1], schedule)
    options.batchesPerEpoch = 5
    var run = try TrainingRun(pieces, options: options)
    while !run.progress.finished {
      let start = run.progress
      #expect(start.step == 5 * start.epoch + start.batch)
      for (x, y) in batches(data, from: start.batch) {
        let progress = try run.step(x, y)
        #expect(progress.epoch == start.epoch && progress.step == 5 * progress.epoch + progress.batch)
        #expect(progress.epochEnded == (progress.batch == 5) && progress.batches == 5)
        if progress.epochEnded { #expect(progress.results == history[progress.epoch]) }
        if progress.step == stop {
          try pieces.write(to: path, includingTrainingState: true)
          break
        }
      }
      if run.progress.step == stop, !options.resumes {  // as after an interruption
        pieces = try Model(contentsOf: path)
        options.resumes = true
        run = try TrainingRun(pieces, options: options)
        #expect((run.progress.epoch, run.progress.batch) == (stop / 5, stop % 5))
      }
    }
    expectError(.invalidState, "finished") { _ = try run.step(data.x.view, data.y.view) }
    #expect(try state(pieces) == state(whole))
  }

  @Test func anEpochOfUnknownLengthEndsWhereItIsSaid() throws {
    let data = try imageData(18)
    let whole = try model(Self.optimizers[2], Self.schedules[0]),
      pieces = try model(Self.optimizers[2], Self.schedules[0])
    let options = FitOptions(epochs: 2, batchSize: 4, shuffles: false)
    try whole.fit(data.x.view, data.y.view, options: options)
    let run = try TrainingRun(pieces, options: options)
    try run.endEpoch()
    #expect(run.progress.epoch == 0, "an epoch that has not begun does not end")
    for epoch in 0..<2 {
      for (x, y) in batches(data) {
        let progress = try run.step(x, y)
        #expect(progress.batches == 0 && !progress.epochEnded && progress.epoch == epoch)
      }
      try run.endEpoch()
      try run.endEpoch()
      #expect(run.progress.epoch == epoch + 1 && run.progress.batch == 0 && run.progress.finished == (epoch == 1))
    }
    #expect(try state(pieces) == state(whole))
  }

  @Test func aRunHasItsDataOrTakesIt() throws {
    let data = try imageData(4)
    let model = try model(Self.optimizers[0], Self.schedules[0])
    let without = try TrainingRun(model), with = try TrainingRun(model, data.x.view, data.y.view)
    expectError(.invalidState, "begun without data") { _ = try without.step() }
    expectError(.invalidState, "begun with its data") { _ = try with.step(data.x.view, data.y.view) }
    expectError(.shapeMismatch, "y") { _ = try without.step(data.x.view, data.y.view.samples(0..<3)) }
    #expect(without.progress == TrainingRun.Progress(learningRate: 0.05))
    expectError(.invalidArgument, "steps is for data that comes batch by batch") {
      _ = try TrainingRun(model, data.x.view, data.y.view, options: FitOptions(batchesPerEpoch: 3))
    }
  }

  @Test func anOpenScheduleNeedsItsLengthBatchByBatch() throws {
    let model = try model(Self.optimizers[0], Self.schedules[2])
    expectError(.invalidState, "total_steps") { _ = try TrainingRun(model) }
    expectError(.invalidArgument, "steps is 0") { _ = try TrainingRun(model, options: FitOptions(batchesPerEpoch: 0)) }
    #expect(try TrainingRun(model, options: FitOptions(batchesPerEpoch: 3)).progress.batches == 3)
  }

  @Test func aRateThatWasSetIsKept() throws {
    let directory = try TemporaryDirectory()
    let model = try model(Self.optimizers[0], Self.schedules[1])
    try model.setLearningRate(0.125)
    try model.write(to: directory.file("m"), includingTrainingState: true)
    #expect(try Model(contentsOf: directory.file("m")).learningRate() == 0.125)
    expectError(.invalidArgument, "learning rate is -1") { try model.setLearningRate(-1) }
    expectError(.invalidArgument, "learning rate is nan") { try model.setLearningRate(.nan) }
  }

  @Test func aModelThatWasNotCompiledHasNoTrainingState() throws {
    let directory = try TemporaryDirectory()
    let model = try Model(randomNetwork(), name: "random")
    expectError(.invalidState, "compile") { try model.write(to: directory.file("m"), includingTrainingState: true) }
    #expect(directory.names().isEmpty)
    try model.write(to: directory.file("m"))
    #expect(try Model(contentsOf: directory.file("m")).trainingSettings == nil)
  }

  @Test func theMovingAverageIsSwappedAndBack() throws {
    let data = try imageData(18)
    let model = try model(Self.optimizers[2], Self.schedules[0])
    try model.fit(data.x.view, data.y.view, options: Self.options)
    let weights = try model.bits()
    let prediction = try model.predict(data.x.view).bits
    try model.swapMovingAverage()
    #expect(try model.bits() != weights)
    #expect(try model.predict(data.x.view).bits != prediction)
    try model.swapMovingAverage()
    #expect(try model.bits() == weights)
    #expect(try model.predict(data.x.view).bits == prediction)
    let plain = try self.model(Self.optimizers[0], Self.schedules[0])
    expectError(.invalidState, "ema_decay") { try plain.swapMovingAverage() }
  }

  @Test func theMovingAverageIsTheFormula() throws {
    let data = try imageData(4)
    let model = try model(#"{"name": "sgd", "ema_decay": 0.75}"#, #""constant""#)
    // The weights of the first step begin it.
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    var shadow = try model.values("fc.weight")
    for _ in 0..<3 {
      _ = try model.trainOnBatch(data.x.view, data.y.view)
      shadow = zip(shadow, try model.values("fc.weight")).map { 0.75 * $0 + 0.25 * $1 }
    }
    try model.swapMovingAverage()
    expectClose(try model.values("fc.weight"), shadow, 1e-6, "average")
  }
}
