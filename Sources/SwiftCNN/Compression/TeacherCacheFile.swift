import CNNCore
import CNNGraph

/// The file of a `TeacherCache`: safetensors, with whose results and of which data they are in the metadata.
struct TeacherCacheFile {
  private static let key = "swiftcnn.teacher_cache", keysTensor = "keys"
  private static func tensor(_ result: String) -> String { "result.\(result)" }

  let path: String
  /// Of all that the teacher's results depend on.
  let teacher: ContentHash
  /// The names of the teacher's results that are compared, and where in its network they come from.
  let results: [String], places: [String]
  /// The hash of the samples before any change that the file is of; nil where they came batch by batch.
  private(set) var data: String?

  init(path: String, teacher: ContentHash, results: [String], places: [String], data: ContentHash?) {
    (self.path, self.teacher, self.data) = (path, teacher, data?.text)
    (self.results, self.places) = (results, places)
  }

  /// - Throws: `.invalidArgument` for a name as files of other formats have.
  static func check(_ path: String) throws(CNNError) {
    try checkPath(path)
    do throws(CNNError) { _ = try FileEnding.format(of: path, for: .checkpoint) } catch {
      throw CNNError(
        .invalidArgument,
        "\(option: "cache_file") is '\(path)', which ends as files of another format do; expected .safetensors")
    }
  }

  /// What the file has, and whether it is known to be of this data; nil where there is none, and then one can be written.
  /// - Throws: `.malformedFile` for another file or a damaged one; `.invalidArgument` where it is of another teacher, other
  ///   results or other data; `.inputOutput`, `.outOfMemory`.
  mutating func read() throws(CNNError) -> (cache: TeacherCache, isOfThisData: Bool)? {
    guard exists(path) else {
      try AtomicFile.requireWritable(path)
      return nil
    }
    let file = try SafetensorsFile(path: path)
    guard let text = file.metadata[Self.key] else {
      throw CNNError(
        .malformedFile, "'\(path)' is no teacher's cache; expected one that a distillation has written, or a new name")
    }
    do throws(CNNError) {
      let header = try ModelFile.object(text)
      guard try header.integer("format") == 1 else {
        throw CNNError(.malformedFile, "format \(try header.integer("format")) is not known; expected 1")
      }
      let names = try header.strings("results"), places = try header.strings("places")
      guard try header.string("teacher") == teacher.text else {
        throw CNNError(
          .invalidArgument,
          "it has what another teacher said, or this one with other weights, mean, std or precision; expected a cache of "
            + "this teacher, or a new name")
      }
      guard places == self.places, names.count == results.count else {
        throw CNNError(
          .invalidArgument,
          "it has the teacher's \(quoted(names)), and the losses compare \(quoted(results)); expected the same, or a new name"
        )
      }
      let known = try header.optionalString("data")
      if let known, let data, known != data {
        throw CNNError(
          .invalidArgument,
          "it is a cache of another data set; expected one of the samples that are trained on, or a new name")
      }
      let cache = try read(file, header, names), isOfThisData = known != nil && data != nil
      data = known
      return (cache, isOfThisData)
    } catch { throw error.mentions(path) ? error : error.prefixed("'\(path)'") }
  }

  private func read(_ file: SafetensorsFile, _ header: JSONObject, _ names: [String]) throws(CNNError) -> TeacherCache {
    var shapes: [[Int]] = []
    for shape in try header.array("samples") {
      guard let sizes = shape.integersValue else { throw CNNError(.malformedFile, "'samples' are no shapes") }
      shapes.append(sizes)
    }
    func shape(_ name: String) throws(CNNError) -> [Int] {
      guard let tensor = file[name] else { throw CNNError(.malformedFile, "it has no tensor '\(name)'") }
      return tensor.shape
    }
    let keys = try shape(Self.keysTensor)
    guard keys.count == 2, keys[1] == 16, file[Self.keysTensor]?.type == .uint8 else {
      throw CNNError(.malformedFile, "'\(Self.keysTensor)' has shape \(describe(keys)); expected 16 bytes a sample")
    }
    var kept: [DistillationLoss.TeacherResult] = []
    for (name, own) in zip(names, results) {
      let shape = try shape(Self.tensor(name))
      guard shape.first == keys[0], file[Self.tensor(name)]?.type == .float32 else {
        throw CNNError(.malformedFile, "'\(name)' has shape \(describe(shape)); expected \(keys[0]) samples of float32")
      }
      kept.append(.init(name: own, shape: Array(shape.dropFirst())))
    }
    let cache = try TeacherCache(results: kept, sampleShapes: shapes, capacity: keys[0])
    try cache.take(keys[0]) { () throws(CNNError) in
      try file.readBytes(Self.keysTensor, into: cache.keyBytes)
      for (index, name) in names.enumerated() {
        try file.readBytes(Self.tensor(name), into: cache.values(of: index))
      }
    }
    guard try header.string("contents") == cache.contents.text else {
      throw CNNError(.malformedFile, "it is damaged: its numbers are not those that were written")
    }
    return cache
  }

  /// Replaces the file, at once and whole.
  /// - Throws: `.inputOutput`, `.outOfMemory`.
  func write(_ cache: TeacherCache) throws(CNNError) {
    var header = JSONObject()
    header["format"] = 1
    header["teacher"] = .string(teacher.text)
    header["data"] = data.map { .string($0) } ?? .null
    header["samples"] = .array(cache.sampleShapes.map { .integers($0) })
    header["results"] = .strings(results)
    header["places"] = .strings(places)
    header["contents"] = .string(cache.contents.text)
    var tensors = [
      SafetensorsWriter.Tensor(
        name: Self.keysTensor, shape: [cache.count, 16], type: .uint8, bytes: UnsafeRawBufferPointer(cache.keyBytes))
    ]
    for (index, result) in cache.results.enumerated() {
      tensors.append(
        .init(
          name: Self.tensor(result.name), shape: [cache.count] + result.shape, type: .float32,
          bytes: UnsafeRawBufferPointer(cache.values(of: index))))
    }
    try SafetensorsWriter.write(
      to: path, tensors: tensors, metadata: ["format": "pt", Self.key: JSON.object(header).serialized()])
    cache.isChanged = false
  }
}

private func quoted(_ names: [String]) -> String { names.map { "'\($0)'" }.joined(separator: ", ") }

extension TeacherCache {
  /// Of all that it has.
  fileprivate var contents: ContentHash {
    var hash = ContentHash()
    hash.add(UnsafeRawBufferPointer(keyBytes))
    for index in results.indices { hash.add(UnsafeRawBufferPointer(values(of: index))) }
    return hash
  }
}
