import CNNCompiler
import CNNCore
import CNNKernels
import CNNGraph
import Testing
import TileSupport
import X86Assembler

@testable import SwiftCNN

@Suite struct QuantizationTests {
  private func images(_ count: Int, _ size: Int, seed: UInt64 = 1) throws -> Tensor {
    let x = try Tensor(zeros: [count, size, size, 3])
    var state = seed
    for index in x.floats.indices {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      x.floats[index] = Float(state >> 40) / Float(1 << 23) - 1
    }
    return x
  }

  @Test(arguments: ["resnet20", "tf_efficientnet_lite0", "efficientnet_b0"]) func integersGiveNearlyTheSameScores(
    _ name: String
  ) throws {
    let size = 32
    let model = try Model(
      name, options: ModelOptions(inputShape: [size, size, 3], classes: 10, classifierActivation: nil))
    let x = try images(4, size)
    let quantized = try model.quantized(calibration: x, options: QuantizationOptions(method: .minmax))
    let expected = try model.predict(x), result = try quantized.predict(x)
    var error: Float = 0, size2: Float = 0
    for (a, b) in zip(expected.floats, result.floats) { error += (a - b) * (a - b); size2 += a * a }
    #expect(error / size2 < 0.01)
    #expect(error > 0)
  }

  @Test func layersSayThatTheyComputeInIntegers() throws {
    let model = try Model("resnet20", options: ModelOptions(inputShape: [32, 32, 3], classes: 10))
    let rows = try model.quantized(calibration: images(2, 32)).layerPrecisions()
    let integers = rows.filter { $0.element == .int8 }
    #expect(integers.contains { $0.layer == "layer2.0.conv2" } && integers.allSatisfy { !$0.reason.isEmpty })
    #expect(rows.contains { $0.element == .float32 && $0.layer == "probabilities" })
    #expect(try model.layerPrecisions().allSatisfy { $0.element == .float32 })
  }

  /// Scales and the network's text are a small part of a file in which weights are bytes.
  @Test(arguments: ["tf_efficientnet_lite0", "efficientnet_b0"]) func aFileHasAQuarterOfTheFloats(_ name: String) throws
  {
    let model = try Model(name, options: ModelOptions(inputShape: [64, 64, 3], classes: 1000))
    func byteCount(_ model: Model) throws -> Int {
      try model.write(into: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }
    let quantized = try model.quantized(calibration: images(1, 64))
    #expect(try Double(byteCount(quantized)) < 0.265 * Double(byteCount(model)))
  }

  /// A network's long lists come back in the same bits, and from the text of a file of the first format.
  @Test func scalesAreTensorsOfAFile() throws {
    let model = try Model("resnet20", options: ModelOptions(inputShape: [16, 16, 3], classes: 10))
    let x = try images(2, 16), quantized = try model.quantized(calibration: x), expected = try quantized.predict(x).bits
    let directory = try TemporaryDirectory(), path = directory.file("model.safetensors")
    let network = try quantized.network.json.serialized()
    try quantized.write(to: path)
    let file = try SafetensorsFile(path: path), name = "attributes.layer1.0.conv1.weight.levels/scale"
    #expect(file[name]?.shape == [16] && file[name]?.type == .float32)
    #expect(try #require(file.metadata["swiftcnn.graph"]).utf8.count < network.utf8.count)
    let lists = file.tensors.filter { $0.name.hasPrefix("attributes.") }
    let numbers = try Memory(byteCount: 4 * lists.reduce(0) { $0 + $1.elementCount }, for: "test")
    var places: [Range<Int>] = []
    for list in lists {
      let start = places.last?.upperBound ?? 0
      places.append(start..<start + list.elementCount)
      try file.read(list.name, into: .init(rebasing: numbers.floats[start..<start + list.elementCount]))
    }
    let read = try Model(contentsOf: path)
    #expect(try read.network.json.serialized() == network)
    #expect(try read.predict(x).bits == expected)
    // As weights alone, where lists are none of the network's parameters.
    let other = try Model("resnet20", options: ModelOptions(inputShape: [16, 16, 3], classes: 10)).quantized(
      calibration: x)
    try other.loadWeights(from: path)
    #expect(try other.bits() == quantized.bits())

    var metadata = file.metadata, levels = quantized.network.weightLevels
    metadata["swiftcnn.graph"] = network
    metadata["swiftcnn.model"] = metadata["swiftcnn.model"]?.replacing("\"format\":2", with: "\"format\":1")
    /// Writes a file whose lists are those of `changed`.
    func write(_ changed: (String) -> (ElementType, [Int])?) throws {
      let own = zip(quantized.parameters.parameters, quantized.parameters.tensors).map { parameter, tensor in
        SafetensorsWriter.Tensor(
          name: parameter.name, shape: parameter.shape, type: .float32, levels: levels[parameter.name],
          bytes: UnsafeRawBufferPointer(tensor.values))
      }
      var tensors = own
      for (list, place) in zip(lists, places) {
        guard let (type, shape) = changed(list.name) else { continue }
        let bytes = UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: numbers.floats[place]))
        tensors.append(
          .init(
            name: list.name, shape: shape, type: type, bytes: .init(rebasing: bytes[..<(4 * shape.reduce(1, *))])))
      }
      try SafetensorsWriter.write(to: path, tensors: tensors, metadata: metadata)
    }
    try write { _ in nil }
    let first = try Model(contentsOf: path)
    #expect(try first.network.json.serialized() == network)
    #expect(try first.predict(x).bits == expected)

    // Lists of another type, too few numbers, none that are scales, or no list at all.
    metadata = file.metadata
    levels = [:]
    func expectRefused(_ text: String, _ changed: (ElementType, [Int])?) throws {
      try write { $0 == name ? changed : (.float32, file[$0]?.shape ?? []) }
      let error = #expect(throws: CNNError.self) { try Model(contentsOf: path) }
      #expect(error?.code == .malformedFile && error?.message.contains(text) == true, "\(error?.message ?? "")")
    }
    try expectRefused("'\(name)' is I32 of shape [16]; expected a list", (.int32, [16]))
    try expectRefused("'\(name)' is F32 of shape [4, 4]; expected a list", (.float32, [4, 4]))
    try expectRefused("scale has 8 numbers", (.float32, [8]))
    try expectRefused("'scale' is neither a number", nil)
    let place = places[try #require(lists.firstIndex { $0.name == name })]
    for (number, text) in [
      (0, "expected numbers above 0"), (1e-45, "1e-45; expected numbers above 0 whose reciprocals are finite"),
      (Float.nan, "'scale' has nan; expected finite numbers"),
    ] {
      numbers.floats[place.lowerBound] = number
      try expectRefused(text, (.float32, [16]))
    }
  }

  /// The scores of a model's plan on a target, or of another network with its parameters.
  private func scores(
    _ model: Model, _ x: Tensor, on target: CodeTarget?, network: Graph? = nil
  ) throws -> [Float] {
    let plan = try Compiler.inferencePlan(
      network ?? model.network, inputs: [TensorType(.float32, x.shape)], normalization: model.pixelNormalization,
      threads: 2,
      target: target)
    let context = try ExecutionContext(plan)
    guard let base = x.floats.baseAddress else { return [] }
    try context.run(parameters: model.parameters, inputs: [UnsafeRawPointer(base)])
    return Array(context.output(0))
  }

  /// What this processor has, and less; and tiles where it can be made to have them.
  private static let instructionSets: [InstructionSet] =
    [.avx2, .avxVNNI, .avx512, .avx512VNNI, Processor.host.instructionSet].filter {
      Processor.host.instructionSet.isSuperset(of: $0) && $0.contains(.avx2)
    } + (Tiles.instructionSet.map { [$0] } ?? [])

  @Test(arguments: ["resnet20", "tf_efficientnet_lite0", "efficientnet_b0"]) func everyTargetGivesTheSameIntegers(
    _ name: String
  ) throws {
    let model = try Model(
      name, options: ModelOptions(inputShape: [40, 40, 3], classes: 10, classifierActivation: nil))
    let x = try images(1, 40)
    let quantized = try model.quantized(calibration: x, options: QuantizationOptions(method: .minmax))
    let expected = try scores(quantized, x, on: nil)
    for set in Self.instructionSets {
      #expect(try scores(quantized, x, on: CodeTarget(set)) == expected, "\(set)")
    }
  }

  @Test(arguments: ["resnet18", "efficientnet_b0"]) func pixelsAreTakenAsTheyCome(_ name: String) throws {
    let model = try Model(
      name, options: ModelOptions(inputShape: [48, 40, 3], classes: 10, classifierActivation: nil))
    var x = [UInt8](repeating: 0, count: 2 * 48 * 40 * 3), state: UInt32 = 7
    for index in x.indices {
      state = state &* 1_664_525 &+ 1_013_904_223
      x[index] = UInt8(state >> 24)
    }
    let input = try Tensor(x, shape: [2, 48, 40, 3])
    let quantized = try model.quantized(calibration: input, options: QuantizationOptions(method: .minmax))
    let expected = try model.predict(input), result = try quantized.predict(input)
    var error: Float = 0, size: Float = 0
    for (a, b) in zip(expected.floats, result.floats) { error += (a - b) * (a - b); size += a * a }
    #expect(error / size < 0.01)
    #expect(quantized.graph.text.contains("fake_quantize"))
  }

  /// Pictures become rows in integers, in the order of Keras and in that of PyTorch.
  @Test(arguments: [false, true]) func picturesAreFlattenedInIntegers(_ channelsFirst: Bool) throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [9, 7, 3])
    x = try builder.activation(
      .relu, builder.convolution(x, "first", outputChannels: 21, kernel: (3, 3), bias: true), "relu")
    x = try builder.apply(Pooling2D(.max, kernel: [2, 2], stride: [1, 1]), x)
    if channelsFirst { x = try builder.apply(Permute([0, 3, 1, 2]), x) }
    x = try builder.activation(
      .relu, builder.dense(builder.apply(Reshape.flatten, x), "hidden", units: 40), "hidden_relu")
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 7))
    let model = try Model(builder.graph, name: "rows", seed: 4)
    let x0 = try Tensor(zeros: [2, 9, 7, 3])
    for index in x0.floats.indices { x0.floats[index] = Float((index &* 7919) % 257) / 128 - 1 }
    let quantized = try model.quantized(calibration: x0, options: QuantizationOptions(method: .minmax, strict: true))
    #expect(try quantized.quantizationReport().islands.isEmpty)
    let plan = try Compiler.inferencePlan(
      quantized.network, inputs: [TensorType(.float32, x0.shape)], normalization: quantized.pixelNormalization,
      threads: 1)
    let kinds = plan.graph.nodes.map(\.operation.kind)
    #expect(kinds.contains("quantized_reshape") && kinds.contains("quantized_permute") == channelsFirst)
    #expect(kinds.count { $0 == "quantize" } == 1 && !kinds.contains("dequantize"))
    let expected = try scores(quantized, x0, on: nil), floats = try model.predict(x0)
    for set in Self.instructionSets {
      #expect(try scores(quantized, x0, on: CodeTarget(set)) == expected, "\(set)")
    }
    var error: Float = 0, size: Float = 0
    for (a, b) in zip(floats.floats, expected) { (error, size) = (error + (a - b) * (a - b), size + a * a) }
    #expect(error / size < 0.01)
  }

  /// A network of every operation that is computed in integers.
  private static func everyOperation() throws -> Model {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [17, 14, 5])
    x = try builder.convolution(x, "stem", outputChannels: 70, kernel: (3, 3), padding: .same)
    x = try builder.activation(.silu, x, "stem_silu")
    x = try builder.apply(Pooling2D(.max, kernel: [3, 3], stride: [2, 2], padding: .same), x)
    let wide = try builder.activation(
      .silu, builder.depthwiseConvolution(x, "wide", kernel: (5, 5), padding: .same, bias: true), "wide_silu")
    let narrow = try builder.activation(
      .relu, builder.convolution(x, "narrow", outputChannels: 23, kernel: (1, 1), bias: true), "narrow_relu")
    x = try builder.apply(Concatenate(), wide, narrow)
    x = try builder.apply(Pooling2D(.average, kernel: [2, 2], stride: [1, 1]), x)
    let other = try builder.apply(
      Pooling2D(.average, kernel: [3, 3], stride: [1, 1], padding: .same),
      builder.depthwiseConvolution(x, "strip", kernel: (1, 3), padding: .same))
    x = try builder.apply(Add(), x, other)
    x = try builder.activation(.elu, x, "elu")
    var scale = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), x)
    scale = try builder.activation(
      .sigmoid, builder.convolution(scale, "excite", outputChannels: 93, kernel: (1, 1), bias: true), "gate")
    x = try builder.apply(Multiply(), x, scale)
    x = try builder.apply(GlobalPooling2D(.average), x)
    try builder.graph.addOutput("y", builder.dense(x, "fc", units: 7))
    return try Model(builder.graph, name: "every operation", seed: 5)
  }

  @Test func everyOperationGivesTheSameIntegersOnEveryTarget() throws {
    let x = try Tensor(zeros: [3, 17, 14, 5])
    for index in x.floats.indices { x.floats[index] = Float((index &* 7919) % 257) / 128 - 1 }
    let model = try Self.everyOperation()
    let quantized = try model.quantized(calibration: x, options: QuantizationOptions(method: .minmax))
    #expect(quantized.network.nodes.count { $0.operation is FakeQuantize } > 15)
    let expected = try scores(quantized, x, on: nil)
    for set in Self.instructionSets {
      #expect(try scores(quantized, x, on: CodeTarget(set)) == expected, "\(set)")
    }
    let floats = try model.predict(x)
    var error: Float = 0, size: Float = 0
    for (a, b) in zip(floats.floats, expected) { (error, size) = (error + (a - b) * (a - b), size + a * a) }
    #expect(error / size < 0.01)
  }

  /// Depthwise convolutions whose input has a scale for each channel, behind everything that can give it, as NNCF has them.
  private static func scalesOfChannels() throws -> Graph {
    var builder = GraphBuilder()
    let image = try builder.input(shape: [13, 11, 5])
    var results: [Value] = []
    let functions: [ActivationFunction?] = [.silu, .relu, .relu6, .hardSwish, nil]
    for (index, function) in (functions + functions).enumerated() {
      var x = try builder.convolution(image, "wide\(index)", outputChannels: 70, kernel: (1, 1), bias: true)
      if let function { x = try builder.activation(function, x, "wide\(index).act") }
      let isPositive = function == .relu || function == .relu6
      let scale = (0..<70).map { (isPositive ? 6.0 : 3.0) / (isPositive ? 255 : 127) / Double(1 + $0 % 9) }
      let zeroPoint = index < functions.count ? [0] : (0..<70).map { Double($0 % 20) }
      x = try builder.apply(
        FakeQuantize(
          scale: scale, zeroPoint: zeroPoint, minimum: isPositive ? 0 : -128, maximum: isPositive ? 255 : 127), x)
      results.append(try builder.depthwiseConvolution(x, "each\(index)", kernel: (3, 3), padding: .same, bias: true))
    }
    var x = results[0]
    for result in results.dropFirst() { x = try builder.apply(Concatenate(), x, result) }
    try builder.graph.addOutput("y", x)
    return builder.graph
  }

  @Test func scalesOfChannelsGiveTheSameIntegersOnEveryTarget() throws {
    let x = try images(3, 13), given = try Tensor(zeros: [3, 13, 11, 5])
    for index in given.floats.indices { given.floats[index] = x.floats[index % x.floats.count] }
    let model = try Model(Self.scalesOfChannels(), name: "scales of channels", seed: 5)
    var levels: [String: ByteLevels] = [:], weights: [String: WeightLevels] = [:]
    levels[model.network.inputs[0].name] = ByteLevels(scale: 1 / 128, zeroPoint: 128)
    for index in 0..<10 {
      levels["each\(index)"] = ByteLevels(scale: 0.002, zeroPoint: 128)
      weights["wide\(index)"] = WeightLevels(scales: (0..<70).map { 0.01 + 0.0001 * Float($0) })
      weights["each\(index)"] = WeightLevels(scales: [0.02])
    }
    let network = try model.network.rounding(levels, weights: weights)
    #expect(try network.floatIslands().isEmpty)
    let expected = try scores(model, given, on: nil, network: network)
    for set in Self.instructionSets {
      #expect(try scores(model, given, on: CodeTarget(set), network: network) == expected, "\(set)")
    }
    let floats = try scores(model, given, on: nil)  // without most of the roundings
    #expect(zip(floats, expected).allSatisfy { abs($0 - $1) < 0.03 } && Set(expected).count > 100)
  }
}
