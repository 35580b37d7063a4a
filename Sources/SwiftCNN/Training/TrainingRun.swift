import CNNCore
import CNNGraph

/// A training loop that goes batch by batch, so that every language can write its own `fit` around it: over arrays that it
/// draws its batches from, or over data that is given to it batch by batch.
///
/// The order and augmentation of an epoch are functions of (seed, first step), the masks of dropout of (seed, step): a
/// run that is stopped and resumed from a checkpoint ends in the same bits as one that was not.
public final class TrainingRun {
  /// How far a run is.
  public struct Progress: Sendable, Equatable, CustomStringConvertible {
    /// The epoch, from 0.
    public var epoch = 0
    /// Batches done in this epoch, and how many an epoch has; 0 where that is not known.
    public var batch = 0, batches = 0
    /// Steps the model has been trained for in all.
    public var step = 0
    /// Whether this was the epoch's last batch, and the run's.
    public var epochEnded = false, finished = false
    /// The learning rate of this step.
    public var learningRate = 0.0
    /// Means of loss and metrics over the epoch so far.
    public var results = TrainingResults()

    /// Where the run is and the results, as `epoch 1, batch 4 of 10: loss 0.2931`; epochs are counted from 1 here.
    public var description: String {
      "epoch \(epoch + 1), batch \(batch)\(batches > 0 ? " of \(batches)" : ""): \(results)"
    }
  }

  private let model: Model
  private let state: TrainingState
  private let options: FitOptions
  /// nil where the data is given batch by batch.
  private let set: TrainingSet?
  /// The batch that was given last.
  private var given: TrainingSet?
  private let batches: Int?
  private var epoch: Int
  private var batch: Int
  private var isFinished = false
  /// How the teacher is asked of a model that has one.
  private let teaching: Teaching?
  /// What it computes in, which is one thing in a whole run.
  private let precision: Precision

  /// Prepares training of `model` on arrays that stay in place as long as the run.
  /// - Throws: `.invalidState` before `compile`; what does not fit in data or options.
  public convenience init(
    _ model: Model, _ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil,
    options: FitOptions = FitOptions()
  ) throws(CNNError) {
    let (y, sampleWeight) = (try y.view, try sampleWeight?.view)
    try options.validate()
    guard options.batchesPerEpoch == nil else {
      throw CNNError(.invalidArgument, "steps is for data that comes batch by batch; x has all batches of an epoch")
    }
    let (state, set) = try model.lock.writing { () throws(CNNError) -> (TrainingState, TrainingSet) in
      let state = try model.compiled()
      return (state, try TrainingSet(model, state, x, y, sampleWeight, options, batchSize: options.batchSize))
    }
    try self.init(model, state, set, options)
  }

  /// Prepares training of `model` on batches that are given to `step(_:_:sampleWeight:)`.
  /// - Throws: `.invalidState` before `compile`, and where a learning rate's schedule is to extend over the whole run, of
  ///   which `options.batchesPerEpoch` does not tell the length; what does not fit in options.
  public convenience init(_ model: Model, options: FitOptions = FitOptions()) throws(CNNError) {
    try options.validate()
    try self.init(model, model.lock.reading { () throws(CNNError) in try model.compiled() }, nil, options)
  }

  private init(_ model: Model, _ state: TrainingState, _ set: TrainingSet?, _ options: FitOptions) throws(CNNError) {
    (self.model, self.state, self.options, self.set) = (model, state, options, set)
    batches = set?.batchCount ?? options.batchesPerEpoch
    precision = model.precision.training
    epoch = options.resumes ? state.epoch : options.initialEpoch
    batch = options.resumes ? state.batch : 0
    if let batches, batch >= batches { (epoch, batch) = (epoch + 1, 0) }
    guard epoch < options.epochs else {
      throw CNNError(.invalidState, "the checkpoint has done \(epoch) epochs; epochs is \(options.epochs)")
    }
    let epochCount = options.epochs - options.initialEpoch
    teaching = try model.distillation.map { [model] (distillation) throws(CNNError) in
      try model.lock.reading { () throws(CNNError) in
        try Teaching(
          distillation, data: set?.x, batchSize: set.map { min(options.batchSize, $0.x.count) },
          resumes: options.resumes)
      }
    }
    let total = try batches.map { (count) throws(CNNError) in try Checked.product([count, epochCount], "steps") }
    try model.lock.writing { () throws(CNNError) in
      model.updateTrainability()
      // A batch of another size that the network cannot be trained on is found out now, not at the end of an epoch.
      if let set {
        for count in set.batchSizes { try model.checkTraining(set.x[0..<count], state) }
      }
      if let total {
        state.beginSchedule(steps: total, resumes: options.resumes)
      } else {
        try state.requireSchedule()
      }
    }
  }

  /// Where the run is: with which epoch and batch it goes on.
  public var progress: Progress {
    model.lock.reading {
      Progress(
        epoch: epoch, batch: batch, batches: batches ?? 0, step: state.step, finished: isFinished,
        learningRate: state.nextRate, results: state.epochResults)
    }
  }

  /// Trains on the next batch.
  /// - Throws: what `Model.trainOnBatch` throws; `.invalidState` after the end, where the model was compiled anew, or where
  ///   the data is given batch by batch.
  public func step() throws(CNNError) -> Progress {
    guard let set else {
      throw CNNError(.invalidState, "the training run was begun without data; give each step its batch")
    }
    return try advance { () throws(CNNError) in
      let drawn = set.batch(
        batch, epoch: epoch, epochStart: state.epochStart, changesStart: augmentation ?? state.epochStart,
        seed: state.settings.seed)
      // The caller's memory may have changed since it was checked.
      try model.checkTargets(drawn.x, drawn.y, nil, state.settings.lossOperation(for: model.network))
      return drawn
    }
  }

  /// Trains on a batch, of a run that was begun without data. The epoch ends with its `batchesPerEpoch`, or by `endEpoch`.
  /// - Throws: as `step()`.
  public func step(_ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil)
    throws(CNNError) -> Progress
  {
    let (y, sampleWeight) = (try y.view, try sampleWeight?.view)
    guard set == nil else {
      throw CNNError(.invalidState, "the training run was begun with its data; it takes no other")
    }
    return try advance { () throws(CNNError) in
      // Samples are told apart by their place in the data, so each batch has a stream of random numbers of its own.
      let batch = try TrainingSet(model, state, x, y, sampleWeight, options, batchSize: nil)
      given = batch
      return batch.batch(
        0, epoch: epoch, epochStart: state.step,
        changesStart: augmentation.map { $0 << 32 | self.batch } ?? state.step, seed: state.settings.seed)
    }
  }

  /// Which of so many ways samples are changed in this epoch; nil where each epoch has its own.
  private var augmentation: Int? { model.distillation?.options.augmentations.map { epoch % $0 } }

  /// Ends an epoch whose data comes batch by batch, unless it has ended with its last step.
  /// - Throws: `.inputOutput` where the file of a teacher's cache cannot be written; the epoch has ended then, too.
  public func endEpoch() throws(CNNError) {
    try model.lock.writing { () throws(CNNError) in if batch > 0 { try beginNextEpoch() } }
  }

  private func beginNextEpoch() throws(CNNError) {
    (epoch, batch) = (epoch + 1, 0)
    isFinished = epoch == options.epochs
    (state.epoch, state.batch) = (epoch, batch)
    try teaching?.save()
  }

  /// Whether a model that is trained for integers has come so far that its ranges, and the statistics of its batch
  /// normalisations, stand. Where it is not known how many batches an epoch has, that begins with an epoch.
  ///
  /// It depends on where the run is and on its options alone, so a run that is resumed goes on alike.
  private var statisticsStand: Bool {
    guard let freeze = model.network.freeze else { return false }
    let done = Double(epoch - options.initialEpoch) + (batches.map { Double(batch) / Double($0) } ?? 0)
    return done >= freeze * Double(options.epochs - options.initialEpoch)
  }

  private func advance(_ draw: () throws(CNNError) -> TrainingSet.Batch) throws(CNNError) -> Progress {
    guard !isFinished else { throw CNNError(.invalidState, "the training run is finished") }
    return try model.lock.writing { () throws(CNNError) in
      // The data was checked against the loss of that time.
      guard try model.compiled() === state else {
        throw CNNError(.invalidState, "the model was compiled anew; this training run has ended")
      }
      guard model.chosenPrecision.training == precision else {
        throw CNNError(
          .invalidState,
          "training with the precision \(model.chosenPrecision.rawValue) is in \(model.chosenPrecision.training.rawValue); "
            + "this training run was begun in \(precision.rawValue)")
      }
      if batch == 0 { state.beginEpoch() }
      let drawn = try draw()
      let rate = state.nextRate
      try model.lockedTrainOnBatch(
        drawn.x, drawn.y, drawn.weights, state, into: state.measures, statisticsStand: statisticsStand,
        teaching: teaching)
      batch += 1
      (state.epoch, state.batch) = (epoch, batch)
      var progress = Progress(
        epoch: epoch, batch: batch, batches: batches ?? 0, step: state.step, learningRate: rate,
        results: state.epochResults)
      if batch == batches {
        try beginNextEpoch()
        (progress.epochEnded, progress.finished) = (true, isFinished)
      }
      return progress
    }
  }
}

extension Model {
  /// Trains on a data set.
  ///
  ///     try model.fit(images, labels, options: FitOptions(epochs: 5)) { progress in
  ///       print(progress)
  ///       return true
  ///     }
  ///
  /// - Parameters:
  ///   - x: the samples, as `trainOnBatch` takes them.
  ///   - y: their targets.
  ///   - sampleWeight: float32 `[N]`; nil for 1.
  ///   - options: how long, in which batches and how changed.
  ///   - onStep: called after each step; returning false ends training, weights kept.
  /// - Returns: for each epoch the means of loss and metrics.
  @discardableResult
  public func fit(
    _ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil,
    options: FitOptions = FitOptions(),
    onStep: (TrainingRun.Progress) throws(CNNError) -> Bool = { _ throws(CNNError) in true }
  ) throws(CNNError) -> [TrainingResults] {
    let run = try TrainingRun(self, x, y, sampleWeight: sampleWeight, options: options)
    var history: [TrainingResults] = []
    while true {
      let progress = try run.step()
      if progress.epochEnded { history.append(progress.results) }
      let goesOn = try onStep(progress)
      if progress.finished || !goesOn { return history }
    }
  }
}
