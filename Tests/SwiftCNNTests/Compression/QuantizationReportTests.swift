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
}
