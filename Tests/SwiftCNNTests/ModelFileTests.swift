import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct ModelFileTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("model.safetensors")
  }

  /// Writes tensors of these names and shapes, all elements 0.5.
  private func write(_ tensors: [(name: String, shape: [Int])], metadata: [String: String] = [:]) throws {
    let memory = try Memory(byteCount: 4 * (tensors.map { $0.shape.reduce(1, *) }.max() ?? 0), for: "test")
    memory.floats.update(repeating: 0.5)
    try SafetensorsWriter.write(
      to: path,
      tensors: tensors.map {
        .init(
          name: $0.name, shape: $0.shape, type: .float32,
          bytes: UnsafeRawBufferPointer(start: memory.base, count: 4 * $0.shape.reduce(1, *)))
      }, metadata: metadata)
  }

  private func parameters(_ model: Model) -> [(name: String, shape: [Int])] {
    model.parameterList.map { ($0.name, $0.shape) }
  }

  @Test func aFrozenNamedNormalizedModelComesBack() throws {
    let model = try Model(randomNetwork(), name: "my model", seed: 9, mean: [0.1, 0.3], deviation: [0.7, 1e-3])
    try model.setTrainable(false, matching: "conv1*")
    try model.write(to: path)
    let copy = try Model(contentsOf: path)
    #expect(copy.name == "my model")
    #expect(copy.normalization == model.normalization)
    #expect(copy.parameterList == model.parameterList)
    #expect(try copy.bits() == model.bits())
    #expect(directory.names() == ["model.safetensors"])
    // Saving again gives the same file.
    let bytes = contents(of: path)
    try copy.write(to: path)
    #expect(contents(of: path) == bytes)
  }

  @Test func memoryHoldsTheSameAsAFile() throws {
    let bytes = try checkpoint(), model = try Model(contentsOf: path)
    for includesTraining in [true, false] {
      try model.write(to: path, includingTrainingState: includesTraining)
      let count = try model.write(into: .init(start: nil, count: 0), includingTrainingState: includesTraining)
      var copy = [UInt8](repeating: 7, count: count + 3)
      #expect(
        try copy.withUnsafeMutableBytes {
          try model.write(into: .init(rebasing: $0[..<(count - 1)]), includingTrainingState: includesTraining)
        } == count)
      #expect(copy.allSatisfy { $0 == 7 })
      #expect(
        try copy.withUnsafeMutableBytes { try model.write(into: $0, includingTrainingState: includesTraining) } == count
      )
      #expect(Array(copy[..<count]) == contents(of: path) && copy[count...].allSatisfy { $0 == 7 })
    }
    let loaded = try bytes.withUnsafeBytes { bytes throws(CNNError) in try Model(bytes: bytes) }
    try loaded.write(to: path, includingTrainingState: true)
    #expect(contents(of: path) == bytes)
    for end in [0, 1, 8, 9, bytes.count / 2, bytes.count - 1] {
      expectError(.malformedFile, "'model in memory'") {
        _ = try bytes[..<end].withUnsafeBytes { bytes throws(CNNError) in try Model(bytes: bytes) }
      }
    }
    expectError(.invalidState, "compile") {
      _ = try Model(randomNetwork(), name: "random").write(
        into: .init(start: nil, count: 0), includingTrainingState: true)
    }
  }

  /// Each number of a model, rounded as `BFloat16` rounds.
  private func rounded(_ model: Model) throws -> [UInt32] {
    try model.bits().map { Float(BFloat16(Float(bitPattern: $0))).bitPattern }
  }

  @Test func aFileInBFloat16HasHalfTheSizeAndTheRoundedNumbers() throws {
    let model = try Model(randomNetwork(), name: "random"), before = try model.bits()
    try model.write(to: path, precision: .bfloat16)
    let file = try SafetensorsFile(path: path)
    #expect(file.tensors.allSatisfy { $0.type == .bfloat16 && $0.byteRange.count == 2 * $0.elementCount })
    #expect(file.tensors.count == model.parameterList.count)
    #expect(file.metadata[ModelFile.modelKey]?.contains(#""dtype":"bfloat16""#) == true)
    let loaded = try Model(contentsOf: path)
    #expect(try loaded.bits() == rounded(model))
    #expect(try model.bits() == before && loaded.bits() != before)
    #expect(directory.names() == ["model.safetensors"])
    // What is rounded already stays, whatever it is written as.
    try loaded.write(to: path)
    #expect(try Model(contentsOf: path).bits() == loaded.bits())
    #expect(try SafetensorsFile(path: path).tensors.allSatisfy { $0.type == .float32 })
  }

  @Test func memoryInBFloat16HoldsTheSameAsAFile() throws {
    let model = try Model(randomNetwork(), name: "random")
    try model.write(to: path, precision: .bfloat16)
    let count = try model.write(into: .init(start: nil, count: 0), precision: .bfloat16)
    var copy = [UInt8](repeating: 7, count: count + 1)
    #expect(try copy.withUnsafeMutableBytes { try model.write(into: $0, precision: .bfloat16) } == count)
    #expect(copy.dropLast() == contents(of: path)?[...] && copy.last == 7)
  }

  @Test(arguments: ["w.safetensors", "w.pth"])
  func weightsInBFloat16AreLoadedAsRounded(name: String) throws {
    let model = try Model(randomNetwork(), name: "random", seed: 1), path = directory.file(name)
    try model.writeWeights(to: path, precision: .bfloat16)
    let other = try Model(randomNetwork(), name: "random", seed: 2)
    #expect(try other.loadWeights(from: path).isComplete)
    #expect(try other.bits() == rounded(model))
  }

  @Test func aTrainingStateIsFloat32() throws {
    _ = try checkpoint()
    let bytes = contents(of: path), model = try Model(contentsOf: path)
    expectError(.invalidArgument, "precision is 'bfloat16'") {
      try model.write(to: path, includingTrainingState: true, precision: .bfloat16)
    }
    expectError(.invalidArgument, "precision is 'bfloat16'") {
      _ = try model.write(into: .init(start: nil, count: 0), includingTrainingState: true, precision: .bfloat16)
    }
    #expect(contents(of: path) == bytes)
  }

  @Test func aModelFileMayHaveAnyTypeForEachTensor() throws {
    let model = try Model(randomNetwork(), name: "random")
    try model.write(to: path)
    let file = try SafetensorsFile(path: path)
    let half = try Memory(byteCount: 4 * (model.parameterList.map { $0.shape.reduce(1, *) }.max() ?? 0), for: "test")
    half.floats.update(repeating: 1.00390625)  // between two of bfloat16
    try SafetensorsWriter.write(
      to: path,
      tensors: model.parameterList.enumerated().map { index, parameter in
        .init(
          name: parameter.name, shape: parameter.shape, type: .float32,
          storedAs: index % 2 == 0 ? .bfloat16 : .float32,
          bytes: UnsafeRawBufferPointer(start: half.base, count: 4 * parameter.shape.reduce(1, *)))
      }, metadata: file.metadata)
    let loaded = try Model(contentsOf: path)
    for (index, parameter) in model.parameterList.enumerated() {
      let expected: Float = index % 2 == 0 ? 1 : 1.00390625
      #expect(try loaded.values(parameter.name).allSatisfy { $0 == expected })
    }
  }

  @Test func aBareStateDictIsLoaded() throws {
    let model = try Model(randomNetwork(), name: "random"), data = try imageData(2)
    let before = try model.predict(data.x.view).bits
    try write(parameters(model) + [("bn1.num_batches_tracked", []), ("num_batches_tracked", [])])
    try model.loadWeights(from: path)
    #expect(try model.bits().allSatisfy { Float(bitPattern: $0) == 0.5 })
    #expect(try model.predict(data.x.view).bits != before)
    expectError(.malformedFile, "has weights but no network") { _ = try Model(contentsOf: path) }
  }

  @Test func whatDoesNotFitIsListedAndNothingIsLoaded() throws {
    let model = try Model(randomNetwork(), name: "random")
    let before = try model.bits()
    var tensors = parameters(model).filter { $0.name != "fc.bias" && $0.name != "bn1.weight" }
    tensors += [("fc.extra", [2]), ("num_batches_trackedx", [1])]
    let position = try #require(tensors.firstIndex { $0.name == "fc.weight" })
    tensors[position].shape = [4, 3]
    try write(tensors)
    for part in [
      "2 missing: ", "fc.bias", "bn1.weight", "2 left over: ", "fc.extra", "num_batches_trackedx",
      "1 misshapen: fc.weight [4, 3] instead of [3, 4]",
    ] {
      expectError(.malformedFile, part) { try model.loadWeights(from: path) }
    }
    #expect(try model.bits() == before)
  }

  @Test func longListsAreCut() throws {
    let model = try Model(randomNetwork(), name: "random")
    try write(parameters(model) + (0..<1000).map { ("extra\($0)", [1]) })
    let error = #expect(throws: CNNError.self) { try model.loadWeights(from: path) }
    #expect(error?.message.contains("1000 left over: ") == true && (error?.message.count ?? 0) < 1000)
  }

  @Test func missingFilesAndDirectoriesAreNamed() throws {
    let model = try Model(randomNetwork(), name: "random")
    expectError(.inputOutput, "/nowhere/m") { _ = try Model(contentsOf: "/nowhere/m") }
    expectError(.inputOutput, "/nowhere/m") { try model.write(to: "/nowhere/m") }
    expectError(.inputOutput, directory.path) { _ = try Model(contentsOf: directory.path) }
    expectError(.inputOutput, "/nowhere/m") { try model.loadWeights(from: "/nowhere/m") }
  }

  /// A checkpoint's bytes, with a training state.
  private func checkpoint() throws -> [UInt8] {
    let model = try Model(randomNetwork(), name: "random"), data = try imageData(4)
    try model.compile(
      #"{"optimizer": {"name": "adam", "ema_decay": 0.9}, "schedule": {"name": "cosine", "total_steps": 9}}"#)
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    try model.write(to: path, includingTrainingState: true)
    return try #require(contents(of: path))
  }

  /// Opens what is at `path`: a model that works, or a `CNNError`.
  private func open(_ data: Tensor) throws -> Bool {
    do throws(CNNError) {
      let model = try Model(contentsOf: path)
      if Array(data.shape.dropFirst()) == model.inputShape { _ = try? model.predict(data.view) }
      return true
    } catch {
      #expect([.malformedFile, .inputOutput, .outOfMemory].contains(error.code), "\(error.code) \(error.message)")
      return false
    }
  }

  @Test func truncatedFilesAreRefused() throws {
    let bytes = try checkpoint(), data = try imageData(2).x
    #expect(try open(data))
    var lengths = Array(0..<64) + [bytes.count - 1, bytes.count - 4]
    lengths += stride(from: 64, to: bytes.count, by: max(1, bytes.count / 200))
    for length in lengths {
      try put(Array(bytes[..<length]), to: path)
      #expect(try !open(data), "\(length) of \(bytes.count) bytes")
    }
    try put(bytes + [0], to: path)
    #expect(try !open(data), "a byte too many")
  }

  @Test func changedBytesNeverCrash() throws {
    let bytes = try checkpoint(), data = try imageData(2).x
    let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8 + Int(bytes[2]) << 16
    var random = PhiloxGenerator(seed: 21, stream: 0)
    var refused = 0
    for _ in 0..<1500 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        // Mostly digits and punctuation in the header, where they change meaning and not only form.
        let index = Int.random(in: 0..<header, using: &random)
        changed[index] =
          Bool.random(using: &random)
          ? Array("0123456789,:[]{}-".utf8).randomElement(using: &random) ?? 0
          : UInt8.random(in: 0...255, using: &random)
      }
      try put(changed, to: path)
      if try !open(data) { refused += 1 }
    }
    #expect(refused > 100)
  }

  static let metadataFaults: [(key: String, value: String?, message: String)] = [
    ("swiftcnn.graph", "not a graph", "JSON"), ("swiftcnn.graph", "{}", "the graph: member 'inputs' is missing"),
    ("swiftcnn.graph", nil, "has weights but no network"), ("swiftcnn.model", nil, "has weights but no network"),
    ("swiftcnn.graph", #"{"inputs":[],"parameters":[],"nodes":[],"outputs":[]}"#, "12 left over"),
    ("swiftcnn.model", "[]", "the metadata is not an object"), ("swiftcnn.model", "{}", "member 'format' is missing"),
    ("swiftcnn.model", #"{"format": 4}"#, "format 4 is not known"),
    ("swiftcnn.model", #"{"format": 1, "name": 3, "mean": [], "std": []}"#, "name"),
    ("swiftcnn.model", #"{"format": 1, "name": "m", "mean": [], "std": []}"#, "expected 2 finite numbers"),
    ("swiftcnn.model", #"{"format": 1, "name": "m", "mean": [0, 0], "std": [0, 1]}"#, "std above 0"),
    ("swiftcnn.training", "{}", "member 'settings' is missing"),
    ("swiftcnn.training", #"{"settings": {"optimizer": "sgdx"}}"#, "unknown optimizer 'sgdx'"),
    ("swiftcnn.training", #"{"settings": {"optimizer": "sgd"}, "schedule": 3}"#, "schedule"),
    (
      "swiftcnn.training",
      #"{"settings": {"optimizer": "sgd"}, "schedule": "constant", "step": -1, "epoch": 0, "batch": 0, "epoch_start": 0, "schedule_start": 0, "sums": [], "samples": 0}"#,
      "a count out of range"
    ),
    (
      "swiftcnn.training",
      #"{"settings": {"optimizer": "sgd"}, "schedule": "constant", "step": 9223372036854775807, "epoch": 0, "batch": 0, "epoch_start": 0, "schedule_start": 0, "sums": [], "samples": 0}"#,
      "a count out of range"
    ),
    (
      "swiftcnn.training",
      #"{"settings": {"optimizer": "adam"}, "schedule": "constant", "step": 1, "epoch": 0, "batch": 0, "epoch_start": 0, "schedule_start": 0, "sums": [], "samples": 0}"#,
      "optimizer.mean/"
    ),
    (
      "swiftcnn.training",
      #"{"settings": {"optimizer": {"name": "sgd", "ema_decay": 0.5}}, "schedule": "constant", "step": 1, "epoch": 0, "batch": 0, "epoch_start": 0, "schedule_start": 0, "sums": [], "samples": 0}"#,
      "optimizer.ema/"
    ),
  ]

  @Test(arguments: metadataFaults) func wrongMetadataIsNamed(_ key: String, _ value: String?, _ message: String) throws
  {
    let model = try Model(randomNetwork(), name: "random")
    try model.write(to: path)
    var metadata = try SafetensorsFile(path: path).metadata
    metadata[key] = value
    try write(parameters(model), metadata: metadata)
    expectError(.malformedFile, message) { _ = try Model(contentsOf: path) }
    expectError(.malformedFile, path) { _ = try Model(contentsOf: path) }
  }

  @Test func aGraphThatIsLargerThanItsFileIsRefused() throws {
    let model = try Model(randomNetwork(), name: "random")
    try model.write(to: path)
    var metadata = try SafetensorsFile(path: path).metadata
    metadata["swiftcnn.graph"] =
      #"{"inputs":[{"name":"x","element":"float32","shape":[1,2]}],"parameters":[{"name":"w","shape":[1048576,1048576],"#
      + #""role":"weight","initializer":"zeros"}],"nodes":[{"name":"y","operation":"softmax","attributes":{},"#
      + #""operands":["x"]}],"outputs":[{"name":"y","value":"y"}]}"#
    try write([], metadata: metadata)
    expectError(.malformedFile, "1 missing: w") { _ = try Model(contentsOf: path) }
  }

  /// A gradient operation in a file whose operands are smaller than its kernel reads.
  @Test func operationsInAFileCannotReadBeyondTheirOperands() throws {
    let model = try Model(randomNetwork(), name: "random")
    try model.write(to: path)
    var metadata = try SafetensorsFile(path: path).metadata
    metadata["swiftcnn.graph"] =
      #"{"inputs":[{"name":"x","element":"float32","shape":[1,6,6,2]}],"parameters":[{"name":"g","shape":[1],"#
      + #""role":"weight","initializer":"zeros"}],"nodes":[{"name":"y","operation":"batch_norm_gradient","#
      + #""attributes":{"epsilon":0.1},"operands":["x","x","g","g","g"]}],"outputs":[{"name":"y","value":"y"}]}"#
    try write([("g", [1])], metadata: metadata)
    expectError(.malformedFile, "gamma has shape [1]; expected [2]") { _ = try Model(contentsOf: path) }
  }
}
