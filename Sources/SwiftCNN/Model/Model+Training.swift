import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Model {
  /// Sets how the model is trained; starts training anew.
  ///
  ///     try model.compile(loss: .sparseCategoricalCrossEntropy, optimizer: .adam(learningRate: 1e-3), metrics: [.accuracy])
  ///
  /// - Throws: `.invalidArgument` naming a constant that is out of its domain, `.shapeMismatch` where the loss does not fit
  ///   the network's output.
  public func compile(
    loss: LossFunction, optimizer: OptimizerSettings = .adam(), schedule: LearningRateSchedule = .constant,
    metrics: [Metric] = [], seed: UInt64 = 0
  ) throws(CNNError) {
    try compile(
      TrainingSettings(loss: loss, optimizer: optimizer, schedule: schedule, metrics: metrics, seed: seed))
  }

  /// Sets how the model is trained; starts training anew.
  public func compile(_ settings: TrainingSettings) throws(CNNError) {
    try settings.validate()
    var settings = settings
    settings.distillation = distillation?.options
    try lock.writing { () throws(CNNError) in
      guard network.outputs.count == 1 else {
        throw CNNError(.invalidState, "the model has \(network.outputs.count) outputs; training needs a model with one")
      }
      // The loss must fit the network's output: found out here, not at the first step. A size that varies is any.
      let types = network.inputs.map { ($0.name, network.type(of: $0.value)) }
      _ = try network.rebound(Dictionary(uniqueKeysWithValues: types))
        .addingLoss(trainingLoss(settings, forSamples: types.map { Array($0.1.shape.dropFirst()) }))
      if let last = network.shape(of: network.outputs[0].value).last, let classes = last {
        for metric in settings.metrics + settings.weightedMetrics { try metric.check(classes: classes) }
      }
      training = try TrainingState(settings, parameters: parameters)
      plans.removeAll()
    }
  }

  /// How the model is trained; nil before `compile`.
  public var trainingSettings: TrainingSettings? { lock.reading { training?.settings } }

  /// The settings with which training goes on, as the JSON text that `TrainingSettings(json:)` reads: those of `compile`,
  /// with the learning rate that was set since in place of a schedule.
  /// - Throws: `.invalidState` before `compile`.
  package func trainingSettingsText() throws(CNNError) -> String {
    let settings = try lock.reading { () throws(CNNError) in
      let state = try compiled()
      var settings = state.settings
      if let rate = state.learningRate { (settings.optimizer.learningRate, settings.schedule) = (rate, .constant) }
      return settings
    }
    return try JSON.object(settings.json).serialized()
  }

  /// How many steps the model has been trained for since `compile`, those before a checkpoint included.
  /// - Throws: `.invalidState` before `compile`.
  public func trainedSteps() throws(CNNError) -> Int {
    try lock.reading { () throws(CNNError) in try compiled().step }
  }

  /// How far training is, as JSON: `step`, the steps since `compile`; `epoch` and `batch`, with which a run that resumes
  /// begins; `results`, loss and metrics over the last epoch that was begun; `average_in_place`, whether the
  /// weights have the values of their moving average now.
  /// - Throws: `.invalidState` before `compile`.
  package func trainingProgressText() throws(CNNError) -> String {
    let progress = try lock.reading { () throws(CNNError) in
      let state = try compiled()
      var progress = JSONObject()
      progress["step"] = .integer(Int64(state.step))
      progress["epoch"] = .integer(Int64(state.epoch))
      progress["batch"] = .integer(Int64(state.batch))
      progress["results"] = .array(state.epochResults.map { .number($0) })
      progress["average_in_place"] = .bool(state.optimizer.isExchanged)
      return progress
    }
    return try JSON.object(progress).serialized()
  }

  /// Keeps a text and bytes of the caller's with the state of training: they go into its copies and checkpoints, and
  /// `compile` drops them. nil takes them away.
  /// - Throws: `.invalidState` before `compile`; `.outOfMemory`.
  package func setTrainingNotes(_ text: String?, data: UnsafeRawBufferPointer = .init(start: nil, count: 0))
    throws(CNNError)
  {
    var notes: TrainingNotes?
    if let text {
      let copy = try Memory(byteCount: data.count, for: "notes")
      if let start = data.baseAddress { copy.base.copyMemory(from: start, byteCount: data.count) }
      notes = TrainingNotes(text: text, data: copy)
    }
    try lock.writing { () throws(CNNError) in try compiled().notes = notes }
  }

  /// The text and the bytes that `setTrainingNotes` was given; nil where there are none.
  package func trainingNotes() throws(CNNError) -> (text: String, data: Memory)? {
    try lock.reading { () throws(CNNError) in try compiled().notes.map { ($0.text, $0.data) } }
  }

  /// Trains on one batch.
  /// - Parameters:
  ///   - x: images `[N, height, width, channels]`, as `predict` takes them; of a model with several inputs an array for
  ///     each.
  ///   - y: int32 labels `[N]` for sparse categorical cross-entropy, else float32 shaped as the output.
  ///   - sampleWeight: float32 `[N]`; nil for 1.
  /// - Returns: the loss and the metrics, measured before the step.
  /// - Throws: `.invalidState` before `compile`, `.shapeMismatch` or `.invalidArgument` for data that does not fit,
  ///   `.notFinite` where the loss or a gradient is NaN or infinite: the weights are then those before the step.
  @discardableResult
  public func trainOnBatch(
    _ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil
  ) throws(CNNError) -> TrainingResults {
    let (y, sampleWeight) = (try y.view, try sampleWeight?.view)
    return try lock.writing { () throws(CNNError) in
      let state = try compiled()
      try state.requireSchedule()
      let given = try samples(x)
      try checkTargets(given, y, sampleWeight, state.settings.lossOperation(for: network))
      let x = try learned(given, state)
      defer { withExtendedLifetime(x) {} }
      let measures = Measures(state.settings)
      try lockedTrainOnBatch(x, y, sampleWeight, state, into: measures)
      return TrainingResults(state.settings.resultNames, measures.results)
    }
  }

  /// The training state, or an error where there is none.
  func compiled() throws(CNNError) -> TrainingState {
    guard let training else { throw CNNError(.invalidState, "the model is not compiled; call compile first") }
    return training
  }

  /// One training step on checked data; adds what was measured before it. The caller has the model alone.
  /// - Parameters:
  ///   - statisticsStand: whether statistics and ranges stay as they are; see `TrainingRun`.
  ///   - teaching: how a teacher is asked in the run that the batch is of.
  func lockedTrainOnBatch(
    _ x: Samples, _ y: TensorView, _ sampleWeight: TensorView?, _ state: TrainingState, into measures: Measures,
    statisticsStand: Bool = false, teaching: Teaching? = nil
  ) throws(CNNError) {
    updateTrainability()
    try withTrainingContext(x, y, state, statisticsStand: statisticsStand) { (context) throws(CNNError) in
      let weights = if let sampleWeight { sampleWeight.base } else { try state.unitWeights(x.count) }
      let inputs = x.bases + [y.base, weights] + (try distillation?.teacherResults(x, teaching) ?? [])
      let randomness = Randomness(seed: state.settings.seed, step: state.step)
      try context.run(parameters: parameters, inputs: inputs, randomness: randomness)
      state.lastStep = context
      let workers = Workers(count: Threads.count)
      let loss = context.output(1)[0]
      let gradients = context.gradients
      // The loss is one of the weights that masks leave: what is masked has no gradient, in clipping and momentum too.
      for gradient in gradients {
        parameters.tensors[gradient.position].mask?.clear(UnsafeMutableBufferPointer(mutating: gradient.values))
      }
      let squares = OptimizerUpdates.sumsOfSquares(of: gradients.map(\.values), workers: workers)
      let norm = squares.reduce(0, +).squareRoot()
      guard loss.isFinite, norm.isFinite else {
        let place = context.firstNotFinite(inputs: inputs, randomness: randomness)
        throw CNNError(
          .notFinite,
          "training stopped at step \(state.step): the loss is \(loss) and the gradient's norm \(norm)"
            + (place.map { "; the first number that is none is in '\($0)'" } ?? "")
            + "; the weights are those before the step")
      }
      try measure(context, x, y, sampleWeight, state.settings, workers, into: measures)
      state.reported = measures
      context.applyUpdates(to: parameters)
      state.optimizer.takeStep(
        parameters, gradients: gradients, squares: squares, rate: state.nextRate, step: state.step, workers: workers)
      state.step += 1
    }
  }

  /// Calls `body` with a context of the plan that trains on batches like this.
  func withTrainingContext(
    _ x: Samples, _ y: TensorView, _ state: TrainingState, statisticsStand: Bool = false,
    _ body: (ExecutionContext) throws(CNNError) -> Void
  ) throws(CNNError) {
    let key = try PlanCache.Key(
      purpose: .training(statisticsStand: statisticsStand), inputs: x.types(), threads: Threads.count,
      precision: chosenPrecision.training)
    try plans.withContext(
      key,
      makePlan: { () throws(CNNError) in
        if x.count == 1 { try checkTraining(x, state) }
        let loss = try trainingLoss(state.settings, forSamples: x.arrays.map(\.sampleShape))
        let network = statisticsStand ? try network.withStandingStatistics() : network
        let plan = try Compiler.trainingPlan(
          network, inputs: key.inputs, normalization: pixelNormalization, loss: loss, memory: state.settings.memory,
          precision: key.precision, threads: key.threads)
        try checkInputs(of: plan.graph, x, y)
        return plan
      }, body)
  }

  /// The loss and metrics over a data set, without training.
  /// - Parameters:
  ///   - x: the samples, as `trainOnBatch` takes them.
  ///   - y: their targets.
  ///   - sampleWeight: float32 `[N]`; nil for 1.
  ///   - batchSize: how many samples run at once at most; fewer where so many would not stay in the caches.
  ///   - usingAverage: whether to measure the moving average of the weights, which stays where it is, in their place.
  /// - Throws: as `trainOnBatch`; `.invalidState` where no average is kept that should be used.
  public func evaluate(
    _ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil,
    batchSize: Int = 32, usingAverage: Bool = false
  ) throws(CNNError) -> TrainingResults {
    let (names, measures) = try lock.reading { () throws(CNNError) in
      let settings = try compiled().settings
      return (settings.resultNames, Measures(settings))
    }
    try evaluate(x, y, sampleWeight: sampleWeight, batchSize: batchSize, usingAverage: usingAverage, into: measures)
    return TrainingResults(names, measures.results)
  }

  /// Sums of the loss and metrics that `compile` was told, for an evaluation.
  /// - Throws: `.invalidState` before `compile`.
  public func newMeasures() throws(CNNError) -> Measures {
    try lock.reading { () throws(CNNError) in Measures(try compiled().settings) }
  }

  /// A copy of what training reported last: over the epoch so far, or of `trainOnBatch` of that batch.
  /// - Throws: `.invalidState` before `compile`.
  public func trainingMeasures() throws(CNNError) -> Measures {
    try lock.reading { () throws(CNNError) in try compiled().reported.copy() }
  }

  /// Adds a data set, or a part of it, to an evaluation; for the rest as the other `evaluate`.
  public func evaluate(
    _ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil,
    batchSize: Int = 32, usingAverage: Bool = false, into measures: Measures
  ) throws(CNNError) {
    let (y, sampleWeight) = (try y.view, try sampleWeight?.view)
    guard batchSize >= 1 else {
      throw CNNError(.invalidArgument, "\(option: "batch_size") is \(batchSize); expected 1 or more")
    }
    lock.writing { updateTrainability() }
    // Alone, since the state's scratch weights are shared.
    try lock.alone { () throws(CNNError) in
      let state = try compiled()
      guard measures.measures(state.settings) else {
        throw CNNError(.invalidState, "the model was compiled anew; this evaluation has ended")
      }
      let loss = state.settings.lossOperation(for: network)
      let parameters = usingAverage ? try state.optimizer.averaged(parameters) : parameters
      let x = try served(x)
      defer { withExtendedLifetime(x) {} }
      try checkTargets(x, y, sampleWeight, loss)
      let atOnce = min(batchSize, try imagesPerPass(x))
      var interruption = Interruption()
      var start = 0
      while start < x.count {
        if start > 0 { try interruption.check() }
        let end = start + min(atOnce, x.count - start)
        let batch = x[start..<end], targets = y.samples(start..<end)
        let key = try PlanCache.Key(
          purpose: .evaluation, inputs: batch.types(), threads: Threads.count, precision: chosenPrecision.prediction,
          maskVersion: self.parameters.maskVersion)
        try plans.withContext(
          key,
          makePlan: { () throws(CNNError) in
            let plan = try Compiler.evaluationPlan(
              networkWithFlags, inputs: key.inputs, normalization: pixelNormalization, loss: loss, threads: key.threads,
              precision: key.precision)
            try checkInputs(of: plan.graph, batch, targets)
            return plan
          }
        ) { (context) throws(CNNError) in
          let given = sampleWeight?.samples(start..<end)
          let weights = if let given { given.base } else { try state.unitWeights(end - start) }
          try context.run(parameters: parameters, inputs: batch.bases + [targets.base, weights])
          try measure(
            context, batch, targets, given, state.settings, Workers(count: key.threads), into: measures)
        }
        start = end
      }
    }
  }

  /// Throws where the network cannot be trained on a batch like this, and notices where that makes little sense.
  func checkTraining(_ x: Samples, _ state: TrainingState) throws(CNNError) {
    let types = try x.types()
    // Batches that come one by one are a run each, and making the graph takes milliseconds.
    let key = PlanCache.Key(
      purpose: .training(statisticsStand: false), inputs: types, threads: Threads.count)
    if plans.hasPlan(key) { return }
    let graph = try Compiler.trainingGraph(
      network, inputs: types, normalization: pixelNormalization,
      loss: trainingLoss(state.settings, forSamples: x.arrays.map(\.sampleShape)))
    warnings.addSingleValues(layers: graph.singleValueNormalizations)
  }

  /// Checks that a graph with a loss reads as many targets and weights as there are: a graph from a file can have an
  /// output whose batch is not that of the input.
  private func checkInputs(of graph: Graph, _ x: Samples, _ y: TensorView) throws(CNNError) {
    let counts = graph.inputs.map { graph.type(of: $0.value).count }
    // What a teacher gives is the rest.
    guard counts.starts(with: x.arrays.map { $0.shape.reduce(1, *) } + [y.shape.reduce(1, *), x.count]) else {
      throw CNNError(.shapeMismatch, "the network's output does not have one row for each sample of its input")
    }
  }

  /// Adds the loss and the metrics of the batch that has just run.
  private func measure(
    _ context: ExecutionContext, _ x: Samples, _ y: TensorView, _ sampleWeight: TensorView?,
    _ settings: TrainingSettings, _ workers: Workers, into measures: Measures
  ) throws(CNNError) {
    let predictions = context.output(0)
    let classes = context.plan.graph.type(of: context.plan.graph.outputs[0].value).shape.last ?? 1
    let loss = settings.lossOperation(for: network)
    guard let scores = predictions.baseAddress else { return }
    let targets: ScoreHistogram.Targets =
      loss.lossFunction?.hasLabelTargets == true
      ? .labels(y.base.assumingMemoryBound(to: Int32.self)) : .values(y.base.assumingMemoryBound(to: Float.self))
    let logits: MeasuredBatch.Logits? =
      loss.fromLogits ? (loss.lossFunction?.isBinary == true ? .sigmoid : .softmax) : nil
    let batch = MeasuredBatch(
      scores: UnsafePointer(scores), rows: predictions.count / classes, classes: classes, targets: targets,
      samples: x.count, weights: nil, logits: logits, workers: workers)
    try measures.add(batch, weights: sampleWeight?.base.assumingMemoryBound(to: Float.self))
    try measures.add(loss: Double(context.output(1)[0]), samples: x.count)
    guard measures.keepsBatch else { return }
    let shape = context.plan.graph.type(of: context.plan.graph.outputs[0].value).shape
    try measures.keep(
      targets: y, predictions: TensorView(.float32, shape: shape, base: scores), sampleWeight: sampleWeight)
  }

  /// The gradient of a parameter in the last training step, shaped as the parameter.
  /// - Throws: `.unknownName` with the nearest name, `.invalidState` before the first step or for a frozen parameter.
  public func gradient(of name: String) throws(CNNError) -> Tensor {
    let result = try Tensor(zeros: shape(of: name))
    try copyGradient(of: name, into: result.floats)
    return result
  }

  /// As `gradient(of:)`, into memory of the caller.
  /// - Throws: as well `.shapeMismatch` where the count differs.
  public func copyGradient(of name: String, into destination: UnsafeMutableBufferPointer<Float>) throws(CNNError) {
    try lock.reading { () throws(CNNError) in
      _ = try position(of: name)
      guard let context = try compiled().lastStep else {
        throw CNNError(.invalidState, "there is no gradient before the first training step since compile or profile")
      }
      guard let index = context.plan.graph.outputs.firstIndex(where: { $0.name == Compiler.gradientName(name) }) else {
        throw CNNError(.invalidState, "'\(name)' has no gradient: it is frozen, a statistic, or not used by the loss")
      }
      let values = context.output(index)
      guard values.count == destination.count else {
        throw CNNError(.shapeMismatch, "'\(name)' has \(values.count) elements; \(destination.count) given")
      }
      _ = destination.update(fromContentsOf: values)
    }
  }

  /// The learning rate of the next step.
  public func learningRate() throws(CNNError) -> Double {
    try lock.reading { () throws(CNNError) in try compiled().nextRate }
  }

  /// Sets the learning rate; ends a schedule.
  public func setLearningRate(_ rate: Double) throws(CNNError) {
    guard rate >= 0, rate.isFinite else {
      throw CNNError(.invalidArgument, "the learning rate is \(rate); expected 0 or more")
    }
    try lock.writing { () throws(CNNError) in try compiled().learningRate = rate }
  }

  /// Gives the weights the values of their moving average, which stays as it is.
  public func applyMovingAverage() throws(CNNError) {
    try lock.writing { () throws(CNNError) in try compiled().optimizer.applyAverage(to: parameters) }
  }

  /// Exchanges the weights with their moving average; a second call exchanges them back.
  public func swapMovingAverage() throws(CNNError) {
    try lock.writing { () throws(CNNError) in try compiled().optimizer.swapAverage(with: parameters) }
  }
}

extension Graph {
  /// How many batch normalisations of a training graph have one value for each channel, as of a batch of one image where
  /// maps have shrunk to one pixel.
  fileprivate var singleValueNormalizations: Int {
    nodes.count { node in
      node.operation is BatchNormalizationTraining
        && node.operands.first.map { type(of: $0).shape.dropLast().allSatisfy { $0 == 1 } } ?? false
    }
  }
}
