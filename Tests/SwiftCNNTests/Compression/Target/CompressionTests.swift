import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Compression towards a target. Most of it needs no training: what is decided follows of what the data says.
@Suite(.serialized) struct CompressionTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// A network of residual blocks whose file is large enough for channels to count.
  private static func network(seed: UInt64 = 1) throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [8, 8, 3])
    x = try builder.activation(
      .relu,
      builder.batchNormalization(
        builder.convolution(
          x, "stem", outputChannels: 32, kernel: (3, 3), padding: .all(1)), "stem.bn"), "stem.relu")
    for block in ["a", "b", "c"] {
      let inner = try builder.activation(
        .relu, builder.convolution(x, "\(block).1", outputChannels: 64, kernel: (3, 3), padding: .all(1), bias: true),
        "\(block).relu")
      let branch = try builder.batchNormalization(
        builder.convolution(inner, "\(block).2", outputChannels: 32, kernel: (3, 3), padding: .all(1)), "\(block).bn")
      x = try builder.activation(.relu, builder.apply(Add(), branch, x, name: "\(block).sum"), "\(block).out")
    }
    x = try builder.apply(GlobalPooling2D(.average), x, name: "pool")
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 4))
    return try Model(builder.graph, name: "blocks", seed: seed)
  }

  private static func images(_ count: Int = 16) throws -> Tensor {
    try Tensor(Formula.values("x", count * 192), shape: [count, 8, 8, 3])
  }

  /// Data that is told how right models are, and counts what it is asked for.
  private final class Told: CompressionData {
    let stepsPerEpoch = 3
    var steps = 0, stages: [String] = []
    /// Of the samples, how many are right by a model, given its share of the parameters.
    var right: (_ model: Model) -> Int = { _ in 80 }
    /// Called with each stage.
    var onStage: (String) throws(CNNError) -> Void = { _ throws(CNNError) in }

    func train(_ model: Model, steps: Int, seconds: Double) throws(CNNError) {
      #expect(model.trainingSettings != nil)
      self.steps += steps
    }

    func areRight(_ model: Model) throws(CNNError) -> [Bool] {
      let right = right(model)
      return (0..<100).map { $0 < right }
    }

    func begin(_ stage: CompressionStage) throws(CNNError) {
      stages.append(stage.name)
      try onStage(stage.name)
    }
  }

  private static func bytes(_ model: Model) throws -> Double {
    Double(try model.write(into: UnsafeMutableRawBufferPointer(start: nil, count: 0)))
  }

  private static func expectMessage(_ part: String, _ body: () throws -> Void) {
    do {
      try body()
      Issue.record("no error; expected one with '\(part)'")
    } catch { #expect("\(error)".contains(part)) }
  }

  private func options(_ megabytes: Double, drop: Double = 100, folder: Bool = true) -> CompressionOptions {
    CompressionOptions(
      .size(megabytes: megabytes), maximumDrop: drop, levels: 2, epochs: 1,
      folder: folder ? directory.path : nil)
  }

  @Test func aSizeIsReachedAndEverythingIsKept() throws {
    let model = try Self.network(), before = try Self.bytes(model), data = Told(), x = try Self.images()
    let target = 0.15 * before * 1e-6
    let small = try model.compressed(with: data, calibration: x, options: options(target))
    let report = try #require(small.compressionReport)
    #expect(report.isReached, "\(report)")
    let bytes = try Self.bytes(small)
    #expect(bytes <= 1.02 * target * 1e6 && bytes >= 0.9 * target * 1e6, "\(report)")
    #expect(Int(bytes) == report.points[report.chosen].bytes)
    #expect(
      report.points.map(\.name) == ["original", "int8", "pruned-1", "pruned-1-int8", "pruned-2", "pruned-2-int8"])
    #expect(data.steps > 0)
    #expect(try Self.bytes(model) == before && model.compressionReport == nil)
    // Each is a model of its own in the folder, the same in bits.
    for point in report.points.dropFirst() {
      let read = try Model(contentsOf: directory.file("\(point.name).safetensors"))
      #expect(try Int(Self.bytes(read)) == point.bytes)
    }
    let read = try Model(contentsOf: directory.file("\(report.points[report.chosen].name).safetensors"))
    let scores = try small.predict(x), again = try read.predict(x)
    withExtendedLifetime((scores, again)) { #expect(scores.floats.elementsEqual(again.floats)) }
  }

  @Test func theMostAccurateOfThoseThatReachItIsTaken() throws {
    let model = try Self.network(), whole = try Self.bytes(model), data = Told()
    // Models of integers are worse, those of fewer channels too.
    data.right = { model in model.hasRoundings ? 70 : 75 }
    let small = try model.compressed(
      with: data, calibration: Self.images(), options: options(0.5 * whole * 1e-6, folder: false))
    let report = try #require(small.compressionReport)
    #expect(report.points[report.chosen].name == "int8")
    #expect(report.points.count == 2)
  }

  @Test func whereTooMuchIsLostTheNearestWithinTheDropIsGiven() throws {
    let model = try Self.network(), whole = try Self.bytes(model), data = Told()
    data.right = { model in
      model.parameters.parameters.contains { $0.name == "a.1.weight" && $0.shape[0] == 64 } ? 80 : 40
    }
    let small = try model.compressed(
      with: data, calibration: Self.images(), options: options(0.15 * whole * 1e-6, drop: 5, folder: false))
    let report = try #require(small.compressionReport)
    #expect(!report.isReached && report.reason.contains("points at least"), "\(report)")
    #expect(report.drop(report.chosen) <= 5)
    #expect(report.points[report.chosen].name == "int8")
  }

  @Test func aTargetThatNothingReachesGivesTheNearestAndSaysSo() throws {
    let model = try Self.network(), data = Told()
    let small = try model.compressed(with: data, calibration: Self.images(), options: options(0.0001, folder: false))
    let report = try #require(small.compressionReport)
    #expect(report.reason.contains("the least that was reached is"), "\(report)")
    let least = report.points.map(\.bytes).min()
    #expect(report.points[report.chosen].bytes == least)
  }

  /// What the samples lose that no decision looks at is told.
  @Test func samplesThatAreHeldBackTellWhatWasLost() throws {
    final class Half: CompressionData {
      let stepsPerEpoch = 1
      var deciding: [Bool] = []
      func train(_ model: Model, steps: Int, seconds: Double) throws(CNNError) {}
      func areRight(_ model: Model) throws(CNNError) -> [Bool] {
        model.hasRoundings ? deciding : Array(repeating: true, count: 100)
      }
      func begin(_ stage: CompressionStage) throws(CNNError) {}
    }
    let model = try Self.network(), whole = try Self.bytes(model), data = Half()
    data.deciding = CompressionSplit(count: 100, seed: 0).decides
    #expect(data.deciding.count { $0 } == 50)
    let small = try model.compressed(
      with: data, calibration: Self.images(), options: options(0.5 * whole * 1e-6, drop: 1, folder: false))
    let report = try #require(small.compressionReport)
    #expect(report.points[report.chosen].name == "int8" && report.drop(report.chosen) == 0)
    #expect(!report.isReached && report.heldBackDrop == 100)
    #expect(report.reason == "of the samples held back it loses 100.00 points, of those that decide 0.00")
  }

  @Test func aRunThatWasEndedGoesOnWhereItWas() throws {
    let model = try Self.network(), whole = try Self.bytes(model), x = try Self.images()
    let options = options(0.15 * whole * 1e-6)
    let first = Told()
    first.onStage = { stage throws(CNNError) in
      if stage.contains("pruned-2") { throw CNNError(.interrupted, "ended") }
    }
    Self.expectMessage("ended") { _ = try model.compressed(with: first, calibration: x, options: options) }
    let second = Told()
    let small = try model.compressed(with: second, calibration: x, options: options)
    let report = try #require(small.compressionReport)
    #expect(
      report.points.map(\.name) == ["original", "int8", "pruned-1", "pruned-1-int8", "pruned-2", "pruned-2-int8"])
    #expect(!second.stages.contains { $0.contains("pruned-1") || $0.contains("'int8'") }, "\(second.stages)")
    // Once more there is nothing to do but to choose.
    let third = Told()
    let again = try model.compressed(with: third, calibration: x, options: options)
    #expect(third.steps == 0)
    #expect(again.compressionReport?.points == report.points)
    // More time may be given, nothing else may change.
    var other = options
    other.timeLimit = 1000
    _ = try model.compressed(with: Told(), calibration: x, options: other)
    other.maximumDrop = 3
    Self.expectMessage("has a compression whose max_drop is 100.0, and this one's is 3.0") {
      _ = try model.compressed(with: Told(), calibration: x, options: other)
    }
    Self.expectMessage("has a compression whose weights is") {
      _ = try Self.network(seed: 2).compressed(with: Told(), calibration: x, options: options)
    }
    try put(Array("{\"format\": 1".utf8), to: directory.file("compression.json"))
    Self.expectMessage("compression.json") {
      _ = try model.compressed(with: Told(), calibration: x, options: options)
    }
  }

  /// Where integers lose what floats do not, the model is trained for them; once.
  @Test func whereIntegersLoseItIsTrainedForThem() throws {
    let model = try Self.network(), whole = try Self.bytes(model), data = Told()
    data.right = { $0.hasRoundings ? 60 : 80 }
    for share in [0.5, 0.15] {
      let small = try model.compressed(
        with: data, calibration: Self.images(), options: options(share * whole * 1e-6, drop: 1, folder: false))
      let report = try #require(small.compressionReport)
      #expect(report.points.count { $0.name.hasPrefix("tuned-") && $0.isQuantized } >= 1, "\(report)")
      #expect(data.stages.count { $0.hasSuffix("for integers") } == 1, "\(data.stages)")
      #expect(!report.isReached && !report.points[report.chosen].isQuantized)
      data.stages = []
    }
  }

  @Test func whereTheTimeIsOverWhatThereIsCounts() throws {
    var options = options(0.001, folder: false)
    options.timeLimit = 1e-6
    let model = try Self.network(), data = Told()
    let small = try model.compressed(with: data, calibration: Self.images(), options: options)
    let report = try #require(small.compressionReport)
    #expect(data.steps == 0)
    #expect(report.reason.contains("the time limit of 0 s is over"), "\(report)")
    #expect(!report.points.isEmpty)
  }

  @Test func arraysAreTrainedOnAndTold() throws {
    // Four classes that differ in their brightness.
    let count = 64, labels = (0..<count).map { Int32($0 % 4) }
    let noise = Formula.values("x", count * 192)
    let x = try Tensor((0..<count * 192).map { 0.2 * noise[$0] + Float(labels[$0 / 192]) }, shape: [count, 8, 8, 3])
    let y = try Tensor(labels, shape: [count])
    let model = try Self.network()
    try model.compile(loss: .sparseCategoricalCrossEntropy, optimizer: .adam(learningRate: 1e-2))
    try model.fit(x, y, options: FitOptions(epochs: 14, batchSize: 16))
    let whole = try Self.bytes(model)
    var stages: [CompressionStage] = []
    var options = options(0.15 * whole * 1e-6, drop: 60, folder: false)
    options.epochs = 2
    let small = try model.compressed(
      training: (x, y), validation: (x, y), options: options, fit: FitOptions(batchSize: 16)
    ) { (stage) throws(CNNError) in stages.append(stage) }
    let report = try #require(small.compressionReport)
    #expect(report.isReached, "\(report)")
    #expect(report.points[0].accuracy > 0.9)
    #expect(stages.contains { $0.steps > 0 })
    #expect(report.decidingSamples == 32 && report.heldBackSamples == 32)
  }

  @Test func reportsSayTheSameInEveryForm() throws {
    let model = try Self.network(), whole = try Self.bytes(model), data = Told()
    let small = try model.compressed(
      with: data, calibration: Self.images(), options: options(0.5 * whole * 1e-6, folder: false))
    let report = try #require(small.compressionReport)
    let json = try #require(report.json.objectValue)
    #expect(try json.bool("reached") == report.isReached)
    let points = try json.array("points").compactMap(\.objectValue)
    #expect(try points.map { try CompressionReport.Point(json: $0) } == report.points)
    #expect(report.description.contains("'int8': 80.00 % right") || report.description.contains("int8"))
    let chart = report.chart
    #expect(chart.hasPrefix("<svg") && chart.contains("chosen") && chart.contains("target"))
    Self.expectMessage("unknown format 'png'") { _ = try report.formatted("png") }
    #expect(try small.copy().compressionReport == report)
  }

  @Test func whatCannotBeIsRefusedBeforeAnythingIsDone() throws {
    let model = try Self.network(), x = try Self.images(), data = Told()
    func run(_ options: CompressionOptions, _ message: String, of model: Model? = nil) throws {
      let chosen = try model ?? Self.network()
      Self.expectMessage(message) { _ = try chosen.compressed(with: data, calibration: x, options: options) }
    }
    try run(CompressionOptions(), "no target is given; expected one of latency_ms, size_mb and speedup")
    try run(CompressionOptions(.speedup(0.5)), "speedup is 0.5; expected 1 or more")
    try run(CompressionOptions(.size(megabytes: -1)), "size is -1")
    try run(CompressionOptions(.speedup(2), methods: [.distill]), "methods has neither 'prune' nor 'quantize'")
    try run(CompressionOptions(.speedup(2), maximumDrop: -1), "maximumDrop is -1")
    try run(CompressionOptions(.speedup(2), timeLimit: 0), "timeLimit is 0")
    try run(CompressionOptions(.speedup(2), skip: ["nothing"]), "unknown layer 'nothing'")
    try put([1], to: directory.file("file"))
    try run(CompressionOptions(.speedup(2), folder: directory.file("file")), "which is a file")
    let quantized = try model.quantized(calibration: x)
    try run(CompressionOptions(.speedup(2)), "is quantised; compress the model it was made of", of: quantized)
    #expect(data.steps == 0 && data.stages.isEmpty)
    Self.expectMessage("validation has 1 sample; expected two at least") {
      let y = try Tensor([Int32(0)], shape: [1]), one = try Self.images(1)
      _ = try model.compressed(training: (one, y), validation: (one, y), options: options(0.1, folder: false))
    }
  }
}
