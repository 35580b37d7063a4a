import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Model {
  /// Times the steps of a prediction of images, and measures once what the machine can do at most. Of a batch that is too
  /// large to be computed at once, the images that are computed first.
  /// - Parameters:
  ///   - x: the images, as `predict` takes them.
  ///   - repeats: how often; the times are medians.
  /// - Throws: as `predict`; `.invalidArgument` for fewer repeats than 1 or more than 1,000,000.
  public func profile(_ x: some ModelInput, repeats: Int = 10) throws(CNNError) -> Profile {
    try Self.check(repeats)
    return try lock.reading { () throws(CNNError) in
      let whole = try converted(samples(x))
      defer { withExtendedLifetime(whole) {} }
      let x = whole[0..<min(whole.count, try imagesPerPass(whole))]
      let outputs = network.outputs.map(\.name)
      return try withPredictionContext(x, outputs) { (context) throws(CNNError) in
        let layers = try Compiler.layers(of: context.plan, network: network, outputs: outputs)
        var measurement = Measurements()
        try context.measure(parameters: parameters, inputs: x.bases, repeats: repeats) { run in
          measurement.add(run.map(Profile.Timing.init))
        }
        let rows = zip(layers, context.plan.stepCosts).map { ProfileRow($0, $1.cost) }
        return try profile(of: rows, measurement, images: x.count, chosenPrecision.prediction)
      }
    }
  }

  /// Times the steps of a training step on images and their targets: forward, backward and what the optimizer does.
  ///
  /// Trains nothing: weights and optimizer are copied for it. Gradients of the training step before cannot be read
  /// after it. What a teacher predicts is not part of it.
  /// - Parameters:
  ///   - x: the images, as `trainOnBatch` takes them.
  ///   - y: their targets.
  ///   - sampleWeight: float32 `[N]`; nil for 1.
  ///   - repeats: how often; the times are medians.
  /// - Throws: as `trainOnBatch`; `.invalidArgument` for fewer repeats than 1 or more than 1,000,000.
  public func profile(
    _ x: some ModelInput, _ y: some TensorConvertible, sampleWeight: (any TensorConvertible)? = nil, repeats: Int = 10
  ) throws(CNNError) -> Profile {
    let (y, sampleWeight) = (try y.view, try sampleWeight?.view)
    try Self.check(repeats)
    lock.writing { updateTrainability() }
    return try lock.alone { () throws(CNNError) in
      let state = try compiled()
      let x = try converted(samples(x))
      defer { withExtendedLifetime(x) {} }
      try checkTargets(x, y, sampleWeight, state.settings.lossOperation(for: network))
      let parameters = try parameters.copy()
      let optimizer = try state.copy(for: parameters).optimizer
      let rate = state.nextRate, workers = Workers(count: Threads.count)
      let weights = if let sampleWeight { sampleWeight.base } else { try state.unitWeights(x.count) }
      var rows: [ProfileRow] = []
      var measurement = Measurements()
      try withTrainingContext(x, y, state) { (context) throws(CNNError) in
        if state.lastStep === context { state.lastStep = nil }
        let plan = context.plan
        let parts = try TrainingParts(
          of: plan, network: network, inputs: x.types(), normalization: pixelNormalization,
          loss: trainingLoss(state.settings, forSamples: x.arrays.map(\.sampleShape)))
        rows = zip(parts.ofSteps, plan.stepCosts).map { parts, step in
          ProfileRow(parts.flatMap(\.layers).withoutRepetitions, step.cost, parts)
        }
        rows += ProfileRow.updates(
          optimizer, parameters, trained: context.gradients.map(\.position), of: plan.graph, parts)
        var step = 0
        let inputs = x.bases + [y.base, weights] + (try distillation?.teacherResults(x) ?? [])
        try context.measure(parameters: parameters, inputs: inputs, repeats: repeats) { run in
          let gradients = context.gradients
          var times = [monotonicNanoseconds()]
          let squares = OptimizerUpdates.sumsOfSquares(of: gradients.map(\.values), workers: workers)
          times.append(monotonicNanoseconds())
          context.applyUpdates(to: parameters)
          times.append(monotonicNanoseconds())
          // The step that completes a group, so that there is an update.
          step += optimizer.settings.gradientAccumulationSteps
          optimizer.takeStep(
            parameters, gradients: gradients, squares: squares, rate: rate, step: step - 1, workers: workers)
          times.append(monotonicNanoseconds())
          measurement.add(
            run.map(Profile.Timing.init) + zip(times, times.dropFirst()).map { Profile.Timing(start: $0, end: $1) })
        }
      }
      return try profile(of: rows, measurement, images: x.count, chosenPrecision.training)
    }
  }

  private static func check(_ repeats: Int) throws(CNNError) {
    guard (1...1_000_000).contains(repeats) else {
      throw CNNError(.invalidArgument, "repeats is \(repeats); expected 1 to 1000000")
    }
  }

  private func profile(
    of rows: [ProfileRow], _ measurement: Measurements, images: Int, _ precision: Precision
  ) throws(CNNError) -> Profile {
    let limits = try MachineLimits.measured(threads: Threads.count, of: Set(rows.map(\.unit)))
    let steps = zip(rows, measurement.medians).map { row, median in
      let figures = Profile.Figures(
        seconds: Double(max(median, 1)) * 1e-9, predictedSeconds: limits.seconds(cycles: row.cycles),
        operations: row.operations, byteCount: row.byteCount,
        shortestSeconds: limits.seconds(
          operations: Int(Double(row.operations) / row.rate), by: row.unit, byteCount: row.byteCount))
      return Profile.Step(
        layers: row.layers, algorithm: row.algorithm, element: row.element, instruction: row.instruction,
        reason: row.element.isInteger ? "" : row.reason, shape: row.shape, figures: figures,
        parts: zip(row.parts, figures.divided(by: row.parts.map(\.share))).map { part, figures in
          Profile.Part(layers: part.layers, role: part.role, figures: figures)
        })
    }
    return Profile(
      model: name, imageCount: images, threadCount: Threads.count, precision: precision, repeats: measurement.count,
      operationsPerSecond: limits.operationsPerSecond,
      integerOperationsPerSecond: rows.contains { $0.unit == .integers } ? limits.integerOperationsPerSecond : nil,
      tileOperationsPerSecond: rows.contains { $0.unit == .tiles } ? limits.tileOperationsPerSecond : nil,
      bytesPerSecond: limits.bytesPerSecond, steps: steps, fastest: measurement.fastest)
  }
}

/// What a row of a profile says beside the time.
private struct ProfileRow {
  let layers: [String]
  let algorithm, instruction, shape: String
  var reason = ""
  var element = ElementType.float32
  var operations = 0
  var unit = ArithmeticUnit.vectors, rate = 1.0
  let byteCount: Int
  /// Of each worker, as placement expected; 0 where nothing was expected.
  var cycles = 0.0
  /// Of a training step, for which layers it is.
  let parts: [StepPart]

  init(_ layers: [String], _ cost: StepCost, _ parts: [StepPart] = []) {
    (self.layers, self.parts, algorithm, shape) = (layers, parts, cost.algorithm, cost.shape)
    (element, instruction, unit, rate) = (cost.element, cost.productInstruction, cost.unit, cost.rate)
    (operations, byteCount, cycles) = (cost.operations, cost.byteCount, cost.cycles)
    reason = cost.reason
  }

  /// A pass over parameters of all layers.
  /// - Parameter floats: how many are read and written for each parameter.
  private init(
    update name: String, _ algorithm: String, elements: Int, floats: [(parameter: String, count: Int)],
    _ training: TrainingParts
  ) {
    let count = floats.reduce(0) { $0 + $1.count }
    (self.layers, self.algorithm, shape, byteCount) = ([name], algorithm, "\(elements)", count * 4)
    instruction = "portable"
    let layers = floats.map { training.layers(ofParameter: $0.parameter) }
    let counts = Dictionary(zip(layers, floats.map(\.count)), uniquingKeysWith: +)
    parts =
      count == 0
      ? [StepPart(layers: [name], role: .update, share: 1)]
      : layers.withoutRepetitions.map { layer in
        StepPart(layers: layer, role: .update, share: Double(counts[layer] ?? 0) / Double(count))
      }
  }

  /// What follows on the backward pass, in the order of a training step.
  static func updates(
    _ optimizer: Optimizer, _ parameters: ParameterStorage, trained: [Int], of graph: Graph, _ training: TrainingParts
  ) -> [ProfileRow] {
    func name(_ position: Int) -> String { parameters.parameters[position].name }
    func count(_ position: Int) -> Int { parameters.values(at: position).count }
    let elements = trained.reduce(0) { $0 + count($1) }
    let statistics = graph.updates.map { ($0.parameter, graph.type(of: $0.value).count) }
    // A weight and each slot are read and written, a gradient is read; sums of gradients are made, measured and cleared.
    let touched = 3 + 2 * optimizer.slots.count + (optimizer.gradientSums == nil ? 0 : 5)
    let averaged = optimizer.average == nil ? [] : Array(parameters.parameters.indices)
    let names =
      [optimizer.settings.name] + (optimizer.average == nil ? [] : ["average"])
      + (optimizer.gradientSums == nil ? [] : ["accumulation"])
    return [
      ProfileRow(
        update: "gradients", "norm", elements: elements, floats: trained.map { (name($0), count($0)) }, training),
      ProfileRow(
        update: "statistics", "copy", elements: statistics.reduce(0) { $0 + $1.1 },
        floats: statistics.map { (name($0), 2 * $1) }, training),
      ProfileRow(
        update: "weights", names.joined(separator: ", "), elements: elements,
        floats: trained.map { (name($0), touched * count($0)) } + averaged.map { (name($0), 2 * count($0)) }, training),
    ]
  }
}

/// The times of several runs.
struct Measurements {
  private var times: [[Int]] = []
  private var shortest = Int.max
  private(set) var fastest: [Profile.Timing] = []

  var count: Int { times.count }

  mutating func add(_ run: [Profile.Timing]) {
    times.append(run.map { $0.end - $0.start })
    let total = (run.last?.end ?? 0) - (run.first?.start ?? 0)
    if total < shortest { (shortest, fastest) = (total, run) }
  }

  /// The median time of each step in nanoseconds.
  var medians: [Int] {
    (times.first ?? []).indices.map { step in
      let sorted = times.map { $0[step] }.sorted()
      return sorted[sorted.count / 2]
    }
  }
}
