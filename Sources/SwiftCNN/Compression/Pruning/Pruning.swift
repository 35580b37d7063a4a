import CNNCompiler
import CNNCore
import CNNGraph

/// A pruning that is decided: which channels there are, what they are worth, and which stay.
struct Pruning {
  let model: Model
  let options: PruningOptions
  let groups: ChannelGroups
  private let size: NetworkSize
  private let times: LayerTimes
  private let scores: [[Double]]
  /// By group why it stays whole; nil where it may not.
  private var reasons: [String?]
  private var widths: [[Int]] = []

  init(_ model: Model, _ options: PruningOptions, _ changes: @escaping (Int) -> [Float]?) throws(CNNError) {
    (self.model, self.options) = (model, options)
    let network = model.networkWithFlags
    groups = try ChannelGroups(network)
    size = NetworkSize(groups)
    times = LayerTimes(groups, model.pixelNormalization, model.chosenPrecision.prediction)
    let isSkipped = try model.skipping(options.skip, among: network)
    let source = ChannelScores(values: { model.parameters.values(at: $0) }, changes: changes)
    var scores: [[Double]] = [], reasons: [String?] = []
    for (position, group) in groups.groups.enumerated() {
      var reason = group.reason
      if reason == nil, let layer = group.layers.first(where: isSkipped) { reason = "skip names '\(layer)'" }
      var values: [Double]?
      if options.criterion == .random {
        values = Self.random(group.channels.count, seed: options.seed, stream: position)
      } else if reason == nil {
        values = source.scores(of: group, in: network, by: options.criterion)
        if values == nil { reason = "the criterion '\(options.criterion.rawValue)' says nothing of it" }
      }
      let mean = values.map { $0.reduce(0, +) / Double(max(1, $0.count)) } ?? 0
      guard mean.isFinite else {
        throw CNNError(
          .invalidArgument,
          "'\(model.name)': the weights of '\(group.layers.first ?? "")' have numbers that are not finite")
      }
      // Layers have weights of other sizes; only what is above or below the usual one can be compared.
      scores.append((values ?? Array(repeating: 1, count: group.channels.count)).map { mean > 0 ? $0 / mean : 1 })
      reasons.append(reason)
    }
    (self.scores, self.reasons) = (scores, reasons)
    try findWidths()
  }

  private static func random(_ count: Int, seed: UInt64, stream: Int) -> [Double] {
    let function = Philox(seed: seed, stream: UInt64(stream))
    return (0..<count).map { Double(Philox.unit(function.words(at: UInt64($0))[0])) }
  }

  // MARK: - Widths

  /// The numbers of channels that each group may keep.
  private mutating func findWidths() throws(CNNError) {
    let whole = groups.groups.map(\.channels.count)
    for (position, group) in groups.groups.enumerated() {
      guard reasons[position] == nil else {
        widths.append([])
        continue
      }
      let share = (options.minimumShare * Double(group.width)).rounded(.up)
      let floor = max(options.minimumChannels, Int(share)), count = group.channels.count
      let lowest = (floor + group.multiplicity - 1) / group.multiplicity
      guard lowest < count else {
        reasons[position] = "it has no more than the \(floor) channels that are left at least"
        widths.append([])
        continue
      }
      switch options.rounding {
      case .multiple(let number):
        let multiples = (max(1, lowest)..<count).reversed().filter { ($0 * group.multiplicity).isMultiple(of: number) }
        widths.append(group.multiplicity > 1 ? try widthsOfGroups(position, whole, multiples) : multiples)
        if multiples.isEmpty {
          reasons[position] = "no multiple of \(number) is below its \(group.width) channels"
        } else if widths[position].isEmpty {
          reasons[position] = "its groups would take more time with fewer channels"
        }
      case .fast:
        widths.append(try fastWidths(position, whole, from: max(1, lowest)))
        if widths[position].isEmpty { reasons[position] = "fewer channels would take no less time" }
      }
    }
  }

  /// The widths of a group at which its layers take less time than at every larger one, the other groups being whole.
  private func fastWidths(_ position: Int, _ whole: [Int], from lowest: Int) throws(CNNError) -> [Int] {
    let group = groups.groups[position], count = group.channels.count
    // Kernels compute blocks of 16 channels. Of a wide layer not every one is looked at.
    let block = max(1, BlockedTensor.blockChannels / group.multiplicity)
    let step = block * max(1, count / (32 * block))
    var result: [Int] = [], kept = whole, least = try times.cycles(of: position, whole)
    var candidate = (count - 1) / step * step
    while candidate >= lowest {
      kept[position] = candidate
      let cycles = try times.cycles(of: position, kept)
      if cycles < 0.995 * least {
        result.append(candidate)
        least = cycles
      }
      candidate -= step
    }
    return result
  }

  /// Those widths of a grouped convolution at which its layers take no more time than whole, the other groups being whole. A
  /// group that does not fill blocks of channels is computed with others that it has nothing to do with, so that with 3
  /// channels each they take longer than with 4.
  private func widthsOfGroups(
    _ position: Int, _ whole: [Int], _ candidates: [Int]
  ) throws(CNNError) -> [Int] {
    let cycles = try times.cycles(of: position, whole)
    var result: [Int] = [], kept = whole
    for candidate in candidates {
      kept[position] = candidate
      if try times.cycles(of: position, kept) <= cycles { result.append(candidate) }
    }
    return result
  }

  // MARK: - What stays

  /// The time of a prediction in seconds, as measured before and after, and as it was expected.
  struct Latency {
    let before, after, predicted: Double
  }

  /// For each group the channels that stay, and where a latency is the target what it is.
  func allocation() throws(CNNError) -> (kept: [[Int]], latency: Latency?) {
    let prunable = groups.groups.indices.filter { reasons[$0] == nil }
    guard !prunable.isEmpty else {
      throw CNNError(
        .invalidArgument,
        "'\(model.name)' has no channels that can be removed: \(reasons.lazy.compactMap { $0 }.first ?? "")")
    }
    let whole = groups.groups.map(\.channels.count), all = size(whole)
    switch options.target {
    case .ratio(let ratio):
      let total = prunable.reduce(0) { $0 + groups.groups[$1].width }
      let multiplicities = groups.groups.map(\.multiplicity)
      func share(_ kept: [Int]) -> Double {
        1 - Double(prunable.reduce(0) { $0 + kept[$1] * multiplicities[$1] }) / Double(total)
      }
      // As much as layers can give: none gets below its least width.
      return (shrunk { share($0) >= ratio - 1e-9 }.channels, nil)
    case .macs(let given): return (try shrunk("macs", to: given, of: all.macs) { size($0).macs }, nil)
    case .parameters(let given):
      return (try shrunk("params", to: given, of: all.parameters) { size($0).parameters }, nil)
    case .latency(let milliseconds): return try withinLatency(milliseconds)
    case nil: throw CNNError(.invalidArgument, "no target is given; expected one of ratio, macs, params and latency_ms")
    }
  }

  /// The channels that stay when that is enough, or no more can leave.
  private func shrunk(until isEnough: ([Int]) -> Bool) -> (channels: [[Int]], kept: [Int], isEnough: Bool) {
    var allocation = ChannelAllocation(scores: scores, widths: widths)
    let counts = groups.groups.map(\.channels.count)
    let isReached = allocation.shrink(until: isEnough) { step, _ in
      switch options.scope {
      case .global: step.loss / Double(step.before - step.after)
      case .layer: 1 - Double(step.after) / Double(counts[step.group])
      }
    }
    if isReached { allocation.restore(while: isEnough) }
    return (allocation.channels, allocation.kept, isReached)
  }

  /// The channels that stay when no more is left of an amount than `given`: a share of all of it, or above 1 a number.
  private func shrunk(
    _ name: String, to given: Double, of all: Double, _ amount: ([Int]) -> Double
  ) throws(CNNError) -> [[Int]] {
    let target = given <= 1 ? given * all : given
    let result = shrunk { amount($0) <= target }
    guard result.isEnough else {
      throw unreachable(name, given, nearest: amount(result.kept) / (given <= 1 ? all : 1))
    }
    return result.channels
  }

  private func unreachable(_ name: String, _ given: Double, nearest: Double) -> CNNError {
    CNNError(
      .invalidArgument,
      "\(option: name, swift: name) is \(given); the nearest that can be reached is \(decimal(nearest, nearest < 10 ? 4 : 0)), "
        + "with no layer below its least width")
  }

  /// The most worth that fits into a time: channels leave in the order of what they are worth for the time that they take (as
  /// the knapsack of Shen et al. 2022). What the layers' costs say of the whole network is corrected by what placement says
  /// of it, and that by what is measured.
  private func withinLatency(_ milliseconds: Double) throws(CNNError) -> (kept: [[Int]], latency: Latency?) {
    let latency = try PredictedLatency(measuring: model), target = milliseconds * 1e-3
    var best: (kept: [[Int]], latency: Latency)?, nearest = Double.infinity, correction = 1.0
    for _ in 0..<4 {
      guard let found = try within(target / correction, latency) else { break }
      // How long it takes does not depend on the weights.
      let candidate = try Model(
        uninitialized: groups.keeping(found.kept).graph, name: model.name, mean: nil, deviation: nil)
      candidate.chosenPrecision = model.chosenPrecision
      let measured = try candidate.lockedLatency()
      nearest = min(nearest, measured)
      if measured <= 1.02 * target, best.map({ measured > $0.latency.after }) ?? true {
        best = (found.kept, Latency(before: latency.measured, after: measured, predicted: found.seconds))
      }
      if measured <= 1.02 * target, measured >= 0.95 * target || found.isWhole { break }
      correction = measured / found.seconds
    }
    guard let best else {
      if nearest == .infinity {
        var allocation = ChannelAllocation(scores: scores, widths: widths)
        _ = allocation.shrink(until: { _ in false }, worth: { step, _ in step.loss })
        nearest = try latency.seconds(of: groups.keeping(allocation.channels).graph)
      }
      throw unreachable("latency_ms", milliseconds, nearest: nearest * 1e3)
    }
    return (best.kept, best.latency)
  }

  /// The most worth of which placement expects that it fits into a time; nil where nothing does.
  private func within(
    _ target: Double, _ latency: PredictedLatency
  ) throws(CNNError) -> (kept: [[Int]], seconds: Double, isWhole: Bool)? {
    let whole = try times.cycles(groups.groups.map(\.channels.count))
    var budget = whole * min(1, target / latency.measured)
    var best: (kept: [[Int]], seconds: Double, isWhole: Bool)?
    for _ in 0..<6 {
      let (kept, isReached) = try withinCycles(budget, of: whole)
      let seconds = try latency.seconds(of: groups.keeping(kept).graph)
      if seconds <= target, best.map({ seconds > $0.seconds }) ?? true { best = (kept, seconds, budget >= whole) }
      if seconds <= target, seconds >= 0.98 * target || budget >= whole { break }
      guard isReached || seconds <= target else { break }
      budget = min(whole, budget * 0.995 * target / seconds)
    }
    return best
  }

  /// The channels that are worth most for the time that their layers take, and whether these fit into so many cycles.
  private func withinCycles(_ budget: Double, of whole: Double) throws(CNNError) -> (kept: [[Int]], isReached: Bool) {
    var allocation = ChannelAllocation(scores: scores, widths: widths), cycles = whole
    var failure: CNNError?
    func saving(_ step: ChannelAllocation.Step, _ kept: [Int]) -> Double {
      do throws(CNNError) { return try self.saving(step, kept) } catch {
        failure = error
        return 0
      }
    }
    let isReached = allocation.shrink(
      until: { _ in cycles <= budget || failure != nil }, worth: { $0.loss / max(1e-9, saving($0, $1)) },
      onStep: { cycles -= saving($0, $1) })
    if let failure { throw failure }
    return (allocation.channels, isReached)
  }

  /// The cycles that a step saves.
  private func saving(_ step: ChannelAllocation.Step, _ kept: [Int]) throws(CNNError) -> Double {
    var kept = kept
    kept[step.group] = step.before
    let before = try times.cycles(of: step.group, kept)
    kept[step.group] = step.after
    return try before - times.cycles(of: step.group, kept)
  }

  // MARK: - The report

  func report(_ kept: [[Int]], _ graph: Graph) -> PruningReport {
    func amounts(_ graph: Graph) -> PruningReport.Amounts {
      PruningReport.Amounts(macs: Int(graph.macs.rounded()), parameters: graph.learnedCount)
    }
    return PruningReport(
      model: model.name,
      groups: groups.groups.indices.map { position in
        let group = groups.groups[position]
        return PruningReport.Group(
          layers: group.layers, before: group.width, after: kept[position].count * group.multiplicity,
          reason: reasons[position] ?? "")
      }, before: amounts(groups.graph), after: amounts(graph))
  }
}
