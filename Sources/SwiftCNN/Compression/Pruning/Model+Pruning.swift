import CNNCompiler
import CNNCore
import CNNGraph
import CNNRuntime

extension Model {
  /// A model with fewer channels, and with them all that stands or falls with them: filters, biases, normalisations, and
  /// what later layers make of them. This model stays as it is.
  ///
  ///     let small = try model.pruned(PruningOptions(.macs(0.5)))
  ///     try small.fit(images, labels, options: FitOptions(epochs: 2))
  ///     print(small.pruningReport)
  ///
  /// Where it is compiled the copy is too, with what the optimizer remembers of the channels that are left. What the network
  /// gives keeps its channels.
  /// - Throws: `.invalidArgument` for options that do not fit, and for a target that cannot be reached, with the nearest
  ///   that can; `.unknownName` for a layer to skip that there is not; `.invalidState` for a model that is quantised.
  public func pruned(_ options: PruningOptions) throws(CNNError) -> Model {
    let result = try copy()
    try result.prune(options)
    return result
  }

  /// The same by the criterion `taylor`, for which the gradients of the loss on some samples are looked at.
  /// - Parameters:
  ///   - options: how far, and by what.
  ///   - x: samples, as `trainOnBatch` takes them.
  ///   - y: their targets.
  /// - Throws: as well `.invalidState` where the model is not compiled.
  public func pruned(
    _ options: PruningOptions, on x: some ModelInput, _ y: some TensorConvertible
  ) throws(CNNError) -> Model {
    let result = try copy()
    try result.prune(options, on: x, y)
    return result
  }

  /// Removes channels of this model itself, between two steps of training if it is trained.
  /// - Throws: as `pruned`; the model is then as it was.
  public func prune(_ options: PruningOptions) throws(CNNError) {
    guard options.criterion != .taylor else {
      throw CNNError(
        .invalidArgument,
        "criterion is 'taylor' and data is not given; expected samples and targets to take gradients of")
    }
    try options.validate()
    try lock.writing { () throws(CNNError) in try lockedPrune(options) { _ in nil } }
  }

  /// The same, with samples and their targets for the criterion `taylor`.
  public func prune(
    _ options: PruningOptions, on x: some ModelInput, _ y: some TensorConvertible
  ) throws(CNNError) {
    let y = try y.view
    try options.validate()
    try lock.writing { () throws(CNNError) in
      let changes = options.criterion == .taylor ? try changesOfLoss(try samples(x), y) : [:]
      try lockedPrune(options) { changes[$0] }
    }
  }

  /// What the last pruning of this model, or of the one it was copied from, has made of it; nil where there was none.
  public var pruningReport: PruningReport? { lock.reading { pruning } }

  /// Throws `.invalidState` where the network is quantised, or made to be trained for that.
  func requireNoRoundings(to action: String) throws(CNNError) {
    guard !hasRoundings, !network.isRoundedInTraining else {
      throw CNNError(
        .invalidState,
        "'\(name)' is \(hasRoundings ? "quantised" : "made to be trained for integers"); \(action) the model it was made of"
      )
    }
  }

  private func lockedPrune(_ options: PruningOptions, changes: @escaping (Int) -> [Float]?) throws(CNNError) {
    try requireNoRoundings(to: "prune")
    guard distillation == nil else {
      throw CNNError(.invalidState, "'\(name)' is taught by another model; prune the student before it is")
    }
    updateTrainability()
    let pruning = try Pruning(self, options, changes)
    let (kept, latency) = try pruning.allocation()
    let pruned = try pruning.groups.keeping(kept)
    var report = pruning.report(kept, pruned.graph)
    if let latency {
      (report.before.latency, report.after.latency) = (latency.before * 1e3, latency.after * 1e3)
      report.predictedLatency = latency.predicted * 1e3
    }
    try take(pruned)
    self.pruning = report
  }

  /// Takes another network, whose parameters are parts of the present ones, and what the optimizer keeps of them too.
  private func take(_ pruned: PrunedGraph) throws(CNNError) {
    func part(of storage: ParameterStorage) throws(CNNError) -> ParameterStorage {
      let result = try ParameterStorage(pruned.graph.parameters, lock: parameters.blocks[0].lock)
      for (position, parameter) in pruned.graph.parameters.enumerated() {
        guard let old = storage.position(of: parameter.name) else { continue }
        let source = UnsafeBufferPointer(storage.values(at: old)), target = result.values(at: position)
        if let slice = pruned.slices[parameter.name] {
          slice.copy(from: source, to: target)
        } else {
          _ = target.update(fromContentsOf: source)
        }
        result.tensors[position].isTrainable = storage.tensors[old].isTrainable
      }
      return result
    }
    let parts = try part(of: parameters)
    try training?.optimizer.replaceStorage { (old) throws(CNNError) in try part(of: old) }
    training?.lastStep = nil
    (network, parameters, cutOff) = (pruned.graph, parts, [])
    plans.removeAll()
    forgetLayers()
  }

  /// By parameter what its gradients over some samples would change the loss by, element by element: their product with the
  /// values. Trains nothing.
  private func changesOfLoss(_ x: Samples, _ y: TensorView) throws(CNNError) -> [Int: [Float]] {
    let state = try compiled(), x = try converted(x)
    defer { withExtendedLifetime(x) {} }
    try checkTargets(x, y, nil, state.settings.lossOperation(for: network))
    let batchSize = FitOptions().batchSize
    var changes: [Int: [Float]] = [:]
    for start in stride(from: 0, to: x.count, by: batchSize) {
      let range = start..<min(start + batchSize, x.count)
      let x = x[range], y = y.samples(range)
      try withTrainingContext(x, y, state) { (context) throws(CNNError) in
        if state.lastStep === context { state.lastStep = nil }
        let weights = try state.unitWeights(x.count)
        try context.run(
          parameters: parameters, inputs: x.bases + [y.base, weights],
          randomness: Randomness(seed: state.settings.seed, step: start))
        for (position, gradient) in context.gradients {
          let values = parameters.values(at: position)
          var sums = changes[position] ?? Array(repeating: 0, count: values.count)
          for index in sums.indices { sums[index] += gradient[index] * values[index] }
          changes[position] = sums
        }
      }
    }
    return changes
  }
}
