import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct PrecisionTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("model.safetensors")
  }

  private func model(_ precision: PrecisionPolicy = .bfloat16) throws -> Model {
    let model = try Model(randomNetwork(), name: "random")
    model.setPrecision(precision)
    return model
  }

  @Test func aModelComputesInFloat32UnlessItIsTold() throws {
    #expect(try Model(randomNetwork(), name: "random").precision == .float32)
    #expect(try Model("resnet20", options: ModelOptions()).precision == .float32)
    #expect(try Model("resnet20", options: ModelOptions(precision: .bfloat16)).precision == .bfloat16)
    let json: JSONObject = try #require(JSON(parsing: #"{"dtype": "bfloat16"}"#).objectValue)
    #expect(try ModelOptions(json: json).precision == .bfloat16)
    #expect(try CustomModelOptions(json: json).precision == .bfloat16)
    #expect(try Model(network: randomNetwork().json, options: CustomModelOptions(json: json)).precision == .bfloat16)
  }

  @Test func itGoesWithTheModelIntoCopiesAndFiles() throws {
    let model = try model()
    #expect(try model.copy().precision == .bfloat16)
    for stored in Precision.allCases {
      try model.write(to: path, precision: stored)
      #expect(try Model(contentsOf: path).precision == .bfloat16)
    }
    // Which is not what the file has of the parameters.
    model.setPrecision(.float32)
    try model.write(to: path, precision: .bfloat16)
    #expect(try Model(contentsOf: path).precision == .float32)
    // Parameters of another model come without it.
    try model.copyState(of: self.model())
    #expect(model.precision == .float32)
  }

  /// Writes a model file whose header says something else for a key; nil says nothing.
  private func write(_ key: String, _ value: JSON?) throws {
    let model = try model()
    try model.write(to: path)
    let file = try SafetensorsFile(path: path)
    var metadata = file.metadata
    var header = try ModelFile.object(#require(metadata[ModelFile.modelKey]))
    header[key] = value
    metadata[ModelFile.modelKey] = try JSON.object(header).serialized()
    let values = try model.parameterList.map { try Tensor(model.values($0.name), shape: $0.shape) }
    try SafetensorsWriter.write(
      to: path,
      tensors: zip(model.parameterList, values).map {
        .init(name: $0.name, shape: $0.shape, type: .float32, bytes: UnsafeRawBufferPointer($1.floats))
      }, metadata: metadata)
    withExtendedLifetime(values) {}
  }

  @Test func filesThatDoNotSayItAreFloat32() throws {
    try write("precision", nil)
    #expect(try Model(contentsOf: path).precision == .float32)
  }

  @Test(arguments: [JSON.string("int3"), .integer(16), .array([])])
  func aFileWithAPrecisionThatIsNoneIsMalformed(value: JSON) throws {
    try write("precision", value)
    expectError(.malformedFile, "precision") { _ = try Model(contentsOf: path) }
  }

  @Test func everyLayerSaysWhatItIsComputedInAndWhyNotInWhatWasAskedFor() throws {
    for asked in PrecisionPolicy.allCases {
      let model = try Model("resnet20", options: ModelOptions(inputShape: [8, 8, 3], classes: 4, precision: asked))
      let rows = try model.layerPrecisions()
      #expect(Set(rows.map(\.layer)).isSuperset(of: model.tensorNames))
      #expect(Set(rows.map(\.layer)).count == rows.count)
      for row in rows {
        #expect((row.element == asked.prediction.element) == row.reason.isEmpty, "\(row)")
        #expect(!row.instruction.isEmpty)
      }
    }
  }

  /// Whichever steps are of bfloat16 here, what a whole network says is near what it says in float32.
  @Test func anEfficientNetInBFloat16SaysNearlyWhatItSaysInFloat32() throws {
    let options = ModelOptions(inputShape: [64, 64, 3], classes: 10)
    let model = try Model("efficientnet_b0", options: options), x = try imageData(2, height: 64, channels: 3).x
    try model.fillWithFormula()
    // Functions and gates make numbers smaller; so an image is still seen at the end.
    for parameter in model.parameterList where parameter.shape.count == 4 {
      try model.set(parameter.name, model.values(parameter.name).map { 1.7 * $0 })
    }
    // By how much each class is more or less likely than it would be by chance.
    func preferences() throws -> [Float] {
      let y = try model.predict(x.view)
      return withExtendedLifetime(y) { y.floats.map { $0 - 0.1 } }
    }
    let expected = try preferences()
    #expect(zip(expected[..<10], expected[10...]).contains { abs($0 - $1) > 0.02 })
    model.setPrecision(.bfloat16)
    expectClose(try preferences(), expected, 0.05, "efficientnet_b0")
  }

  @Test func plansAreKeptForEachPrecision() throws {
    let model = try model(.float32), x = try imageData(2).x
    func hasPlan(_ precision: Precision) throws -> Bool {
      try model.plans.hasPlan(
        PlanCache.Key(
          purpose: .prediction(outputs: model.outputNames), inputs: [TensorType(x.element, x.shape)],
          threads: Threads.count, precision: precision))
    }
    let before = try model.predict(x.view).bits
    #expect(try hasPlan(.float32) && !hasPlan(.bfloat16))
    model.setPrecision(.bfloat16)
    _ = try model.predict(x.view)
    #expect(try hasPlan(.float32) && hasPlan(.bfloat16))
    model.setPrecision(.float32)
    #expect(try model.predict(x.view).bits == before)
  }

  @Test func trainingDependsOnMixedPrecisionAlone() throws {
    let data = try imageData(4)
    var bits: [[UInt32]] = []
    for precision in [PrecisionPolicy.float32, .bfloat16] {
      let model = try model(precision)
      try model.compile(#"{"optimizer": "adam"}"#)
      _ = try model.trainOnBatch(data.x.view, data.y.view)
      _ = try model.predict(data.x.view)
      _ = try model.trainOnBatch(data.x.view, data.y.view)
      bits.append(try model.bits())
    }
    #expect(bits[0] == bits[1])
  }

  /// A run that stops and goes on in the same precision ends in the same bits; it may go on in another.
  @Test func mixedTrainingIsResumedInEitherPrecision() throws {
    let data = try imageData(8)
    func trained(_ first: PrecisionPolicy, _ second: PrecisionPolicy, stops: Bool) throws -> [UInt32] {
      var model = try model(first)
      try model.compile(#"{"optimizer": "adam", "seed": 3}"#)
      for _ in 0..<3 { _ = try model.trainOnBatch(data.x.view, data.y.view) }
      if stops {
        try model.write(to: path, includingTrainingState: true)
        model = try Model(contentsOf: path)
        #expect(model.precision == first)
      }
      model.setPrecision(second)
      for _ in 0..<3 { _ = try model.trainOnBatch(data.x.view, data.y.view) }
      return try model.bits()
    }
    for (first, second) in [
      (PrecisionPolicy.mixedBFloat16, PrecisionPolicy.mixedBFloat16), (.mixedBFloat16, .float32),
      (.float32, .mixedBFloat16),
    ] {
      #expect(try trained(first, second, stops: true) == trained(first, second, stops: false), "\(first) \(second)")
    }
  }

  /// A run is in one precision from its beginning to its end; the next one may be in another.
  @Test func aRunStaysInItsPrecision() throws {
    let data = try imageData(8), model = try model(.mixedBFloat16)
    try model.compile(#"{"optimizer": "sgd"}"#)
    var options = FitOptions()
    (options.batchSize, options.epochs) = (4, 2)
    let run = try TrainingRun(model, data.x.view, data.y.view, options: options)
    _ = try run.step()
    let bits = try model.bits()
    model.setPrecision(.bfloat16)
    expectError(.invalidState, "the precision bfloat16 is in float32; this training run was begun in bfloat16") {
      _ = try run.step()
    }
    #expect(try model.bits() == bits)
    model.setPrecision(.mixedBFloat16)
    _ = try run.step()
    model.setPrecision(.float32)
    _ = try TrainingRun(model, data.x.view, data.y.view, options: options).step()
  }

  /// What is too large names the layer where it is made, and the weights stay.
  @Test func numbersThatAreNoneNameTheLayer() throws {
    let data = try imageData(4)
    for precision in PrecisionPolicy.allCases {
      let model = try model(precision)
      try model.compile(#"{"optimizer": "adam"}"#)
      let huge = [Float](repeating: 3e38, count: 144)
      try huge.withUnsafeBufferPointer { try model.setValues(at: model.position(of: "conv2.weight"), $0) }
      let before = try model.bits()
      expectError(.notFinite, "in 'conv2'; the weights are those before the step") {
        _ = try model.trainOnBatch(data.x.view, data.y.view)
      }
      #expect(try model.bits() == before)
    }
  }

  @Test func summaryAndProfileSayIt() throws {
    let model = try model(.float32), data = try imageData(2)
    #expect(!model.summary.contains("precision"))
    #expect(try model.profile(data.x.view, repeats: 1).precision == .float32)
    model.setPrecision(.bfloat16)
    #expect(model.summary.hasSuffix("\nprecision: bfloat16"))
    #expect(try model.fusedSummary().hasSuffix("\nprecision: bfloat16"))
    let profile = try model.profile(data.x.view, repeats: 1)
    #expect(profile.precision == .bfloat16 && profile.text.contains("precision bfloat16"))
    #expect(profile.json.contains(#""precision":"bfloat16""#))
    try model.compile(#"{"optimizer": "sgd"}"#)
    #expect(try model.profile(data.x.view, data.y.view, repeats: 1).precision == .float32)
  }
}
