import CNNCore
import CNNGraph
import CNNKernels
import Glibc

/// The search for a model that reaches a target: channels leave in some levels, after each of which what is left is trained,
/// mostly by what the original says of the samples (Hinton et al. 2015); of each a model in integers is made; and every one
/// of these is measured and kept.
///
/// How wide a network has to be is found before anything is trained, as its time and size do not depend on its weights.
struct CompressionSearch<Source: CompressionData> {
  private let original: Model
  private let data: Source
  private let calibration: Samples
  private let options: CompressionOptions
  private let cost: CompressionCost
  /// Milliseconds or megabytes.
  private let target: Double
  private var journal: CompressionJournal
  private let watch = Stopwatch()
  /// The seconds that validation and quantisation of the original took: of smaller models they take less.
  private var validationSeconds = 0.0, quantizationSeconds = 0.0
  /// Of each validation sample whether it decides; the others are held back from all decisions.
  private var decides: [Bool] = []
  /// What the models after the last level of pruning are made of; nil where no channels leave.
  private var last: (name: String, model: Model, size: Size)?

  /// What `last` and others are made of.
  private typealias Size = NetworkSize.Amounts

  private static var originalName: String { "original" }
  private static var roundCount: Int { 3 }
  /// How many shapes with fewer branches are tried.
  private static var depthCount: Int { 4 }

  init(_ original: Model, _ data: Source, _ calibration: Samples, _ options: CompressionOptions) throws(CNNError) {
    (self.original, self.data, self.calibration, self.options) = (original, data, calibration, options)
    journal = try CompressionJournal(options, of: original)
    let isOfSize = if case .size = options.target { true } else { false }
    cost = try CompressionCost(original, isOfSize: isOfSize, reference: journal.points.first?.latency)
    target =
      switch options.target {
      case .latency(let milliseconds): milliseconds
      case .size(let megabytes): megabytes
      case .speedup(let factor): cost.reference / factor
      case nil: cost.reference
      }
  }

  /// The chosen model, with its report.
  mutating func run() throws(CNNError) -> Model {
    try begin("measuring the model")
    let watch = Stopwatch()
    let size = try Self.size(original)
    let point = try point(Self.originalName, original, [], size)
    validationSeconds = watch.seconds
    try journal.begin(point, original)
    if options.methods.contains(.quantize) { try addIntegers(of: original, Self.originalName, [], size) }
    if options.methods.contains(.prune) { try pruneInLevels() }
    try trainLonger()
    return try finished()
  }

  // MARK: - Models on the way

  private static func size(_ model: Model) throws(CNNError) -> Size {
    let groups = try ChannelGroups(model.graph)
    return NetworkSize(groups)(groups.groups.map(\.channels.count))
  }

  /// A model, measured.
  private mutating func point(
    _ name: String, _ model: Model, _ methods: [CompressionMethod], _ size: Size
  ) throws(CNNError) -> CompressionReport.Point {
    let right = try data.areRight(model)
    if decides.isEmpty {
      guard right.count >= 2 else {
        throw CNNError(
          .invalidArgument,
          "validation has \(right.count) sample\(right.count == 1 ? "" : "s"); expected two at least: one half decides, the "
            + "other tells what was lost")
      }
      decides = CompressionSplit(count: right.count, seed: options.seed).decides
    }
    guard right.count == decides.count else {
      throw CNNError(
        .invalidArgument,
        "validation has \(right.count) samples now and had \(decides.count) before; expected the same each time")
    }
    func share(_ isDeciding: Bool) -> Double {
      let chosen = zip(right, decides).filter { $0.1 == isDeciding }
      return Double(chosen.count { $0.0 }) / Double(max(1, chosen.count))
    }
    return CompressionReport.Point(
      name: name, methods: methods, macs: Int(size.macs), parameters: Int(size.parameters),
      bytes: try cost.bytes(model),
      latency: try cost.latency(model), accuracy: share(true), heldBackAccuracy: share(false), seconds: elapsed)
  }

  /// What a model in integers is called that is made of one.
  private static func integersName(_ name: String) -> String { name == originalName ? "int8" : "\(name)-int8" }

  /// Makes a model in integers of one in floats and keeps it.
  private mutating func addIntegers(
    of model: Model, _ name: String, _ methods: [CompressionMethod], _ size: Size
  ) throws(CNNError) {
    let name = Self.integersName(name)
    guard journal.index(name) == nil else { return }
    try begin("quantising to '\(name)'")
    let watch = Stopwatch(), result = try integers(model)
    if quantizationSeconds == 0 { quantizationSeconds = watch.seconds }
    try journal.add(point(name, result, methods + [.quantize], size), result)
  }

  /// - Parameter samples: how many are looked at; a few where accuracy does not count.
  private func integers(_ model: Model, samples: Int = 300) throws(CNNError) -> Model {
    var settings = QuantizationOptions()
    (settings.skip, settings.samples, settings.reportSamples) = (options.skip, samples, 0)
    return try model.quantized(calibration: calibration, options: settings)
  }

  // MARK: - Levels

  /// Whether the models that count are those in integers: where these take less.
  private var isInIntegers: Bool {
    guard let integers = journal.index(Self.integersName(Self.originalName)) else { return false }
    return cost(of: integers) < cost(of: 0)
  }

  private func cost(of point: Int) -> Double {
    cost.isOfSize ? journal.points[point].megabytes : journal.points[point].latency
  }

  private func drop(of point: Int) -> Double { 100 * (journal.points[0].accuracy - journal.points[point].accuracy) }

  private mutating func pruneInLevels() throws(CNNError) {
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
        try journal.add(point(name, smaller, methods, Self.size(smaller)), smaller)
        model = smaller
      }
      let size = try Self.size(model)
      last = (name, model, size)
      if options.methods.contains(.quantize), left > 0 { try addIntegers(of: model, name, methods, size) }
    }
  }

  /// A model that takes no more than `goal`, in integers where these count, and as little less as can be; nil where there is
  /// nothing that can leave. Of several, some of fewer residual branches with wider layers, it is the one that is most accurate
  /// after a short training.
  /// - Parameter seconds: that this training may take.
  private func smaller(
    _ model: Model, to goal: Double, isLast: Bool, _ seconds: Double
  ) throws(CNNError) -> Model? {
    let additions = try BranchHarm(model, calibration, inBytes: cost.isOfSize).order()
    var found: [(model: Model, cost: Double, isWhole: Bool)] = []
    for part in 0...Self.depthCount {
      let depth = additions.count * part / Self.depthCount
      if part > 0, depth == additions.count * (part - 1) / Self.depthCount { continue }
      let shallower = depth == 0 ? model : try model.withoutBranches(Set(additions.prefix(depth)))
      guard let narrowed = try narrowed(shallower, to: goal, isLast: isLast) else { continue }
      found.append(narrowed)
      // With fewer branches yet it would take less than it may.
      if narrowed.isWhole { break }
    }
    let reaching = found.filter { $0.cost <= (1 + cost.tolerance) * goal }
    guard reaching.count > 1 else { return (reaching.first ?? found.min { $0.cost < $1.cost })?.model }
    var best: (model: Model, accuracy: Double)?
    for (place, candidate) in reaching.enumerated() {
      try train(
        candidate.model, from: options.learningRate, seconds / Double(reaching.count),
        "trying shape \(place + 1) of \(reaching.count)", levelsAfter: 0, share: 0.1)
      let right = zip(try data.areRight(candidate.model), decides).count { $0 && $1 }
      if best.map({ Double(right) > $0.accuracy }) ?? true { best = (candidate.model, Double(right)) }
    }
    return best?.model
  }

  /// A model with fewer channels that takes no more than `goal`, and what it takes; the model itself where that takes no more;
  /// nil where no channels can leave.
  private func narrowed(
    _ model: Model, to goal: Double, isLast: Bool
  ) throws(CNNError) -> (model: Model, cost: Double, isWhole: Bool)? {
    let isInIntegers = isInIntegers, tolerance = isLast ? cost.tolerance : 3 * cost.tolerance
    func final(_ model: Model) throws(CNNError) -> Double {
      try cost(isInIntegers ? integers(model, samples: 2) : model)
    }
    let whole = try final(model)
    if whole <= goal { return (model, whole, true) }
    var asked = goal * (isInIntegers ? try cost(model) / whole : 1)
    var best: (model: Model, cost: Double, isWhole: Bool)?
    for _ in 0..<5 {
      guard let (candidate, isSmallest) = try pruned(model, to: asked) else { break }
      let found = try final(candidate)
      let isBetter =
        best.map { best in found <= goal ? best.cost > goal || found > best.cost : found < best.cost } ?? true
      if isBetter { best = (candidate, found, false) }
      if ((1 - tolerance) * goal...goal).contains(found) || isSmallest && found > goal { break }
      // Somewhat below, as it may not be above.
      asked *= (1 - tolerance / 4) * goal / found
    }
    return best
  }

  /// A model that takes no more in floats, and whether it has as few channels as can be; nil where none can leave.
  private func pruned(_ model: Model, to asked: Double) throws(CNNError) -> (model: Model, isSmallest: Bool)? {
    // Widths that kernels like are too far apart for a size.
    var settings =
      cost.isOfSize
      ? PruningOptions(.parameters(max(2, asked * 1e6 / 4)), rounding: .multiple(1))
      : PruningOptions(.latency(milliseconds: asked))
    (settings.skip, settings.seed) = (options.skip, options.seed)
    do throws(CNNError) {
      return (try model.pruned(settings), false)
    } catch {
      guard error.code == .invalidArgument else { throw error }
    }
    settings.target = .ratio(0.999)
    do throws(CNNError) {
      return (try model.pruned(settings), true)
    } catch {
      guard error.code == .invalidArgument else { throw error }
      return nil
    }
  }

  // MARK: - Training

  /// Trains a model for as many epochs as fit into a time.
  /// - Parameters:
  ///   - levelsAfter: how often something alike will follow.
  ///   - share: of the epochs that may be trained.
  private func train(
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
  private mutating func trainLonger() throws(CNNError) {
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

  // MARK: - Time

  private var elapsed: Double { journal.earlierSeconds + watch.seconds }
  private var left: Double { (options.timeLimit ?? .infinity) - elapsed }

  /// What it takes to measure a model and one in integers that is made of it.
  private var overhead: Double {
    options.methods.contains(.quantize) ? 2 * validationSeconds + quantizationSeconds : validationSeconds
  }

  private func begin(_ name: String, steps: Int = 0, expected: Double = 0) throws(CNNError) {
    try data.begin(
      CompressionStage(name: name, steps: steps, elapsed: elapsed, left: max(0, min(expected, left))))
  }

  // MARK: - Choosing

  private func reaches(_ point: Int) -> Bool { cost(of: point) <= (1 + cost.tolerance) * target }
  private func loses(_ point: Int) -> Bool { drop(of: point) > options.maximumDrop + 1e-9 }
  private var isReached: Bool { journal.points.indices.contains { reaches($0) && !loses($0) } }

  /// The most accurate model that reaches the target within the drop; else the nearest that loses no more.
  private func choice() -> (point: Int, reason: String) {
    let points = journal.points.indices, unit = cost.isOfSize ? "MB" : "ms"
    let good = points.filter { reaches($0) && !loses($0) }
    if let best = good.max(by: { journal.points[$0].accuracy < journal.points[$1].accuracy }) { return (best, "") }
    let nearest = points.filter { !loses($0) }.min { cost(of: $0) < cost(of: $1) } ?? 0
    let least = points.filter(reaches).map { drop(of: $0) }.min()
    var reason =
      least.map { "the models of \(decimal(target, 3)) \(unit) lose \(decimal($0, 2)) points at least" }
      ?? "the least that was reached is \(decimal(points.map { cost(of: $0) }.min() ?? 0, 3)) \(unit)"
    reason +=
      "; the nearest within \(decimal(options.maximumDrop, 2)) points takes \(decimal(cost(of: nearest), 3)) \(unit)"
    if left <= overhead { reason += "; the time limit of \(decimal(options.timeLimit ?? 0, 0)) s is over" }
    return (nearest, reason)
  }

  private mutating func finished() throws(CNNError) -> Model {
    let (chosen, reason) = choice()
    var report = CompressionReport(
      model: original.name, target: target, isOfSize: cost.isOfSize, maximumDrop: options.maximumDrop,
      points: journal.points, chosen: chosen, decidingSamples: decides.count { $0 },
      heldBackSamples: decides.count { !$0 }, seconds: elapsed, reason: reason)
    if report.isReached, report.heldBackDrop > options.maximumDrop + 1e-9 {
      report.reason =
        "of the samples held back it loses \(decimal(report.heldBackDrop, 2)) points, of those that decide "
        + decimal(report.drop(chosen), 2)
    }
    try journal.write(report.json.serialized(), as: "report.json")
    try journal.write(report.chart, as: "pareto.svg")
    let model = try journal.model(report.points[chosen].name)
    let result = model === original ? try model.copy() : model
    result.lock.writing { result.compression = report }
    return result
  }
}
