import CNNCore
import CNNGraph
import CNNKernels

/// A training loop that goes batch by batch, so that every language can write its own `fit` around it.
///
/// The order and augmentation of an epoch are functions of (seed, first step), the masks of dropout of (seed, step): a
/// run that is stopped and resumed from a checkpoint ends in the same bits as one that was not.
public final class TrainingRun {
  /// How far a run is.
  public struct Progress: Sendable, Equatable {
    /// The epoch, from 0.
    public var epoch = 0
    /// Batches done in this epoch, and how many an epoch has.
    public var batch = 0, batches = 0
    /// Steps the model has been trained for in all.
    public var step = 0
    /// Whether this was the epoch's last batch, and the run's.
    public var epochEnded = false, finished = false
    /// The learning rate of this step.
    public var learningRate = 0.0
    /// Means of loss and metrics over the epoch so far.
    public var results: [Double] = []
  }

  private let model: Model
  private let state: TrainingState
  private let x: Samples
  private let y: TensorView
  private let sampleWeight: TensorView?
  private let options: FitOptions
  private let batchSize: Int
  private let batches: Int
  private var epoch: Int
  private var batch: Int
  /// The number of the batch with which the data begins.
  private let firstBatch: Int
  private var reportsStart: Bool
  private var isFinished = false
  private var order: Memory
  private var orderedEpoch: Int?
  /// Room for the samples of a batch, for each input; none where they lie in the data as they are wanted.
  private let xBatches: [Memory]
  private let yBatch: Memory
  private let weightBatch: Memory?

  /// Prepares training of `model` on data that stays in place as long as the run.
  /// - Throws: `.invalidState` before `compile`; what does not fit in data or options.
  public init(
    _ model: Model, _ x: some ModelInput, _ y: TensorView, sampleWeight: TensorView? = nil,
    options: FitOptions = FitOptions()
  ) throws(CNNError) {
    try options.validate()
    (self.model, self.y, self.sampleWeight, self.options) = (model, y, sampleWeight, options)
    let (state, x) = try model.lock.writing { () throws(CNNError) -> (TrainingState, Samples) in
      let state = try model.compiled(), given = try model.samples(x)
      try model.checkTargets(given, y, sampleWeight, state.settings.lossOperation(for: model.network))
      return (state, try model.learned(given, state))
    }
    (self.state, self.x) = (state, x)
    guard x.count <= Int(Int32.max) else {
      throw CNNError(.outOfMemory, "x has \(x.count) samples; expected \(Int32.max) at most")
    }
    guard options.classWeights.isEmpty || (y.element == .int32 && y.sampleByteCount == 4) else {
      throw CNNError(.invalidArgument, "class_weight needs one int32 label a sample")
    }
    guard x.arrays.contains(where: { $0.shape.count == 4 }) || (options.cropPadding == 0 && !options.flipsHorizontally)
    else {
      throw CNNError(.invalidArgument, "flips and crops need images [N, height, width, channels]")
    }
    reportsStart = options.reportsStart
    batchSize = options.batch == nil ? options.batchSize : x.count
    batches =
      options.batch.map { $0 + (options.isLastBatch ? 1 : 2) } ?? (x.count - 1) / options.batchSize + 1
    firstBatch = options.batch ?? 0
    epoch = options.resumes ? state.epoch : options.initialEpoch
    batch = options.batch ?? (options.resumes ? state.batch : 0)
    if batch >= batches { (epoch, batch) = (epoch + 1, 0) }
    guard epoch < options.epochs else {
      throw CNNError(.invalidState, "the checkpoint has done \(epoch) epochs; epochs is \(options.epochs)")
    }
    let room = min(batchSize, x.count)
    order = try Memory(count: x.count, of: .int32, for: "order of the samples")
    let gathersSamples = options.shuffles || options.cropPadding > 0 || options.flipsHorizontally
    var xBatches: [Memory] = []
    for array in x.arrays where gathersSamples {
      xBatches.append(try Memory(byteCount: Checked.product([room, array.sampleByteCount], "batch"), for: "batch"))
    }
    self.xBatches = xBatches
    yBatch = try Memory(byteCount: Checked.product([room, y.sampleByteCount], "labels"), for: "labels")
    let isWeighted = sampleWeight != nil || !options.classWeights.isEmpty
    weightBatch = isWeighted ? try Memory(count: room, of: .float32, for: "sample weights") : nil
    let stepsOfRun = try Checked.product([batches, options.epochs - options.initialEpoch], "steps")
    let total = options.totalSteps ?? (options.batch == nil ? stepsOfRun : nil)
    let batchSizes = [room, (x.count - 1) % batchSize + 1]
    try model.lock.writing { [state] () throws(CNNError) in
      model.updateTrainability()
      // A batch of another size that the network cannot be trained on is found out now, not at the end of an epoch.
      for count in Set(batchSizes) { try model.checkTraining(x[0..<count], state) }
      if let total {
        state.beginSchedule(steps: total, resumes: options.resumes)
      } else {
        try state.requireSchedule()
      }
    }
  }

  /// Trains on the next batch.
  /// - Throws: what `Model.trainOnBatch` throws; `.invalidState` after the end, or where the model was compiled anew.
  public func step() throws(CNNError) -> Progress {
    guard !isFinished else { throw CNNError(.invalidState, "the training run is finished") }
    return try model.lock.writing { () throws(CNNError) in
      // The data was checked against the loss of that time.
      guard try model.compiled() === state else {
        throw CNNError(.invalidState, "the model was compiled anew; this training run has ended")
      }
      if reportsStart {
        reportsStart = false
        return Progress(
          epoch: epoch, batch: batch, batches: batches, step: state.step, learningRate: state.nextRate,
          results: state.epochMeans)
      }
      let seed = state.settings.seed
      if batch == 0 { state.beginEpoch() }
      let indices = orderOfEpoch(seed)
      let start = (batch - firstBatch) * batchSize
      let count = min(batchSize, x.count - start)
      let chosen = UnsafePointer(indices + start)
      gather(chosen, count, seed)
      // The caller's memory may have changed since it was checked.
      let targets = TensorView(y.element, shape: [count] + y.sampleShape, base: yBatch.base)
      try model.checkTargets(x[0..<count], targets, nil, state.settings.lossOperation(for: model.network))
      let rate = state.nextRate
      let samples =
        xBatches.isEmpty
        ? x[start..<start + count]
        : Samples(
          arrays: zip(x.arrays, xBatches).map { array, batch in
            TensorView(array.element, shape: [count] + array.sampleShape, base: batch.base)
          })
      let results = try model.lockedTrainOnBatch(
        samples, targets,
        weightBatch.map { TensorView(.float32, shape: [count], base: $0.base) }, state)
      state.add(results, samples: count)
      batch += 1
      var progress = Progress(
        epoch: epoch, batch: batch, batches: batches, step: state.step, learningRate: rate,
        results: state.epochMeans)
      if batch == batches {
        progress.epochEnded = true
        (epoch, batch) = (epoch + 1, 0)
        progress.finished = epoch == options.epochs
      }
      isFinished = progress.finished || options.batch != nil
      (state.epoch, state.batch) = (epoch, batch)
      return progress
    }
  }

  /// The order of the samples in this epoch.
  private func orderOfEpoch(_ seed: UInt64) -> UnsafeMutablePointer<Int32> {
    let base = order.base.assumingMemoryBound(to: Int32.self)
    if orderedEpoch != epoch {
      let all = UnsafeMutableBufferPointer(start: base, count: x.count)
      if options.shuffles {
        Augmentation.shuffle(all, seed: seed, stream: RandomStream.order(epochStart: state.epochStart))
      } else {
        for index in all.indices { all[index] = Int32(truncatingIfNeeded: index) }
      }
      orderedEpoch = epoch
    }
    return base
  }

  /// Copies the chosen samples, augmented, with their targets and weights.
  ///
  /// Between two steps, in the threads that then make the step: it takes less than a thousandth of one, and a thread of its
  /// own would take the same time from them.
  private func gather(_ chosen: UnsafePointer<Int32>, _ count: Int, _ seed: UInt64) {
    for (array, batch) in zip(x.arrays, xBatches) { gatherSamples(of: array, chosen, count, seed, into: batch) }
    let targetBytes = y.sampleByteCount
    for position in 0..<count {
      (yBatch.base + position * targetBytes).copyMemory(
        from: y.base + Int(chosen[position]) * targetBytes, byteCount: targetBytes)
    }
    guard let weights = weightBatch?.floats else { return }
    let labelsPerSample = targetBytes / 4
    for position in 0..<count {
      let sample = Int(chosen[position])
      var weight = sampleWeight.map { $0.base.assumingMemoryBound(to: Float.self)[sample] } ?? 1
      if !options.classWeights.isEmpty {
        let label = y.base.assumingMemoryBound(to: Int32.self)[sample * labelsPerSample]
        weight *= Float(options.classWeights[Int(label)] ?? 1)
      }
      weights[position] = weight
    }
  }

  private func gatherSamples(
    of x: TensorView, _ chosen: UnsafePointer<Int32>, _ count: Int, _ seed: UInt64, into batch: Memory
  ) {
    let workers = Workers(count: Threads.count)
    let shape = x.sampleShape
    // Samples that are not images are copied as rows of one pixel.
    let isImage = shape.count == 3
    let settings = Augmentation.Settings(
      height: isImage ? shape[0] : 1, width: isImage ? shape[1] : 1,
      channels: isImage ? shape[2] : shape.reduce(1, *), cropPadding: isImage ? options.cropPadding : 0,
      flipsHorizontally: isImage && options.flipsHorizontally)
    // Samples are told apart by their place in the data, so data of one batch needs a stream of its own. Several images of
    // a sample are changed alike.
    let stream = RandomStream.augmentation(epochStart: options.batch == nil ? state.epochStart : state.step)
    switch x.element {
    case .uint8:
      Augmentation.gather(
        x.base.assumingMemoryBound(to: UInt8.self), indices: chosen, count: count, settings: settings, seed: seed,
        epoch: stream, into: batch.base.assumingMemoryBound(to: UInt8.self), workers: workers)
    case .float32, .int32:
      Augmentation.gather(
        x.base.assumingMemoryBound(to: Float.self), indices: chosen, count: count, settings: settings, seed: seed,
        epoch: stream, into: batch.base.assumingMemoryBound(to: Float.self), workers: workers)
    }
  }
}

extension Model {
  /// Trains on a data set.
  /// - Parameter onStep: called after each step; returning false ends training, weights kept.
  /// - Returns: for each epoch the means of loss and metrics.
  @discardableResult
  public func fit(
    _ x: some ModelInput, _ y: TensorView, sampleWeight: TensorView? = nil, options: FitOptions = FitOptions(),
    onStep: (TrainingRun.Progress) throws(CNNError) -> Bool = { _ throws(CNNError) in true }
  ) throws(CNNError) -> [[Double]] {
    let run = try TrainingRun(self, x, y, sampleWeight: sampleWeight, options: options)
    var history: [[Double]] = []
    while true {
      let progress = try run.step()
      if progress.epochEnded { history.append(progress.results) }
      let goesOn = try onStep(progress)
      if progress.finished || !goesOn { return history }
    }
  }
}
