import CNNCore
import Glibc
import Testing

@testable import SwiftCNN

@Suite struct ShardedFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func model(seed: UInt64) throws -> Model {
    var options = ModelOptions()
    (options.classes, options.seed, options.inputShape) = (5, seed, [32, 32, 3])
    return try Model("resnet20", options: options)
  }

  /// Writes the model's weights in two files and an index, and gives the index's path.
  private func shards(_ model: Model, _ index: String, files: [String]) throws -> String {
    let tensors = try model.parameterList.map { (name: $0.name, shape: $0.shape, values: try model.values($0.name)) }
    var map = JSONObject()
    for (position, file) in files.enumerated() {
      let part = tensors.indices.filter { $0 % files.count == position }.map { tensors[$0] }
      for tensor in part { map[tensor.name] = .string(file) }
      try save(part, to: directory.file(file))
    }
    let path = directory.file(index), text: JSON = ["metadata": ["total_size": 1], "weight_map": .object(map)]
    try put(Array(text.serialized().utf8), to: path)
    return path
  }

  @Test func weightsInSeveralFilesAreReadByTheirIndexOrFolder() throws {
    let source = try model(seed: 1)
    let index = try shards(
      source, "model.safetensors.index.json", files: ["m-1-of-2.safetensors", "m-2-of-2.safetensors"])
    for path in [index, directory.path] {
      let other = try model(seed: 2), report = try other.loadWeights(from: path)
      #expect(report.isComplete && report.path == index)
      #expect(try other.bits() == source.bits())
    }
    // A single one, for what it has.
    let other = try model(seed: 2)
    let report = try other.loadWeights(from: directory.file("m-1-of-2.safetensors"), strict: false)
    #expect(report.loaded == (source.parameterList.count + 1) / 2 && report.leftOver.isEmpty)
  }

  @Test func aLinkOfACacheIsFollowed() throws {
    let source = try model(seed: 1)
    _ = try shards(source, "m.index.json", files: ["a.safetensors"])
    let folder = directory.file("snapshot")
    #expect(mkdir(folder, 0o777) == 0)
    defer {
      for name in ["m.index.json", "a.safetensors"] { unlink("\(folder)/\(name)") }
      rmdir(folder)
    }
    for name in ["m.index.json", "a.safetensors"] { #expect(symlink("../\(name)", "\(folder)/\(name)") == 0) }
    #expect(try model(seed: 2).loadWeights(from: "\(folder)/m.index.json").isComplete)
  }

  @Test func aMissingFileIsNamed() throws {
    let index = try shards(model(seed: 1), "m.index.json", files: ["a.safetensors", "b.safetensors"])
    unlink(directory.file("b.safetensors"))
    let error = try #require(throws: CNNError.self) { try model(seed: 2).loadWeights(from: index) }
    #expect(error.code == .inputOutput && error.systemCode == ENOENT && error.mentions("b.safetensors"))
  }

  @Test(arguments: [
    (#"{"weight_map": {"a": "../a.safetensors"}}"#, "outside"), (#"{"weight_map": {"a": "/etc/passwd"}}"#, "outside"),
    (#"{"weight_map": {"a": "x/../../b"}}"#, "outside"), (#"{"weight_map": {"a": 3}}"#, "is not text"),
    (#"{"weight_map": {"nowhere": "a.safetensors"}}"#, "does not have it"), (#"{"weights": {}}"#, "weight_map"),
    ("[1]", "not an object"), ("", "not an index"), (#"{"weight_map": {"a": "bad.index.json"}}"#, "a JSON file"),
  ])
  func aBadIndexIsRefused(_ text: String, _ message: String) throws {
    try save([("a", [1], [1])], to: directory.file("a.safetensors"))
    let path = directory.file("bad.index.json")
    try put(Array(text.utf8), to: path)
    let error = try #require(throws: CNNError.self) { try openTensorFile(path) }
    #expect(error.code == .malformedFile && error.mentions(message), "\(error)")
  }
}
