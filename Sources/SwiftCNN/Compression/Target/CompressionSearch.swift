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
  let original: Model
  let data: Source
  let calibration: Samples
  let options: CompressionOptions
  let cost: CompressionCost
  /// Milliseconds or megabytes.
  let target: Double
  var journal: CompressionJournal
  private let watch = Stopwatch()
  /// The seconds that validation of the original took: of smaller models it takes less.
  private var validationSeconds = 0.0
  /// Of each validation sample whether it decides; the others are held back from all decisions.
  var decides: [Bool] = []
  /// What the models after the last level of pruning are made of; nil where no channels leave.
  var last: (name: String, model: Model, size: Size)?

  /// What `last` and others are made of.
  typealias Size = NetworkSize.Amounts

  static var originalName: String { "original" }

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

  static func size(_ model: Model) throws(CNNError) -> Size {
    let groups = try ChannelGroups(model.graph)
    return NetworkSize(groups)(groups.groups.map(\.channels.count))
  }

  /// A model, measured.
  mutating func point(
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
  static func integersName(_ name: String) -> String { name == originalName ? "int8" : "\(name)-int8" }

  /// Makes a model in integers of one in floats and keeps it.
  mutating func addIntegers(
    of model: Model, _ name: String, _ methods: [CompressionMethod], _ size: Size
  ) throws(CNNError) {
    let name = Self.integersName(name)
    guard journal.index(name) == nil else { return }
    try begin("quantising to '\(name)'")
    let result = try integers(model)
    try journal.add(point(name, result, methods + [.quantize], size), result)
  }

  /// - Parameter samples: how many are looked at; a few where accuracy does not count.
  func integers(_ model: Model, samples: Int = 300) throws(CNNError) -> Model {
    var settings = QuantizationOptions()
    (settings.skip, settings.samples, settings.reportSamples) = (options.skip, samples, 0)
    return try model.quantized(calibration: calibration, options: settings)
  }

  // MARK: - Costs

  /// Whether the models that count are those in integers: where these take less.
  var isInIntegers: Bool {
    guard let integers = journal.index(Self.integersName(Self.originalName)) else { return false }
    return cost(of: integers) < cost(of: 0)
  }

  func cost(of point: Int) -> Double {
    cost.isOfSize ? journal.points[point].megabytes : journal.points[point].latency
  }

  func drop(of point: Int) -> Double { 100 * (journal.points[0].accuracy - journal.points[point].accuracy) }

  // MARK: - Time

  var elapsed: Double { journal.earlierSeconds + watch.seconds }
  var left: Double { (options.timeLimit ?? .infinity) - elapsed }

  /// What it takes to measure a model and, where one is wanted, to make one in integers of it and measure that.
  var overhead: Double {
    guard let integers = journal.index(Self.integersName(Self.originalName)) else { return validationSeconds }
    return validationSeconds + journal.points[integers].seconds - journal.points[0].seconds
  }

  func begin(_ name: String, steps: Int = 0, expected: Double = 0) throws(CNNError) {
    try data.begin(
      CompressionStage(name: name, steps: steps, elapsed: elapsed, left: max(0, min(expected, left))))
  }

  // MARK: - Choosing

  private func reaches(_ point: Int) -> Bool { cost(of: point) <= (1 + cost.tolerance) * target }
  private func loses(_ point: Int) -> Bool { drop(of: point) > options.maximumDrop + 1e-9 }
  var isReached: Bool { journal.points.indices.contains { reaches($0) && !loses($0) } }

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
