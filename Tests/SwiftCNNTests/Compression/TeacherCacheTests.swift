import CNNCore
import CNNGraph
import Glibc
import Testing

@testable import SwiftCNN

/// What is kept of a teacher: the same bits as it says itself, in memory and in files, and no others.
@Suite struct TeacherCacheTests {
  private typealias Networks = DistillationTests

  private static let losses: [DistillationTerm] = [.softTargets(), .hint(student: "block2", teacher: "block2")]

  private let teacher: Model
  private let data: (x: Tensor, y: Tensor)
  private let directory: TemporaryDirectory
  private var path: String { "\(directory.path)/teacher.cache.safetensors" }

  init() throws {
    (teacher, data) = (try Networks.network(6, seed: 2), try Networks.data(23))
    directory = try TemporaryDirectory()
  }

  private func learner(
    _ caches: Bool = false, file: String? = nil, augmentations: Int? = nil, teacher other: Model? = nil,
    losses: [DistillationTerm] = Self.losses
  ) throws -> Model {
    let options = DistillationOptions(
      losses: losses, caches: caches, cacheFile: file, augmentations: augmentations)
    let learner = try Networks.network(4, seed: 1).distilled(from: other ?? teacher, options: options)
    try Networks.compile(learner, rate: 0.05)
    return learner
  }

  private struct Outcome: Equatable {
    var losses: [Double] = []
    var bits: [UInt32] = []
  }

  /// What a run over the arrays comes to.
  private func fitted(
    _ learner: Model, _ x: Tensor? = nil, epochs: Int = 3, batchSize: Int = 5, changes: Bool = false,
    resumes: Bool = false, steps: Int = .max
  ) throws -> Outcome {
    var outcome = Outcome()
    let fit = FitOptions(
      epochs: epochs, batchSize: batchSize, flipsHorizontally: changes, cropPadding: changes ? 1 : 0, resumes: resumes)
    try learner.fit(x ?? data.x, data.y, options: fit) { (progress) throws(CNNError) in
      outcome.losses.append(progress.results.loss)
      return outcome.losses.count < steps
    }
    outcome.bits = try learner.bits()
    return outcome
  }

  /// How many samples the file has.
  private func count() throws -> Int { try #require(SafetensorsFile(path: path)["keys"]?.shape.first) }

  private func fileBytes(_ path: String) throws -> [UInt8] {
    let file = try FileReader(path: path)
    var bytes = [UInt8](repeating: 0, count: file.byteCount)
    try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
    return bytes
  }

  // MARK: The same bits

  @Test(arguments: [false, true], [nil, 1, 2]) func keptResultsAreTheTeachers(_ changes: Bool, _ augmentations: Int?)
    throws
  {
    let live = try fitted(learner(augmentations: augmentations), changes: changes)
    #expect(live.losses.count == 15 && Set(live.losses).count == 15)
    #expect(try fitted(learner(true, augmentations: augmentations), changes: changes) == live)
    // One run fills the file, another reads it.
    for _ in 1...2 { #expect(try fitted(learner(file: path, augmentations: augmentations), changes: changes) == live) }
    let ways = changes ? augmentations ?? 3 : 1
    // Some of the 18 ways to flip and crop a sample come twice.
    #expect(try ways == 1 ? count() == 23 : (23 * ways * 3 / 4...23 * ways).contains(count()))
  }

  /// Each epoch has changes of its own, or those of the one before last.
  @Test func augmentationsComeInTurn() throws {
    func taught(_ augmentations: Int?) throws -> [Int] {
      unlink(path)
      let learner = try learner(file: path, augmentations: augmentations)
      let run = try TrainingRun(
        learner, data.x, data.y,
        options: FitOptions(epochs: 5, batchSize: 23, flipsHorizontally: true, cropPadding: 1))
      return try (0..<5).map { _ in
        _ = try run.step()
        return try count()
      }
    }
    let two = try taught(2)
    #expect(two[0] < two[1] && Set(two[1...]).count == 1)
    let all = try taught(nil)
    #expect(Set(all).count == 5)
  }

  @Test func whatIsInTheFileIsNotAsked() throws {
    let live = try fitted(learner(file: path))
    // Were the teacher asked, it would say something else.
    let file = try SafetensorsFile(path: path), name = try #require(teacher.graph.outputs.first?.name)
    #expect(name == "y" && file["result.fc"]?.shape == [23, 5] && file["result.block2"]?.shape == [23, 4, 4, 12])
    let graph = teacher.graph, names = ["fc", "block2"]
    let places = try names.map { graph.place(of: try #require(graph.value(named: $0))) }
    var known = TeacherCacheFile(
      path: path, teacher: try teacher.predictionHash(), results: names, places: places, data: nil)
    let read = try known.read(), cache = try #require(read?.cache)
    let logits = cache.values(of: 0).bindMemory(to: Float.self)
    for index in logits.indices { logits[index] *= -1 }
    try known.write(cache)
    let misled = try fitted(learner(file: path))
    #expect(misled.losses[0] != live.losses[0])
    // The file is not written where there is nothing new.
    var before = stat(), after = stat()
    #expect(stat(path, &before) == 0)
    _ = try fitted(learner(file: path))
    #expect(stat(path, &after) == 0 && before.st_ino == after.st_ino)
  }

  @Test func batchesAndArraysShareAFile() throws {
    func batchwise(_ learner: Model, resumes: Bool = false) throws -> [Double] {
      let run = try TrainingRun(learner, options: FitOptions(epochs: 2, resumes: resumes))
      var losses: [Double] = []
      for _ in 0..<2 {
        for start in stride(from: 0, to: 23, by: 8) {
          let range = start..<min(start + 8, 23)
          losses.append(try run.step(data.x.view.samples(range), data.y.view.samples(range)).results.loss)
        }
        try run.endEpoch()
      }
      return losses
    }
    let live = try batchwise(learner())
    #expect(try batchwise(learner(true)) == live)
    for _ in 1...2 { #expect(try batchwise(learner(file: path)) == live) }
    // Passes of 8 samples, and of the 7 that were left.
    #expect(try count() == 23)
    _ = try fitted(learner(file: path), batchSize: 8)
    #expect(try (23...30).contains(count()))
  }

  @Test func aRunIsResumedWithItsFile() throws {
    for changes in [false, true] {
      unlink(path)
      let whole = try fitted(learner(), changes: changes)
      let first = try learner(file: path)
      _ = try fitted(first, changes: changes, steps: 7)
      let checkpoint = "\(directory.path)/checkpoint.safetensors"
      try first.write(to: checkpoint, includingTrainingState: true)
      let second = try Model(contentsOf: checkpoint).distilled(
        from: teacher, options: DistillationOptions(losses: Self.losses, cacheFile: path))
      #expect(try fitted(second, changes: changes, resumes: true).bits == whole.bits)
      unlink(checkpoint)
    }
    // Other augmentations are another training.
    let some = try learner(augmentations: 2)
    _ = try fitted(some, steps: 3)
    try some.write(to: path, includingTrainingState: true)
    let read = try Model(contentsOf: path)
    expectError(.invalidState, "other options") {
      _ = try read.distilled(from: teacher, options: DistillationOptions(losses: Self.losses, augmentations: 3))
    }
  }

  /// Whatever file it was read from, and whatever its layers are called.
  @Test func aTeacherThatIsReadAgainIsTheSame() throws {
    let live = try fitted(learner(file: path)), size = try count()
    let saved = "\(directory.path)/model.safetensors"
    try teacher.write(to: saved)
    let again = try Model(contentsOf: saved)
    _ = try again.setTrainable(false, matching: "*")
    #expect(try fitted(learner(file: path, teacher: again)) == live)
    var text = try teacher.graph.json.serialized()
    for name in ["conv1", "conv2.", "conv2\"", "bn1", "bn2", "block1", "block2", "pool\"", "fc"] {
      text = text.split(separator: "\"\(name)").joined(separator: "\"my.\(name)")
    }
    let renamed = try Model(Graph(json: JSON(parsing: text)), name: "renamed")
    for (own, other) in zip(renamed.parameterList.map(\.name), teacher.parameterList.map(\.name)) {
      #expect(own == "my.\(other)")
      try renamed.set(own, teacher.values(other))
    }
    let options = DistillationOptions(
      losses: [.softTargets(), .hint(student: "block2", teacher: "my.block2")], cacheFile: path)
    let learner = try Networks.network(4, seed: 1).distilled(from: renamed, options: options)
    try Networks.compile(learner, rate: 0.05)
    #expect(try fitted(learner) == live)
    #expect(try count() == size)
  }

  // MARK: What is refused

  @Test func anotherTeacherIsRefused() throws {
    _ = try fitted(learner(file: path))
    let bytes = try fileBytes(path)
    for change in 0..<4 {
      let other = try change == 3 ? Networks.network(6, classes: Networks.classes, seed: 3) : teacher.copy()
      switch change {
      case 0: try other.set("fc.bias", other.values("fc.bias").map { $0 + 1e-6 })
      case 1: try other.setNormalization(mean: [0, 0, 1], deviation: [1, 1, 1])
      case 2: other.setPrecision(.bfloat16)
      default: break
      }
      let student = try learner(file: path, teacher: other), before = try student.bits()
      expectError(.invalidArgument, "what another teacher said") { _ = try fitted(student) }
      #expect(try student.bits() == before)
    }
    let other = try learner(file: path, losses: [.softTargets()])
    expectError(.invalidArgument, "the losses compare 'fc'") { _ = try fitted(other) }
    #expect(try fileBytes(path) == bytes)
  }

  @Test func anotherDataSetIsRefused() throws {
    _ = try fitted(learner(file: path))
    let bytes = try fileBytes(path)
    let other = try Networks.data(23, seed: 9).x
    let learner = try learner(file: path), before = try learner.bits()
    expectError(.invalidArgument, "another data set") { _ = try fitted(learner, other) }
    // One sample of it more, one less, or another.
    expectError(.invalidArgument, "another data set") {
      try learner.fit(data.x.view.samples(0..<22), data.y.view.samples(0..<22))
    }
    let changed = try Tensor(data.x.values.enumerated().map { $0 == 100 ? $1 + 1 : $1 }, shape: data.x.shape)
    expectError(.invalidArgument, "another data set") { _ = try fitted(learner, changed) }
    // Batch by batch the first one tells.
    let run = try TrainingRun(learner)
    expectError(.invalidArgument, "none of the samples of the first batch") { _ = try run.step(other, data.y) }
    #expect(try learner.bits() == before && fileBytes(path) == bytes)
    // In another order they are the same samples.
    let order = Array((0..<23).reversed()), size = 8 * 8 * 3
    let turned = try Tensor(
      order.flatMap { data.x.values[$0 * size..<($0 + 1) * size] }, shape: data.x.shape)
    _ = try fitted(learner, turned)
    #expect(try fileBytes(path) == bytes)
  }

  @Test func damagedFilesAreRefused() throws {
    _ = try fitted(learner(file: path))
    let bytes = try fileBytes(path), learner = try learner(file: path), before = try learner.bits()
    let header = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
    #expect(bytes.count > header + 23 * (16 + 4 * (5 + 192)) - 1)
    for place in [header, header + 100, bytes.count - 2000, bytes.count - 1] {
      var damaged = bytes
      damaged[place] ^= 4
      try put(damaged, to: path)
      expectError(.malformedFile, "damaged") { _ = try fitted(learner) }
    }
    for count in [0, 7, header - 1, header + 5, bytes.count - 1] {
      try put(Array(bytes[..<count]), to: path)
      expectError(.malformedFile, path) { _ = try fitted(learner) }
      #expect(try fileBytes(path).count == count, "it is left as it is")
    }
    try teacher.write(to: path)
    expectError(.malformedFile, "is no teacher's cache") { _ = try fitted(learner) }
    #expect(try learner.bits() == before)
    expectError(.inputOutput, "No such file or directory") {
      _ = try fitted(self.learner(file: "\(directory.path)/missing/cache.safetensors"))
    }
    expectError(.inputOutput, "not a regular file") { _ = try fitted(self.learner(file: directory.path)) }
    for path in ["cache.onnx", "cache.pth", "cache.npz"] {
      expectError(.invalidArgument, "expected .safetensors") { _ = try self.learner(file: path) }
    }
    expectError(.inputOutput, "the path is empty") { _ = try self.learner(file: "") }
    expectError(.invalidArgument, "augmentations is 0") { _ = try self.learner(augmentations: 0) }
  }

  /// The metadata may say what it likes.
  @Test func headersAreChecked() throws {
    _ = try fitted(learner(file: path))
    let file = try SafetensorsFile(path: path), key = "swiftcnn.teacher_cache"
    let told = try #require(file.metadata[key]), header = try #require(JSON(parsing: told).objectValue)
    let bytes = [UInt8](repeating: 0, count: 64)
    func refuses(_ text: String, _ change: (inout JSONObject) -> Void, tensors: [String: [Int]] = [:]) throws {
      var changed = header
      change(&changed)
      let shapes = ["keys": [1, 16], "result.fc": [1, 5], "result.block2": [1, 2]].merging(tensors) { $1 }
      try bytes.withUnsafeBytes { bytes in
        try SafetensorsWriter.write(
          to: path,
          tensors: shapes.sorted { $0.key < $1.key }.map { name, shape in
            let type = name == "keys" ? ElementType.uint8 : .float32
            let count = shape.reduce(type.byteCount, *)
            return .init(name: name, shape: shape, type: type, bytes: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
          }, metadata: [key: JSON.object(changed).serialized()])
      }
      expectError(.malformedFile, text) { _ = try fitted(learner(file: path)) }
    }
    try refuses("damaged", { _ in })
    try refuses("format 2 is not known", { $0["format"] = 2 })
    try refuses("'teacher'", { $0["teacher"] = 5 })
    try refuses("'results'", { $0["results"] = "fc" })
    try refuses("'places'", { $0["places"] = 1 })
    try refuses("'samples'", { $0["samples"] = 1 })
    try refuses("'samples' are no shapes", { $0["samples"] = ["a"] })
    try refuses("expected 16 bytes a sample", { _ in }, tensors: ["keys": [1, 15]])
    try refuses("expected 1 samples of float32", { _ in }, tensors: ["result.fc": [2, 5]])
  }

  @Test func aTeacherThatChangesIsNoticed() throws {
    let learner = try learner(true)
    let run = try TrainingRun(learner, data.x, data.y, options: FitOptions(epochs: 2, batchSize: 23))
    _ = try run.step()
    try teacher.set("fc.bias", teacher.values("fc.bias").map { $0 + 1 })
    expectError(.invalidState, "have changed since the run began") { _ = try run.step() }
    // A new run asks it anew.
    #expect(try fitted(learner, epochs: 1).losses.count == 5)
  }

  // MARK: The table

  @Test func manySamplesAreFoundAgain() throws {
    let cache = try TeacherCache(
      results: [.init(name: "a", shape: [3]), .init(name: "b", shape: [])], sampleShapes: [[1]])
    let room = [try Memory(count: 3, of: .float32, for: "a"), try Memory(count: 1, of: .float32, for: "b")]
    // Hashes whose low words are alike meet in the table.
    func key(_ index: Int) -> ContentHash { ContentHash(words: (UInt64(index % 7), UInt64(index))) }
    for index in 0..<500 {
      #expect(!cache.read(key(index), into: room.map(\.floats), row: 0))
      for place in 0..<3 { room[0].floats[place] = Float(3 * index + place) }
      room[1].floats[0] = Float(-index)
      try cache.add(key(index), from: room.map(\.floats), row: 0)
      try cache.add(key(index), from: room.map(\.floats), row: 0)
    }
    #expect(cache.count == 500)
    for index in (0..<500).reversed() {
      #expect(cache.read(key(index), into: room.map(\.floats), row: 0))
      #expect(Array(room[0].floats) == (0..<3).map { Float(3 * index + $0) } && room[1].floats[0] == Float(-index))
    }
    #expect(!cache.read(key(500), into: room.map(\.floats), row: 0))
  }
}
