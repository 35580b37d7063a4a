import CNNCore

extension CompressionSearch {
  /// How many shapes with fewer branches are tried.
  private static var depthCount: Int { 4 }

  /// A model that takes no more than `goal`, in integers where these count, and as little less as can be; nil where there is
  /// nothing that can leave. Of several, some of fewer residual branches with wider layers, it is the one that is most accurate
  /// after a short training.
  /// - Parameter seconds: that this may take.
  func smaller(
    _ model: Model, to goal: Double, isLast: Bool, _ seconds: Double
  ) throws(CNNError) -> Model? {
    let watch = Stopwatch(), additions = try BranchHarm(model, calibration, inBytes: cost.isOfSize).order()
    var found: [(model: Model, cost: Double, isWhole: Bool)] = []
    for part in 0...Self.depthCount {
      let depth = additions.count * part / Self.depthCount
      if part > 0, depth == additions.count * (part - 1) / Self.depthCount { continue }
      if !found.isEmpty, watch.seconds > seconds / 2 { break }
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
        candidate.model, from: options.learningRate, (seconds - watch.seconds) / Double(reaching.count - place),
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
}
