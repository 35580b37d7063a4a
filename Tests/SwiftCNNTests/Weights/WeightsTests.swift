import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct WeightsTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func model(_ name: String, classes: Int = 5, seed: UInt64 = 1) throws -> Model {
    var options = ModelOptions()
    (options.classes, options.seed, options.inputShape) = (classes, seed, [32, 32, 3])
    return try Model(name, options: options)
  }

  /// What other libraries call the tensors, from Tests/Golden/weight_names.json.
  private static func names(_ library: String, _ model: String, from source: String = #filePath) throws -> [String] {
    let path = "\(goldenFolder(from: source))/weight_names.json"
    let text = try #require(contents(of: path))
    let document = try #require(try JSON(parsing: text).objectValue)
    return try #require(try document.object(library)[model]?.arrayValue).compactMap(\.stringValue)
  }

  @Test(arguments: [
    ("efficientnet_b0", WeightNaming.torchvision, "efficientnet_b0"),
    ("efficientnet_b0", .timm, "efficientnet_b0"),
    ("efficientnet_b0", .efficientNetPyTorch, "efficientnet-b0"),
    ("efficientnet_v2_s", .torchvision, "efficientnet_v2_s"),
    ("efficientnet_v2_s", .timm, "tf_efficientnetv2_s"),
    ("tf_efficientnetv2_s", .torchvision, "efficientnet_v2_s"),
    ("tf_efficientnet_b0", .torchvision, "efficientnet_b0"),
    ("tf_efficientnet_lite0", .timm, "tf_efficientnet_lite0"),
  ])
  func namesAreThoseOfTheLibrary(_ ours: String, _ naming: WeightNaming, _ theirs: String) throws {
    let names = try #require(naming.names(of: model(ours).parameterList))
    #expect(try Set(names) == Set(Self.names(naming.rawValue, theirs)))
    #expect(Set(names).count == names.count)
  }

  @Test func fusedBlocksHaveNoNamesInALibraryWithoutThem() throws {
    #expect(try WeightNaming.efficientNetPyTorch.names(of: model("efficientnet_v2_s").parameterList) == nil)
    let error = #expect(throws: CNNError.self) {
      try model("efficientnet_v2_s").writeWeights(to: directory.file("w.pth"), naming: .efficientNetPyTorch)
    }
    #expect(error?.code == .invalidArgument)
  }

  @Test(arguments: [
    ("w.safetensors", WeightNaming.native), ("w.pth", .native), ("w.safetensors", .timm), ("w.pt", .torchvision),
    ("w.pth", .efficientNetPyTorch),
  ])
  func weightsComeBackFromEveryFormatAndNaming(_ file: String, _ naming: WeightNaming) throws {
    let model = try model("efficientnet_b0"), other = try self.model("efficientnet_b0", seed: 2)
    let path = directory.file(file)
    try model.writeWeights(to: path, naming: naming)
    let report = try other.loadWeights(from: path)
    #expect(report.isComplete && report.loaded == model.parameterList.count && report.otherClasses == nil)
    #expect(try other.bits() == model.bits())
    #expect(other.lastWeightsReport == report)
    // Names that are the library's own are found to be so.
    #expect(report.naming == (naming == .torchvision ? .native : naming))
  }

  @Test func weightsOfOneLibraryFitABuilderOfTheOther() throws {
    let model = try model("tf_efficientnet_b0"), other = try self.model("efficientnet_b0", seed: 2)
    let path = directory.file("w.pth")
    try model.writeWeights(to: path)
    #expect(try other.loadWeights(from: path).naming == .timm)
    #expect(try other.bits() == model.bits())
  }

  @Test func anotherNumberOfClassesKeepsTheBackboneAndSaysSo() throws {
    let model = try model("resnet20", classes: 7), path = directory.file("w.pth")
    try model.writeWeights(to: path)
    let other = try self.model("resnet20", classes: 3, seed: 2)
    let head = try other.values("fc.weight")
    let report = try other.loadWeights(from: path)
    #expect(report.otherClasses == 7 && report.isComplete && report.loaded == model.parameterList.count - 2)
    #expect(try other.values("fc.weight") == head)
    #expect(try other.values("conv1.weight") == model.values("conv1.weight"))

    var options = ModelOptions()
    (options.classes, options.inputShape, options.weights, options.seed) = (3, [32, 32, 3], path, 2)
    let created = try Model("resnet20", options: options)
    #expect(created.lastWeightsReport?.otherClasses == 7)
    // A head that begins as it would without weights.
    #expect(try created.values("fc.weight") == head)
    #expect(try created.bits() == other.bits())
  }

  @Test func aNetworkWithoutClassifierTakesTheRest() throws {
    let model = try model("resnet20"), path = directory.file("w.pth")
    try model.writeWeights(to: path)
    var options = ModelOptions()
    (options.includesTop, options.inputShape, options.weights) = (false, [32, 32, 3], path)
    let features = try Model("resnet20", options: options)
    #expect(features.lastWeightsReport?.isComplete == true)
    #expect(try features.values("conv1.weight") == model.values("conv1.weight"))
  }

  @Test func whatDoesNotFitIsListedAndChangesNothing() throws {
    let model = try model("resnet20"), before = try model.bits()
    let path = directory.file("w.safetensors")
    try save([("conv1.weight", [4], [1, 2, 3, 4]), ("extra.weight", [1], [1])], to: path)
    let error = try #require(throws: CNNError.self) { try model.loadWeights(from: path) }
    #expect(error.code == .malformedFile)
    for part in ["missing", "bn1.weight", "left over: extra.weight", "conv1.weight [4] instead of [16, 3, 3, 3]"] {
      #expect(error.mentions(part), "\(part) in \(error)")
    }
    #expect(try model.bits() == before)
    // Nothing of it fits: also an error where less is asked for.
    let other = try #require(throws: CNNError.self) { try model.loadWeights(from: path, strict: false) }
    #expect(other.code == .malformedFile && other.mentions("left over: extra.weight"))
    #expect(try model.bits() == before)
    try save([("conv1.weight", [4], [1, 2, 3, 4]), ("fc.bias", [5], [1, 2, 3, 4, 5]), ("b", [1], [1])], to: path)
    let report = try model.loadWeights(from: path, strict: false)
    #expect(report.leftOver == ["b"] && report.misshapen.count == 1 && report.loaded == 1)
    #expect(report.missing.count == model.parameterList.count - 2)
    #expect(try model.values("fc.bias") == [1, 2, 3, 4, 5])
  }

  @Test func theSmallerOfTwoNetworksIsNotTakenFromTheLarger() throws {
    let small = try model("resnet20"), large = try model("resnet32"), path = directory.file("w.safetensors")
    func tensors(_ model: Model, _ prefix: String) throws -> [(name: String, shape: [Int], values: [Float])] {
      try model.parameterList.map { ("\(prefix)\($0.name)", $0.shape, try model.values($0.name)) }
    }
    try save(tensors(large, "teacher.") + tensors(small, "student."), to: path)
    let other = try model("resnet20", seed: 2)
    let report = try other.loadWeights(from: path)
    #expect(report.prefix == "student." && report.passedOver.count == large.parameterList.count)
    #expect(report.matchedBy == .name && report.source.isEmpty)
    #expect(try other.bits() == small.bits())
    #expect(try model("resnet32", seed: 2).loadWeights(from: path).prefix == "teacher.")
  }

  @Test func namesGoBeforeShapesThatFitByChance() throws {
    // A network of twice the width has a few layers of this one's shapes, further on.
    var options = ModelOptions()
    (options.classes, options.inputShape) = (5, [32, 32, 3])
    options.scaling.width = 2
    let wide = try Model("resnet20", options: options), path = directory.file("w.pth")
    try wide.writeWeights(to: path)
    let model = try model("resnet20"), before = try model.bits()
    let error = try #require(throws: CNNError.self) { try model.loadWeights(from: path) }
    #expect(error.mentions("misshapen: conv1.weight [32, 3, 3, 3] instead of [16, 3, 3, 3]"))
    #expect(try model.bits() == before)
  }

  @Test(arguments: [(3, 1), (3, 4), (1, 3), (4, 2)])
  func aFirstConvolutionIsConvertedToOtherChannels(_ stored: Int, _ wanted: Int) throws {
    var options = ModelOptions()
    (options.classes, options.inputShape) = (5, [32, 32, stored])
    let source = try Model("resnet20", options: options), path = directory.file("w.pth")
    try source.writeWeights(to: path)
    options.inputShape = [32, 32, wanted]
    options.weights = path
    let model = try Model("resnet20", options: options), report = try #require(model.lastWeightsReport)
    #expect(
      report.converted == ["conv1.weight [16, \(stored), 3, 3] as [16, \(wanted), 3, 3]"] && report.isComplete)
    let old = try source.values("conv1.weight"), new = try model.values("conv1.weight")
    for position in new.indices {
      let (filter, tap) = (position / (wanted * 9), position % 9), channel = position / 9 % wanted
      let expected =
        wanted == 1
        ? (0..<stored).reduce(Float(0)) { $0 + old[(filter * stored + $1) * 9 + tap] }
        : old[(filter * stored + channel % stored) * 9 + tap] * (Float(stored) / Float(wanted))
      #expect(abs(new[position] - expected) <= 1e-6 * max(1, abs(expected)))
    }
    // Without strictness what fits as it stands is taken, and nothing is made of the rest.
    options.weights = nil
    let other = try Model("resnet20", options: options), stem = try other.values("conv1.weight")
    #expect(try other.loadWeights(from: path, strict: false).misshapen.count == 1)
    #expect(try other.values("conv1.weight") == stem)
  }

  @Test func namesInsideOfWrappersAreFound() throws {
    let model = try model("resnet20"), other = try self.model("resnet20", seed: 2)
    let path = directory.file("w.safetensors")
    let tensors = try model.parameterList.map { parameter in
      try (name: "module._orig_mod.\(parameter.name)", shape: parameter.shape, values: model.values(parameter.name))
    }
    try save(tensors, to: path)
    try other.loadWeights(from: path)
    #expect(try other.bits() == model.bits())
  }

  @Test func countersOfBatchesArePassedOverInModelFilesToo() throws {
    let model = try model("resnet20"), path = directory.file("m.safetensors")
    try model.write(to: path)
    let file = try SafetensorsFile(path: path)
    let tensors = try file.names.map { (name: $0, shape: file.shape(of: $0) ?? [], values: try file.values($0)) }
    try save(tensors + [("bn1.num_batches_tracked", [], [7])], to: path, metadata: file.metadata)
    #expect(try Model(contentsOf: path).bits() == model.bits())
    #expect(try self.model("resnet20", seed: 2).loadWeights(from: path).isComplete)
  }

  @Test func theReportIsReadableAsJSON() throws {
    let model = try model("resnet20", classes: 7), path = directory.file("w.pth")
    try model.writeWeights(to: path)
    let json = try self.model("resnet20").loadWeights(from: path).json
    #expect(json.objectValue?["other_classes"] == .integer(7))
    #expect(json.objectValue?["naming"] == "native")
    #expect(json.objectValue?["missing"] == [])
  }
}

/// Writes float32 tensors.
func save(
  _ tensors: [(name: String, shape: [Int], values: [Float])], to path: String, metadata: [String: String] = [:]
) throws {
  let memory = try tensors.map { tensor in
    let memory = try Memory(count: tensor.values.count, of: .float32, for: "a test")
    _ = memory.floats.update(fromContentsOf: tensor.values)
    return memory
  }
  try SafetensorsWriter.write(
    to: path,
    tensors: zip(tensors, memory).map { tensor, memory in
      .init(
        name: tensor.name, shape: tensor.shape, type: .float32,
        bytes: UnsafeRawBufferPointer(start: memory.base, count: tensor.values.count * 4))
    }, metadata: metadata)
  withExtendedLifetime(memory) {}
}
