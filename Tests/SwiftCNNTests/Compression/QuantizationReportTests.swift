import CNNCompiler
import CNNCore
import CNNGraph
import Glibc
import Testing

@testable import SwiftCNN

@Suite struct QuantizationReportTests {
  private static func images(_ count: Int, _ shape: [Int]) throws -> Tensor {
    let x = try Tensor(zeros: [count] + shape)
    for index in x.floats.indices { x.floats[index] = Float((index &* 7919 &+ index / 31) % 1009) / 504 - 1 }
    return x
  }

  /// Two convolutions, and between them what is no integer step.
  private static func paddedModel() throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [9, 9, 3])
    x = try builder.activation(
      .relu, builder.convolution(x, "first", outputChannels: 8, kernel: (3, 3), padding: .same), "relu")
    x = try builder.apply(ZeroPadding2D([1, 1, 1, 1]), x)
    x = try builder.convolution(x, "second", outputChannels: 8, kernel: (3, 3))
    x = try builder.apply(GlobalPooling2D(.average), x)
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 4))
    return try Model(builder.graph, name: "padded", seed: 3)
  }

  @Test func everyStepHasItsLevelsAndNoise() throws {
    let model = try Model("resnet20", options: ModelOptions(inputShape: [16, 16, 3], classes: 10))
    let x = try Self.images(6, [16, 16, 3])
    let report = try model.quantized(calibration: x).quantizationReport()
    #expect(report.reference == .original && report.imageCount == 6 && report.islands.isEmpty)
    let conv = try #require(report.steps.first { $0.layers.contains("layer1.0.conv1") })
    #expect(conv.layers == ["layer1.0.conv1", "layer1.0.relu1"] && conv.type == "int8" && conv.zeroPoint == 0)
    #expect(conv.scale ?? 0 > 0 && conv.weightScales?.lowerBound ?? 0 > 0)
    #expect((20...60).contains(conv.signalToNoise ?? 0))
    let shares = report.steps.compactMap(\.errorShare)
    #expect(abs(shares.reduce(0, +) - 1) < 1e-3)
    #expect(report.steps.last?.type == "float32")
    #expect(report.text.count > 1000 && report.chart.hasPrefix("<svg"))
    #expect(throws: CNNError.self) { try report.formatted("html") }
    #expect(throws: CNNError.self) { try model.quantizationReport() }
  }

  @Test func harmsTogetherAreTheSquaredErrorOfTheLogits() throws {
    let model = try Model(
      "resnet20", options: ModelOptions(inputShape: [16, 16, 3], classes: 10, classifierActivation: nil))
    let x = try Self.images(2, [16, 16, 3])
    let options = QuantizationOptions(reportSamples: 0)
    let quantized = try model.quantized(calibration: x, options: options)
    #expect(try quantized.quantizationReport().reference == nil)
    // The noise of the last layer is that of the predictions, measured by predicting.
    var signal = 0.0, noise = 0.0
    let floats = try model.predict(x), integers = try quantized.predict(x)
    for (a, b) in zip(floats.floats, integers.floats) {
      signal += Double(a * a)
      noise += Double((a - b) * (a - b))
    }
    let report = try quantized.quantizationReport(x, reference: model)
    #expect(report.reference == .given)
    let expected = 10 * log2(signal / noise) / log2(10)
    #expect(abs((report.steps.last?.signalToNoise ?? 0) - expected) < 0.5)
    let harm = try harms(quantized, model, x)
    #expect(abs(harm / noise - 1) < 0.1, "\(harm) \(noise)")
  }

  /// The sum of all harms, by the graph that computes both networks.
  private func harms(_ quantized: Model, _ model: Model, _ x: Tensor) throws -> Double {
    let folded = try FoldedNetwork(model.network) { name in
      model.parameters.position(of: name).map { model.parameters.values(at: $0) }
    }
    let exact = try model.model(of: folded.graph, folded.values)
    let type = try TensorType(.float32, x.shape)
    let comparison = try RoundingComparison(quantized.network, exact: exact.network, inputs: [type])
    var shared: [String: ParameterTensor] = [:]
    for (parameter, tensor) in zip(quantized.parameters.parameters, quantized.parameters.tensors) {
      shared[parameter.name] = tensor
    }
    for (parameter, tensor) in zip(exact.parameters.parameters, exact.parameters.tensors) {
      shared["exact." + parameter.name] = tensor
    }
    let storage = try ParameterStorage(comparison.graph.parameters, sharing: shared)
    let plan = try Compiler.comparisonPlan(
      comparison, inputs: [type], normalization: model.pixelNormalization, threads: 1)
    let context = try ExecutionContext(plan)
    guard let base = x.floats.baseAddress else { return 0 }
    try context.run(parameters: storage, inputs: [UnsafeRawPointer(base)])
    context.applyUpdates(to: storage)
    return comparison.harms.values.reduce(0) { sum, name in
      sum + (storage.position(of: name).map { Double(storage.values(at: $0)[0]) } ?? 0)
    }
  }

  @Test func floatsBetweenIntegersAreListedWithTheirReason() throws {
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    let quantized = try model.quantized(calibration: x)
    let islands = try quantized.quantizationReport().islands
    #expect(islands.map(\.operation) == ["activation", "zero_pad"], "\(islands)")
    #expect(
      islands.map(\.reason) == ["what reads its result does so in floats", "there is no 'zero_pad' of integers"])
    let error = #expect(throws: CNNError.self) {
      try model.quantized(calibration: x, options: QuantizationOptions(strict: true))
    }
    #expect(error?.mentions(islands.first?.layer ?? "?") ?? false)
  }

  @Test func strictnessAcceptsWhatIsSkipped() throws {
    let model = try Model("resnet20", options: ModelOptions(inputShape: [16, 16, 3], classes: 10))
    let x = try Self.images(2, [16, 16, 3])
    let options = QuantizationOptions(skip: ["layer2.0.conv1"], strict: true)
    let report = try model.quantized(calibration: x, options: options).quantizationReport()
    #expect(report.islands.map(\.layer).contains("layer2.0.conv1"))
    #expect(report.steps.first { $0.layers.contains("layer2.0.conv1") }?.reason == "it is skipped")
  }

  @Test func noiseIsForgottenWithTheWeights() throws {
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    let quantized = try model.quantized(calibration: x)
    #expect(try quantized.copy().quantizationReport() == quantized.quantizationReport())
    let weight = try quantized.value(of: "fc.bias")
    try quantized.setValue(weight, of: "fc.bias")
    #expect(try quantized.quantizationReport().reference == nil)
    #expect(try quantized.quantizationReport(x).reference == .ownWeights)
  }

  @Test func aReferenceThatIsAnotherNetworkIsRefused() throws {
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    let quantized = try model.quantized(calibration: x)
    let other = try Model("resnet20", options: ModelOptions(inputShape: [9, 9, 3], classes: 4))
    for reference in [other, quantized] {
      let error = #expect(throws: CNNError.self) { try quantized.quantizationReport(x, reference: reference) }
      #expect(error?.code == .invalidArgument && error?.mentions("reference") ?? false)
    }
  }

  /// A network that one scale for all channels of its second layer ruins.
  private static func fragileModel() throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [6, 6, 3])
    for name in ["first", "fragile", "third"] {
      x = try builder.activation(
        .relu, builder.convolution(x, name, outputChannels: 8, kernel: (1, 1), bias: true), "\(name)_relu")
    }
    x = try builder.apply(GlobalPooling2D(.average), x)
    try builder.graph.addOutput("y", builder.dense(x, "last", units: 4))
    let model = try Model(builder.graph, name: "fragile", seed: 3)
    let weight = try model.value(of: "fragile.weight"), third = try model.value(of: "third.weight")
    for index in 0..<8 {
      weight.floats[index] *= 1000
      third.floats[index * 8] = 0
    }
    try model.setValue(weight, of: "fragile.weight")
    try model.setValue(third, of: "third.weight")
    return model
  }

  @Test func layersReturnToFloatsUntilTheAccuracyHolds() throws {
    let model = try Self.fragileModel(), x = try Self.images(64, [6, 6, 3]), scores = try model.predict(x)
    // What the model of floats says is right, above what it says of most, so that there are several classes.
    let means = (0..<4).map { column in (0..<64).map { scores.floats[$0 * 4 + column] }.sorted()[32] }
    let bias = try model.value(of: "last.bias")
    for column in 0..<4 { bias.floats[column] -= means[column] }
    try model.setValue(bias, of: "last.bias")
    let y = try model.predict(x)
    var options = QuantizationOptions(method: .minmax, perChannel: false, maximumDrop: 100)
    let free = try model.quantized(calibration: x, validation: (x: x, y: y), options: options).quantizationReport()
    #expect(free.returned.isEmpty && free.accuracy?.floats == 1)
    let drop = 1 - (free.accuracy?.integers ?? 1)
    #expect(drop > 0)
    options.maximumDrop = drop * 50
    let held = try model.quantized(calibration: x, validation: (x: x, y: y), options: options).quantizationReport()
    #expect(held.returned.first == "fragile" && held.accuracy?.integers ?? 0 >= 1 - drop / 2 - 1e-9)
    #expect(held.steps.first { $0.layers.contains("fragile") }?.type != "int8")
    #expect(held.steps.contains { $0.type == "int8" && $0.operation == "conv2d" })
  }

  @Test func whatDoesNotFitAValidationIsTold() throws {
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    let options = QuantizationOptions(maximumDrop: 1)
    #expect(throws: CNNError.self) { try model.quantized(calibration: x, options: options) }
    for labels in [[0, 1, 2, 4], [0, 1, 2], [0, -1, 2, 3]] as [[Int32]] {
      let y = try Tensor(labels, shape: [labels.count])
      #expect(throws: CNNError.self) { try model.quantized(calibration: x, validation: (x: x, y: y), options: options) }
    }
    let y = try Tensor([0, 1, 2, 3] as [Int32], shape: [4])
    #expect(throws: CNNError.self) {
      try model.quantized(calibration: x, validation: (x: x, y: y), options: QuantizationOptions(maximumDrop: -1))
    }
  }

  private func message(_ code: CNNError.Code, _ body: () throws -> Void) throws -> String {
    let error = try #require(throws: CNNError.self) { try body() }
    #expect(error.code == code)
    return error.message
  }

  @Test func impossibleNumbersOfAFileAreRefused() throws {
    let x = try Self.images(4, [9, 9, 3]), model = try Self.paddedModel().quantized(calibration: x)
    let directory = try TemporaryDirectory(), path = directory.file("m.safetensors")
    try model.write(to: path)
    let file = try SafetensorsFile(path: path)
    let text = try #require(file.metadata["swiftcnn.model"])
    let header = try #require(JSON(parsing: text).objectValue)
    let record = try header.object("quantization"), noise = try record.object("noise")
    for (member, name, value) in [
      ("shares", "x", 1e306), ("shares", "x", -1e90), ("decibels", "y", 1e9), ("images", "", 0),
    ] {
      var changed = noise
      if name.isEmpty {
        changed[member] = .integer(Int64(value))
      } else {
        var numbers = try noise.object(member)
        numbers[name] = .number(value)
        changed[member] = .object(numbers)
      }
      let message = try message(.malformedFile) { _ = try QuantizationNoise(json: changed) }
      #expect(message.contains("'\(name.isEmpty ? member : name)' is") && message.contains(member), "\(message)")
    }
    var changed = record
    changed["accuracy"] = ["samples": 3, "float32": 1e300, "int8": 0.5]
    #expect(try message(.malformedFile) { _ = try QuantizationRecord(json: changed) }.contains("'float32' is 1e+300"))
    #expect(try QuantizationRecord(json: record) == model.knownQuantization)
  }

  @Test func everyNumberCanBeWritten() {
    #expect([1.25, -0.04, 999.96, 0].map { decimal($0, 1) } == ["1.3", "0.0", "1000.0", "0.0"])
    #expect([1e306, -1e17, 9.9996e20].map { decimal($0, 3) } == ["1.000e306", "-1.000e17", "1.000e21"])
    #expect([Double.nan, .infinity, -.infinity].map { decimal($0, 2) } == ["nan", "inf", "-inf"])
    #expect([1.2714e-8, 9.99999e-9].map { scientific($0, 3) } == ["1.271e-8", "1.000e-8"])
    #expect(scientific(5e-324, 3) == "4.941e-324" && scientific(0, 1) == "0.0e0")
    #expect(decimal(.greatestFiniteMagnitude, 0) == "2e308")
  }

  /// A report of steps with these ratios and shares.
  private static func report(
    _ steps: [(layer: String, type: String, decibels: Double, share: Double)], islands: [FloatIsland] = []
  ) -> QuantizationReport {
    QuantizationReport(
      model: "m", reference: .original, imageCount: 1,
      steps: steps.map { step in
        .init(
          layers: [step.layer], operation: "conv2d", type: step.type, instruction: "", scale: 1e30, zeroPoint: 0,
          weightScales: 1e-30...1e30, signalToNoise: step.decibels, errorShare: step.share, reason: "")
      }, islands: islands, skipped: [], returned: [], accuracy: nil)
  }

  @Test func aChartIsOfTheLayersInIntegers() {
    let island = FloatIsland(layer: "b", operation: "conv2d", reason: "")
    let chart = Self.report(
      [("a", "int8", 38, 0.4), ("b", "int8", 31, 0.6), ("softmax", "float32", 170, 0)], islands: [island]
    ).chart
    #expect(chart.contains(">40</text>") && !chart.contains(">60</text>") && chart.contains(">170.0</text>"))
    // What is computed in integers is no floats between integers, whatever its name.
    #expect(!chart.contains("#b42318"))
    #expect(Self.report([("b", "float32", 31, 0.6)], islands: [island]).chart.contains("#b42318"))
  }

  @Test func reportsOfAnyNumbersAreShown() {
    for number in [1e9, -1e9, 1e306, -1e306] {
      let report = Self.report([("a", "int8", number, number), ("b", "int8", 3, -number)])
      #expect(report.chart.utf8.count < 20_000 && report.text.contains(decimal(number, 1)))
    }
  }

  @Test func imagesThatAreNoNumbersAreRefused() throws {
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    let quantized = try model.quantized(calibration: x), bad = try Self.images(4, [9, 9, 3])
    let y = try Tensor([0, 1, 2, 3] as [Int32], shape: [4])
    for number in [Float.nan, .infinity] {
      bad.floats[700] = number
      let measuring = try message(.invalidArgument) { _ = try quantized.quantizationReport(bad) }
      #expect(measuring.hasPrefix("x: ") && measuring.contains("expected finite numbers"), "\(measuring)")
      let validating = try message(.invalidArgument) {
        _ = try model.quantized(
          calibration: x, validation: (x: bad, y: y), options: QuantizationOptions(maximumDrop: 100))
      }
      #expect(validating.hasPrefix("validation: ") && validating.contains("expected finite numbers"), "\(validating)")
    }
  }

  @Test func aChannelWithoutWeightsHasTheScaleOfAnother() throws {
    #expect(WeightLevels(ofLargest: [127, 0, 254, 1e-44]).scales == [1, 2, 2, 2])
    #expect(WeightLevels(ofLargest: [0, 0]).scales == [1, 1])
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    let weight = try model.value(of: "first.weight")
    for index in 0..<27 { weight.floats[2 * 27 + index] = 0 }
    try model.setValue(weight, of: "first.weight")
    let report = try model.quantized(calibration: x).quantizationReport()
    let scales = try #require(report.steps.first { $0.layers.contains("first") }?.weightScales)
    #expect(scales.upperBound < 0.1, "\(scales)")
  }

  @Test func whatSkipNamesIsTold() throws {
    let model = try Self.paddedModel(), x = try Self.images(4, [9, 9, 3])
    func skipping(_ pattern: String, _ code: CNNError.Code) throws -> String {
      let options = QuantizationOptions(skip: [pattern])
      return try message(code) { _ = try model.quantized(calibration: x, options: options) }
    }
    #expect(
      try skipping("relu", .unknownName)
        == "skip has 'relu'; expected convolutions and dense layers, which alone can be named")
    #expect(try skipping("nothing", .unknownName).hasPrefix("unknown layer 'nothing'"))
    #expect(
      try skipping("*", .invalidArgument) == "'padded' has no layer that can be quantised but those that skip names")
  }
}
