import CNNCore
import Glibc

extension CompressionSearch {
  /// How often training goes on at most where too much is lost.
  private static var roundCount: Int { 3 }

  mutating func pruneInLevels() throws(CNNError) {
    let whole = cost(of: isInIntegers ? journal.index(Self.integersName(Self.originalName)) ?? 0 : 0)
    guard whole > target else { return }
    // A level takes less than a third: more at once harms what training has to mend.
    let count = min(options.levels, max(1, Int((log(whole / target) / log(1.4)).rounded(.up))))
    var model = original
    let methods: [CompressionMethod] = options.methods.contains(.distill) ? [.prune, .distill] : [.prune]
    for level in 1...count {
      let name = "pruned-\(level)", levelsLeft = Double(count - level + 1)
      if journal.index(name) != nil {
        model = try journal.model(name)
      } else {
        guard left > overhead else { return }
        let goal = level == count ? target : whole * pow(target / whole, Double(level) / Double(count))
        try begin("pruning to \(decimal(goal, 3)) \(cost.isOfSize ? "MB" : "ms")")
        // The last has the most to mend.
        let seconds = (left - levelsLeft * overhead) * (level == count ? 1 : 1 / (levelsLeft + 1))
        let deadline = elapsed + seconds
        guard let smaller = try smaller(model, to: goal, isLast: level == count, 0.2 * seconds) else { return }
        try train(
          smaller, from: options.learningRate, deadline - elapsed, "training '\(name)'", levelsAfter: levelsLeft - 1)
        model = smaller
      }
      let size = try Self.size(model)
      if journal.index(name) == nil { try journal.add(point(name, model, methods, size), model) }
      last = (name, model, size)
      if options.methods.contains(.quantize), left > 0 { try addIntegers(of: model, name, methods, size) }
    }
  }

  /// Trains a model for as many epochs as fit into a time.
  /// - Parameters:
  ///   - levelsAfter: how often something alike will follow.
  ///   - share: of the epochs that may be trained.
  func train(
    _ model: Model, from rate: Double, _ seconds: Double, _ stage: String, levelsAfter: Double, share: Double = 1
  ) throws(CNNError) {
    let epochs = Double(options.epochs) * share
    let most = Int(min((epochs * Double(data.stepsPerEpoch)).rounded(.up), 1e9))
    guard most > 0, seconds > 0 else { return }
    // How long a step takes is tried with a copy.
    let trial = try learner(try model.copy(), rate, steps: most)
    let whole = Stopwatch()
    try data.train(trial, steps: 2, seconds: seconds)
    let watch = Stopwatch(), trialSteps = 6
    try data.train(trial, steps: trialSteps, seconds: seconds)
    let perStep = watch.seconds / Double(trialSteps), rest = seconds - whole.seconds
    let steps = rest / perStep < Double(most) ? Int(rest / perStep) : most
    guard steps > 0 else { return }
    try begin(
      stage, steps: steps, expected: (1 + levelsAfter) * (perStep * Double(steps) + overhead))
    try data.train(learner(model, rate, steps: steps), steps: steps, seconds: rest)
  }

  /// A model that trains another, compiled.
  private func learner(_ model: Model, _ rate: Double, steps: Int) throws(CNNError) -> Model {
    var settings = original.trainingSettings ?? .usual
    settings.optimizer = .sgd(learningRate: rate, momentum: 0.9, nesterov: true, weightDecay: 5e-4)
    settings.schedule = .cosine(totalSteps: steps)
    (settings.metrics, settings.weightedMetrics, settings.metricNames, settings.customMetrics) = ([], [], [], [])
    (settings.seed, settings.distillation) = (options.seed, nil)
    var result = model
    if options.methods.contains(.distill) {
      result = try model.distilled(
        from: original,
        options: DistillationOptions(
          losses: [.softTargets(temperature: 4, weight: 0.9)], studentWeight: 0.1, seed: options.seed))
    }
    try result.compile(settings)
    return result
  }

  /// Trains what reaches the target again, as long as it loses too much, that helps, and there is time; where integers lose
  /// more than channels, once for integers (Jacob et al. 2018).
  mutating func trainLonger() throws(CNNError) {
    let whole = try Self.size(original)
    var best = last ?? (Self.originalName, original, whole), trainedForIntegers = false
    for round in 1...Self.roundCount {
      guard !isReached, left > 2 * overhead, let floats = journal.index(best.name) else { return }
      let name = "tuned-\(round)", seconds = left - overhead, lost = drop(of: floats)
      let methods = journal.points[floats].methods
      if isInIntegers, !trainedForIntegers, let integers = journal.index(Self.integersName(best.name)),
        drop(of: integers) > 2 * max(lost, 0)
      {
        trainedForIntegers = true
        let name = Self.integersName(name)
        if journal.index(name) != nil { continue }
        var settings = QuantizationAwareOptions()
        settings.skip = options.skip
        let aware = try best.model.quantizationAware(calibration: calibration, options: settings)
        try train(aware, from: options.learningRate / 10, seconds, "training '\(name)' for integers", levelsAfter: 0)
        let result = try aware.quantized()
        try journal.add(point(name, result, methods + [.quantize], best.size), result)
      } else {
        if best.model === original { return }
        if journal.index(name) == nil {
          let model = try best.model.copy()
          try train(model, from: options.learningRate / 2, seconds, "training '\(name)'", levelsAfter: 0)
          try journal.add(point(name, model, methods, best.size), model)
        }
        best = (name, try journal.model(name), best.size)
        trainedForIntegers = false
        if options.methods.contains(.quantize), left > 0 { try addIntegers(of: best.model, name, methods, best.size) }
        if let index = journal.index(name), drop(of: index) >= lost { return }
      }
    }
  }
}
