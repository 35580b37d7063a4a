import CNNCompiler
import CNNCore
import CNNGraph
import CNNKernels
import Testing

@testable import SwiftCNN

/// Models that are trained for integers.
@Suite struct QuantizationAwareTests {
  static let size = 16

  static func images(_ count: Int, seed: UInt64 = 1) throws -> Tensor {
    let x = try Tensor(zeros: [count, size, size, 3])
    var state = seed
    for index in x.floats.indices {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      x.floats[index] = Float(state >> 40) / Float(1 << 23) - 1
    }
    return x
  }

  static func pixels(_ count: Int) throws -> Tensor {
    try Tensor(images(count).values.map { UInt8(($0 + 1) * 127) }, shape: [count, size, size, 3])
  }

  static func labels(_ count: Int) throws -> Tensor {
    try Tensor((0..<count).map { Int32($0 * 7 % 10) }, shape: [count])
  }

  /// Blocks of EfficientNet, with squeeze and excitation or without, whose functions are `function`.
  static func blocks(_ function: ActivationFunction, squeezes: Bool) throws -> Model {
    var builder = GraphBuilder()
    func normalized(_ x: Value, _ name: String) throws -> Value { try builder.batchNormalization(x, "\(name).bn") }
    var x = try builder.input(shape: [size, size, 3])
    x = try builder.convolution(x, "stem", outputChannels: 8, kernel: (3, 3), stride: (2, 2), padding: .all(1))
    x = try builder.activation(function, normalized(x, "stem"), "stem.f")
    for block in 0..<3 {
      let name = "blocks.\(block)", input = x
      x = try builder.convolution(x, "\(name).expand", outputChannels: 24, kernel: (1, 1))
      x = try builder.activation(function, normalized(x, "\(name).expand"), "\(name).expand.f")
      x = try builder.depthwiseConvolution(x, "\(name).depthwise", kernel: (3, 3), padding: .all(1))
      x = try builder.activation(function, normalized(x, "\(name).depthwise"), "\(name).depthwise.f")
      if squeezes {
        var s = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), x)
        s = try builder.convolution(s, "\(name).squeeze", outputChannels: 5, kernel: (1, 1), bias: true)
        s = try builder.activation(function, s, "\(name).squeeze.f")
        s = try builder.convolution(s, "\(name).excite", outputChannels: 24, kernel: (1, 1), bias: true)
        x = try builder.apply(Multiply(), x, builder.activation(.sigmoid, s, "\(name).gate"))
      }
      x = try builder.convolution(x, "\(name).project", outputChannels: 8, kernel: (1, 1))
      x = try builder.apply(StochasticDepth(rate: 0.1, stream: block), normalized(x, "\(name).project"))
      x = try builder.apply(Add(), x, input)
    }
    x = try builder.apply(GlobalPooling2D(.average), x)
    x = try builder.apply(Dropout(rate: 0.1, stream: 7), x)
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 10))
    return try Model(builder.graph, name: "blocks", seed: 3)
  }

  static func model(_ name: String) throws -> Model {
    switch name {
    case "squeezing": try blocks(.silu, squeezes: true)
    case "depthwise": try blocks(.relu6, squeezes: false)
    default:
      try Model(name, options: ModelOptions(inputShape: [size, size, 3], classes: 10, classifierActivation: nil))
    }
  }

  /// The squared difference relative to the squared numbers.
  static func difference(_ a: Tensor, _ b: Tensor) -> Float {
    var error: Float = 0, size: Float = 0
    for (a, b) in zip(a.floats, b.floats) { (error, size) = (error + (a - b) * (a - b), size + a * a) }
    return error / size
  }

  static func compile(_ model: Model) throws {
    try model.compile(
      loss: .sparseCategoricalCrossEntropy, optimizer: .sgd(learningRate: 0.01, momentum: 0.9), metrics: [.accuracy],
      seed: 4)
  }

  static let rules: [QuantizationAwareOptions] = [
    QuantizationAwareOptions(freeze: 0.5),
    QuantizationAwareOptions(ranges: .learned, freeze: 0.5),
    QuantizationAwareOptions(method: .minmax, perChannel: false, skip: ["layer1.0.conv2", "blocks.1.*"], freeze: 0.5),
  ]

  static func rule(_ index: Int, for model: Model) -> QuantizationAwareOptions {
    var options = rules[index]
    options.skip = options.skip.filter { pattern in model.network.nodes.contains { Glob.matches($0.name, pattern) } }
    return options
  }

  static let families = ["resnet20", "squeezing", "depthwise"]

  /// What is trained and what is computed in integers are the same but for the rounding of biases and of sums, whose flipped
  /// levels are few beside what rounding changes at all.
  @Test(arguments: families, [0, 1, 2])
  func integersGiveTheScoresOfTheTrainedModel(_ name: String, _ rule: Int) throws {
    let x = try Self.images(16), (trained, integers) = try Self.trained(name, rule, x)
    let scores = try trained.predict(x), noise = try Self.noise(of: trained, x, scores)
    let difference = try Self.difference(scores, integers.predict(x))
    #expect(difference < noise / 4)
  }

  /// Pixels go into the first layer as they come, in training as in integers, where they are normalised as well.
  @Test(arguments: families, [0, 1, 2]) func pixelsAreTakenAsTheyCome(_ name: String, _ rule: Int) throws {
    let x = try Self.pixels(16), (trained, integers) = try Self.trained(name, rule, x)
    // A level may be another one where a bias is rounded. In so small a network few of these make many: that the scores
    // are nearer to each other than all rounding puts them apart is not so of these pictures.
    let first = try #require(trained.network.nodes.first { $0.operation is FakeQuantizeActivation })
    let (a, b) = (try Self.values(first.name, of: trained, x), try Self.values(first.name, of: integers, x))
    let step = try trained.values("\(trained.network.name(of: first.operands[0])).scale")[0]
    let differences = zip(a, b).map { ($0 - $1).magnitude }
    // Parabolas of SiLU are up to a fifth of a level from it.
    let mostOthers = name == "squeezing" ? 0.1 : 0.01, others = differences.count { $0 > 0.5 * step }
    #expect(differences.allSatisfy { $0 < 1.01 * step } && Double(others) < mostOthers * Double(a.count))
    let scores = try trained.predict(x)
    #expect(try Self.difference(scores, integers.predict(x)) < 2 * Self.noise(of: trained, x, scores))
    let plan = try Compiler.inferencePlan(
      integers.network, inputs: [TensorType(.uint8, x.shape)], normalization: integers.pixelNormalization, threads: 1)
    let kinds = plan.graph.nodes.map(\.operation.kind)
    #expect(kinds.contains("quantized_pixels"))
    #expect(!kinds.contains { ["normalize_pixels", "rescaling", "quantize_pixels"].contains($0) })
    let (mean, deviation) = (integers.pixelNormalization.mean, integers.pixelNormalization.deviation)
    let floats = try Tensor(zeros: x.shape)
    for (index, number) in try Self.images(16).values.enumerated() {
      let pixel = UInt8((number + 1) * 127)
      floats.floats[index] = Float((Double(pixel) / 255 - mean[index % 3]) / deviation[index % 3])
    }
    #expect(try integers.predict(floats).bits == integers.predict(x).bits)
  }

  /// What a model was trained on tells it where there are no images, and what stays in floats reads floats.
  @Test func pixelsAreTakenWhereTheyAreKnown() throws {
    let x = try Self.pixels(8), y = try Self.labels(8), model = try Self.model("depthwise")
    #expect(try model.quantizationAware().pixelRounding == nil)
    #expect(try model.quantizationAware(calibration: Self.images(8)).pixelRounding == nil)
    let skipping = QuantizationAwareOptions(skip: ["stem"])
    #expect(try model.quantizationAware(calibration: x, options: skipping).pixelRounding == nil)
    try Self.compile(model)
    try model.trainOnBatch(x, y)
    try model.setTrainable(false, matching: "stem*")
    let trained = try model.quantizationAware()
    #expect(trained.pixelRounding?.levels.scale == 0x1p-6)
    #expect(trained.network.parameters.filter { $0.name.hasPrefix("stem.") }.allSatisfy { !$0.isTrainable })
    // Weights have about the size that they had.
    let old = try model.values("stem.weight"), new = try trained.values("stem.weight")
    #expect(zip(old, new).allSatisfy { ($1 / $0 - 1).magnitude < 0.15 })
  }

  /// The numbers of a value of a model's network.
  private static func values(_ name: String, of model: Model, _ x: Tensor) throws -> [Float] {
    var network = try model.network.inferenceForm()
    let value = try #require(network.value(named: name))
    let copy = try network.addSingle(Rescaling(scale: [1], offset: [0]), [value], name: "copy")
    try network.setOutputs([("copy", copy)])
    return try model.model(of: network.removingDeadNodes().removingDeadParameters(), [:]).predict(x).values
  }

  /// A model that was trained for integers, and that in integers.
  private static func trained(_ name: String, _ rule: Int, _ x: Tensor) throws -> (trained: Model, integers: Model) {
    let model = try Self.model(name), before = try model.bits(), y = try Self.labels(16)
    let trained = try model.quantizationAware(calibration: x, options: Self.rule(rule, for: model))
    try Self.compile(trained)
    try trained.fit(x, y, options: FitOptions(epochs: 6, batchSize: 8))
    #expect(try model.bits() == before)
    let integers = try trained.quantized()
    #expect(integers.hasRoundings && !integers.network.isRoundedInTraining)
    #expect(!trained.hasRoundings && trained.network.isRoundedInTraining)
    return (trained, integers)
  }

  /// What all roundings change of the scores.
  private static func noise(of trained: Model, _ x: Tensor, _ scores: Tensor) throws -> Float {
    let floats = try trained.model(of: trained.network.withoutTrainedRoundings(), [:])
    return try difference(floats.predict(x), scores)
  }

  /// Before it is trained, the model in integers is the one that `quantized` makes, to the rounding of weights that lie at a
  /// half.
  @Test(arguments: families, [CalibrationMethod.mse, .minmax])
  func roundingsAreWhereQuantizationPutsThem(_ name: String, _ method: CalibrationMethod) throws {
    let model = try Self.model(name)
    for (x, perChannel) in [(try Self.images(8), true), (try Self.images(8), false), (try Self.pixels(8), true)] {
      let trained = try model.quantizationAware(
        calibration: x, options: QuantizationAwareOptions(method: method, perChannel: perChannel))
      let direct = try model.quantized(
        calibration: x, options: QuantizationOptions(method: method, perChannel: perChannel, correctsBias: false))
      let integers = try trained.quantized()
      let names = { (model: Model) in model.network.nodes.map(\.name) }
      #expect(names(integers) == names(direct))
      #expect(try Self.difference(direct.predict(x), integers.predict(x)) < (x.element == .uint8 ? 1e-4 : 1e-5))
    }
  }

  /// The names of the parameters that are measured, not learned.
  private static func statistics(_ model: Model) -> [String] {
    model.network.parameters.filter { $0.role == .statistic }.map(\.name)
  }

  /// Ranges and statistics change up to that share of the epochs, and stand from there on, which learned scales do too.
  @Test(arguments: [TrainedRanges.tracked, .learned])
  func statisticsStandTowardsTheEnd(_ ranges: TrainedRanges) throws {
    let x = try Self.images(8), y = try Self.labels(8)
    let trained = try Self.model("squeezing").quantizationAware(
      calibration: x, options: QuantizationAwareOptions(ranges: ranges, freeze: 0.5))
    try Self.compile(trained)
    let scales = trained.network.parameters.filter { $0.role == .quantizationScale }.map(\.name)
    #expect(scales.isEmpty == (ranges == .tracked))
    let watched = Self.statistics(trained) + scales
    var history: [[[Float]]] = [try watched.map { try trained.values($0) }], weights = try trained.values("fc.weight")
    // Four batches: two train everything, and two the weights.
    try trained.fit(x, y, options: FitOptions(epochs: 2, batchSize: 4)) { (_) throws(CNNError) in
      do {
        history.append(try watched.map { try trained.values($0) })
        #expect(try trained.values("fc.weight") != weights)
        weights = try trained.values("fc.weight")
      } catch {
        throw CNNError(.internalFault, "\(error)")
      }
      return true
    }
    #expect(history.count == 5)
    #expect(history[0] != history[1] && history[1] != history[2])
    #expect(history[2] == history[3] && history[3] == history[4])
  }

  /// One that is stopped, saved and resumed, before or after statistics stand, ends in the same bits.
  @Test(arguments: [TrainedRanges.tracked, .learned]) func resumesToTheSameBits(_ ranges: TrainedRanges) throws {
    let x = try Self.images(12), y = try Self.labels(12), model = try Self.model("depthwise")
    let options = QuantizationAwareOptions(ranges: ranges, freeze: 0.5)
    func begin() throws -> Model {
      let trained = try model.quantizationAware(calibration: x, options: options)
      try Self.compile(trained)
      return trained
    }
    var fit = FitOptions(epochs: 2, batchSize: 4)
    let whole = try begin()
    try whole.fit(x, y, options: fit)
    for stop in [2, 4] {
      let directory = try TemporaryDirectory(), path = directory.file("trained.safetensors")
      let first = try begin()
      try first.fit(x, y, options: fit) { (progress) throws(CNNError) in progress.step < stop }
      try first.write(to: path, includingTrainingState: true)
      for second in [try Model(contentsOf: path), try first.copy()] {
        fit.resumes = true
        try second.fit(x, y, options: fit)
        #expect(try second.bits() == whole.bits())
        #expect(try second.quantized().predict(x).bits == whole.quantized().predict(x).bits)
        fit.resumes = false
      }
    }
  }

  /// The first batch gives the ranges where there were no images.
  @Test func rangesCanBeginWithTheFirstBatch() throws {
    let x = try Self.images(8), y = try Self.labels(8), model = try Self.model("depthwise")
    let trained = try model.quantizationAware()
    let floats = try model.predict(x)
    // Weights are rounded already, activations are not.
    #expect(try Self.difference(floats, trained.predict(x)) < 0.01)
    expectError(.invalidState, "is not known; train 'blocks' first") { try trained.quantized() }
    try Self.compile(trained)
    try trained.trainOnBatch(x, y)
    for parameter in trained.network.parameters where parameter.name.hasSuffix(".scale") {
      #expect(try trained.values(parameter.name)[0] > 0)
    }
    _ = try trained.quantized()
  }

  /// A step by generated code is that by portable kernels, with ranges that are tracked, learned, and that stand.
  @Test(arguments: TrainingPlanTests.targets, [TrainedRanges.tracked, .learned])
  func stepsEqualThoseOfPortableKernels(_ target: CodeTarget, _ ranges: TrainedRanges) throws {
    for stands in [false, true] { try expectSameStep(target, ranges, stands) }
  }

  private func expectSameStep(_ target: CodeTarget, _ ranges: TrainedRanges, _ stands: Bool) throws {
    let x = try Self.images(4), model = try Self.model("depthwise")
    let trained = try model.quantizationAware(calibration: x, options: QuantizationAwareOptions(ranges: ranges))
    let network = stands ? try trained.network.withStandingStatistics() : trained.network
    let loss = Loss(.sparseCategoricalCrossEntropy, fromLogits: true, labelSmoothing: 0, delta: 1)
    let labels: [Int32] = [1, 5, 0, 9], weights: [Float] = [1, 1, 1, 1]
    func step(_ target: CodeTarget?) throws -> ([[Float]], names: [String]) {
      let plan = try Compiler.trainingPlan(
        network, inputs: [TensorType(.float32, x.shape)], normalization: trained.pixelNormalization, loss: loss,
        threads: 2, target: target)
      let context = try ExecutionContext(plan)
      try labels.withUnsafeBytes { labels in
        try weights.withUnsafeBytes { weights in
          guard let x = x.floats.baseAddress, let y = labels.baseAddress, let w = weights.baseAddress else { return }
          try context.run(
            parameters: trained.parameters, inputs: [UnsafeRawPointer(x), y, w],
            randomness: Randomness(seed: 1, step: 0))
        }
      }
      return (plan.graph.outputs.indices.map { Array(context.output($0)) }, plan.graph.outputs.map(\.name))
    }
    let expected = try step(nil), result = try step(target)
    #expect(expected.names == result.names)
    let learned = expected.names.filter { $0.hasPrefix("gradient:") && $0.hasSuffix(".scale") }
    #expect(learned.isEmpty == (ranges == .tracked || stands))
    for (name, (a, b)) in zip(expected.names, zip(expected.0, result.0)) {
      let size = a.map(\.magnitude).max() ?? 0, difference = zip(a, b).map { ($0 - $1).magnitude }.max() ?? 0
      // A number that lies at a half may become another level.
      #expect(difference <= 0.05 * size + 1e-4, "\(name): \(difference) of \(size)")
    }
  }

  /// Calls `body`, which must throw an error of that code with that text.
  private func expectError<Result>(
    _ code: CNNError.Code, _ text: String, _ line: SourceLocation = #_sourceLocation, _ body: () throws -> Result
  ) {
    let error = #expect(throws: CNNError.self, sourceLocation: line) { _ = try body() }
    #expect(
      error?.code == code && error?.message.contains(text) == true, "\(error?.message ?? "")", sourceLocation: line)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let model = try Self.model("depthwise"), x = try Self.images(4)
    expectError(.invalidArgument, "calibration is not given; expected images") { try model.quantized() }
    expectError(.invalidArgument, "ranges is 'learned' and calibration is not given") {
      try model.quantizationAware(options: QuantizationAwareOptions(ranges: .learned))
    }
    for momentum in [0, -1, 1.5, Double.nan] {
      expectError(.invalidArgument, "momentum") {
        try model.quantizationAware(options: QuantizationAwareOptions(momentum: momentum))
      }
    }
    expectError(.invalidArgument, "freeze is 2") {
      try model.quantizationAware(options: QuantizationAwareOptions(freeze: 2))
    }
    expectError(.unknownName, "blocks.0.expand") {
      try model.quantizationAware(options: QuantizationAwareOptions(skip: ["blocks.0.expend"]))
    }
    expectError(.invalidArgument, "no layer that can be quantised but those that skip names") {
      try model.quantizationAware(options: QuantizationAwareOptions(skip: ["*"]))
    }
    expectError(.shapeMismatch, "[0, 16, 16, 3]") {
      try model.quantizationAware(
        calibration: TensorView(.float32, shape: [0, 16, 16, 3], base: #require(x.floats.baseAddress)))
    }
    expectError(.shapeMismatch, "") { try model.quantizationAware(calibration: Tensor(zeros: [2, 16, 16, 4])) }
    let broken = try Self.images(2)
    for index in broken.floats.indices { broken.floats[index] = .infinity }
    expectError(.invalidArgument, "expected finite numbers") {
      try model.quantizationAware(calibration: broken, options: QuantizationAwareOptions(method: .minmax))
    }
    let trained = try model.quantizationAware(calibration: x)
    expectError(.invalidState, "made to be trained for integers already") {
      try trained.quantizationAware(calibration: x)
    }
    let direct = try model.quantized(calibration: x)
    expectError(.invalidState, "is quantised already") { try direct.quantizationAware(calibration: x) }
    for number in [Float.nan, .infinity] {
      var weight = try model.values("blocks.1.expand.weight")
      weight[3] = number
      let broken = try model.copy(), diverged = try trained.copy()
      try broken.set("blocks.1.expand.weight", weight)
      try diverged.set("blocks.1.expand.weight", weight)
      // Limits may hide it from the activations.
      expectError(.invalidArgument, "; expected finite ") { try broken.quantized(calibration: x) }
      expectError(.invalidArgument, "'blocks.1.expand.weight' has infinite numbers, or none; expected finite ones") {
        try diverged.quantized()
      }
    }
    expectError(.invalidArgument, "maximumDrop is 1.0") {
      try trained.quantized(
        calibration: x, validation: (x, Self.labels(4)), options: QuantizationOptions(maximumDrop: 1))
    }
  }

  /// What training has decided is not decided again: options about it are refused, with what they are and could be.
  @Test func whatTrainingHasDecidedIsRefused() throws {
    let x = try Self.images(4), trained = try Self.model("depthwise").quantizationAware(calibration: x)
    let decided = "'blocks' was trained with its own ranges, scales, layers and biases; expected"
    let options: [(given: String, expected: String, QuantizationOptions)] = [
      ("method is 'entropy'", "the default, 'mse'", QuantizationOptions(method: .entropy)),
      ("percentile is 99.0", "the default, 99.99", QuantizationOptions(percentile: 99)),
      ("perChannel is false", "true, as it was trained", QuantizationOptions(perChannel: false)),
      ("skip is [\"fc\"]", "none", QuantizationOptions(skip: ["fc"])),
      ("correctsBias is false", "the default, true", QuantizationOptions(correctsBias: false)),
      ("equalizes is true", "the default, false", QuantizationOptions(equalizes: true)),
    ]
    for (given, expected, options) in options {
      let text = "\(given), but \(decided) \(expected)"
      expectError(.invalidArgument, text) { try trained.quantized(options: options) }
      expectError(.invalidArgument, text) { try trained.quantized(calibration: x, options: options) }
    }
    // What is still open may be chosen, and what was chosen may be said again.
    _ = try trained.quantized(calibration: x, options: QuantizationOptions(samples: 2, reportSamples: 1, strict: true))
    let whole = try Self.model("depthwise").quantizationAware(
      calibration: x, options: QuantizationAwareOptions(perChannel: false))
    _ = try whole.quantized(options: QuantizationOptions(perChannel: false))
  }

  /// Of images that are given nevertheless the report tells the noise.
  @Test func noiseIsMeasuredOnImages() throws {
    let model = try Self.model("depthwise"), x = try Self.images(4)
    let trained = try model.quantizationAware(calibration: x, options: QuantizationAwareOptions(skip: ["blocks.1.*"]))
    let report = try trained.quantized(calibration: x).quantizationReport()
    #expect(report.imageCount == 4 && report.skipped.contains("blocks.1.expand") && !report.skipped.contains("fc"))
    #expect(report.steps.contains { $0.signalToNoise.map { $0 > 20 } ?? false })
    #expect(try trained.quantized().quantizationReport().imageCount == 0)
  }

  /// What is never asked.
  private struct NoCodec: ONNXCodec {
    func encode(
      _ network: Graph, options: JSONObject, values: Values, write: (UnsafeRawBufferPointer) throws(CNNError) -> Void
    ) throws(CNNError) { throw CNNError(.internalFault, "asked") }

    func decode(_ bytes: UnsafeRawBufferPointer, options: JSONObject, readExternal: @escaping ExternalReader)
      throws(CNNError) -> DecodedONNX
    { throw CNNError(.internalFault, "asked") }
  }

  @Test func aModelInTrainingIsNoONNXFile() throws {
    let model = try Self.model("depthwise"), x = try Self.images(2), directory = try TemporaryDirectory()
    let trained = try model.quantizationAware(calibration: x), path = directory.file("m.onnx")
    let error = #expect(throws: CNNError.self) { try trained.writeONNX(to: path, codec: NoCodec()) }
    #expect(error?.code == .invalidState && error?.message.hasSuffix("quantize it first") ?? false)
    let asked = #expect(throws: CNNError.self) { try trained.quantized().writeONNX(to: path, codec: NoCodec()) }
    #expect(asked?.message.contains("asked") ?? false)
  }
}
