import CNNCore
import CNNPictures
import Glibc
import Testing

@testable import SwiftCNN

/// Three classes of two pictures each, made anew for each test and removed with the object.
private final class ClassFolders {
  let path: String
  private var files: [String] = []
  private var folders: [String] = []

  init() throws {
    var template = Array("/tmp/swiftcnn-test-XXXXXX".utf8CString)
    path = try #require(mkdtemp(&template).map { String(cString: $0) })
    folders = [path]
    for (name, golden) in [("b", "png_rgb"), ("a", "jpeg_420"), ("c", "png_grey")] {
      try addFolder(name)
      try add("\(name)/1.jpg", golden)
      try add("\(name)/2.PNG", golden)
    }
  }

  deinit {
    for file in files { unlink(file) }
    for folder in folders.reversed() { rmdir(folder) }
  }

  func addFolder(_ name: String) throws {
    folders.append("\(path)/\(name)")
    try #require(mkdir("\(path)/\(name)", 0o755) == 0)
  }

  func add(_ name: String, _ golden: String) throws { try add(name, bytes: GoldenPicture.file(golden)) }

  func add(_ name: String, bytes: [UInt8]) throws {
    files.append("\(path)/\(name)")
    try put(bytes, to: "\(path)/\(name)")
  }
}

/// Files of Tests/Golden/pictures.safetensors.
private enum GoldenPicture {
  static func file(_ name: String) throws -> [UInt8] {
    let golden = try GoldenFile("pictures"), key = "\(name)/file"
    var words = [Int64](repeating: 0, count: try golden.shape(key).reduce(1, *))
    try words.withUnsafeMutableBufferPointer { try golden.file.read(key, into: $0) }
    let bytes = words.dropFirst().flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: UInt32(bitPattern: Int32(truncatingIfNeeded: word)) >> (8 * $0)) }
    }
    return Array(bytes.prefix(Int(words[0])))
  }
}

extension ImageFolderBatches {
  /// All that are left: the bytes of each batch and its targets.
  fileprivate func all() throws -> [(x: [UInt8], y: [Int32], isLast: Bool)] {
    var result: [(x: [UInt8], y: [Int32], isLast: Bool)] = []
    while let batch = try next() {
      let x = UnsafeRawBufferPointer(start: batch.x.base, count: batch.x.shape.reduce(1, *))
      let y = UnsafeBufferPointer(
        start: batch.y.base.assumingMemoryBound(to: Int32.self), count: batch.y.shape.reduce(1, *))
      result.append((Array(x), Array(y), batch.isLast))
    }
    return result
  }
}

@Suite struct ImageFolderTests {
  private func options(_ text: String) throws -> ImageFolderOptions {
    try ImageFolderOptions(json: #require(JSON(parsing: text).objectValue))
  }

  @Test func foldersAreClasses() throws {
    let folders = try ClassFolders()
    try folders.addFolder(".hidden")
    try folders.add("a/notes.txt", bytes: [1])
    let folder = try ImageFolder(folders.path, options: options(#"{"size": 16, "batch_size": 4, "shuffle": false}"#))
    #expect(folder.classNames == ["a", "b", "c"] && folder.labels == [0, 0, 1, 1, 2, 2])
    #expect(folder.count == 6 && folder.batchCount == 2)
    #expect(folder.path(3) == "\(folders.path)/b/2.PNG" && folder.path(6) == nil && folder.path(-1) == nil)
    let batches = try folder.batches().all()
    #expect(batches.map(\.y) == [[0, 0, 1, 1], [2, 2]] && batches.map(\.isLast) == [false, true])
    // As a model prepares a picture that it classifies.
    let model = try Model(
      "resnet20", options: ModelOptions(json: #require(JSON(parsing: #"{"input_shape": [16, 16, 3]}"#).objectValue)))
    let prepared = try model.preprocess(contentsOf: #require(folder.path(0)))
    #expect(Array(batches[0].x.prefix(16 * 16 * 3)) == prepared.withPixels { Array($0) })
  }

  @Test func batchesDoNotDependOnThreads() throws {
    let folders = try ClassFolders()
    try folders.add("b/3.jpg", bytes: [1, 2, 3])
    let text =
      #""size": [20, 24], "batch_size": 2, "random_resized_crop": true, "horizontal_flip": true, "rand_augment": true"#
    func batches(_ more: String, epoch: Int = 0) throws -> [[UInt8]] {
      let batches = try ImageFolder(folders.path, options: options("{\(text), \(more)}")).batches(epoch: epoch)
      let result = try batches.all()
      #expect(batches.skippedCount == 1 && batches.firstSkipped?.mentions("b/3.jpg") == true)
      return result.map(\.x) + result.map { $0.y.map { UInt8($0) } }
    }
    let expected = try batches(#""threads": 0"#)
    for threads in 1...5 { #expect(try batches("\"threads\": \(threads), \"prefetch\": \(threads)") == expected) }
    #expect(try batches(#""threads": 2"#, epoch: 1) != expected)
  }

  /// What a teacher says of pictures is kept as they were changed.
  @Test func aTeacherIsAskedOncePerChange() throws {
    let folders = try ClassFolders(), path = "\(folders.path).safetensors"
    defer { unlink(path) }
    func folder(_ more: String = "") throws -> ImageFolder {
      try ImageFolder(
        folders.path,
        options: options(#"{"size": 16, "batch_size": 3, "random_resized_crop": {"scale": [0.5, 1]}\#(more)}"#))
    }
    func network(_ seed: Int) throws -> Model {
      let options = try #require(
        JSON(parsing: #"{"input_shape": [16, 16, 3], "classes": 3, "seed": \#(seed)}"#).objectValue)
      return try Model("resnet20", options: ModelOptions(json: options))
    }
    let teacher = try network(2)
    func learner(_ options: DistillationOptions) throws -> Model {
      let learner = try network(1).distilled(from: teacher, options: options)
      try learner.compile(TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd(learningRate: 0.01)))
      return learner
    }
    func losses(_ options: DistillationOptions, epochs: Int = 4) throws -> [Double] {
      try learner(options).fit(folder(), epochs: epochs).map(\.loss)
    }
    let live = try losses(DistillationOptions(augmentations: 2))
    #expect(try losses(DistillationOptions(caches: true, augmentations: 2)) == live)
    for _ in 1...2 { #expect(try losses(DistillationOptions(cacheFile: path, augmentations: 2)) == live) }
    #expect(try SafetensorsFile(path: path)["keys"]?.shape == [12, 16])
    // Without turns each epoch has its own; the first is the same.
    let free = try losses(DistillationOptions(cacheFile: path))
    #expect(free[..<2] == live[..<2] && free[2] != live[2])
    #expect(try SafetensorsFile(path: path)["keys"]?.shape == [24, 16])
    expectError(.invalidArgument, "none of the samples of the first batch") {
      try learner(DistillationOptions(cacheFile: path)).fit(folder(#", "seed": 5"#))
    }
    let shares = try network(1).distilled(from: teacher, options: DistillationOptions(caches: true))
    try shares.compile(TrainingSettings(loss: .categoricalCrossEntropy, optimizer: .sgd(learningRate: 0.01)))
    expectError(.invalidArgument, "mixup and cutmix make new pictures") { try shares.fit(folder(#", "mixup": 0.2"#)) }
  }

  @Test func trainingIsThatOfItsBatches() throws {
    let folders = try ClassFolders()
    let folder = try ImageFolder(
      folders.path, options: options(#"{"size": 16, "batch_size": 4, "random_resized_crop": {"scale": [0.5, 1]}}"#))
    func model() throws -> Model {
      let options = try #require(JSON(parsing: #"{"input_shape": [16, 16, 3], "classes": 3}"#).objectValue)
      let model = try Model("resnet20", options: ModelOptions(json: options))
      try model.compile(
        TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd()))
      return model
    }
    let (fitted, byHand) = (try model(), try model())
    var steps = 0, ends = 0
    let history = try fitted.fit(folder, validation: folder, epochs: 3) { (progress) throws(CNNError) in
      steps += 1
      ends += progress.epochEnded ? 1 : 0
      #expect(progress.finished == (steps == 6) && progress.batches == 2)
      return true
    }
    #expect(steps == 6 && ends == 3 && history.map(\.count) == [2, 2, 2])
    for epoch in 0..<3 {
      let batches = try folder.batches(epoch: epoch)
      while let batch = try batches.next() { _ = try byHand.trainOnBatch(batch.x, batch.y) }
    }
    #expect(try fitted.evaluate(folder) == byHand.evaluate(folder))
    #expect(fitted.classNames == ["a", "b", "c"] && byHand.classNames == nil)
    // A teacher that is no better there is told of, once.
    let teacher = try byHand.copy(), learner = try byHand.distilled(from: teacher)
    try teacher.setValue(Tensor([1e4, 0, 0] as [Float], shape: [3]), of: "fc.bias")
    try learner.compile(TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd(learningRate: 1e-6)))
    try learner.fit(folder, validation: folder, epochs: 2)
    #expect(try learner.takeWarning()?.contains("no better than the student on the validation data: loss") == true)
    #expect(try learner.takeWarning() == nil)
    // A checkpoint after the second epoch goes on with the third.
    let half = try model(), path = "\(folders.path)/half.safetensors"
    try half.fit(folder, epochs: 2)
    try half.write(to: path, includingTrainingState: true)
    let resumed = try Model(contentsOf: path)
    unlink(path)
    var first: TrainingRun.Progress?
    try resumed.fit(folder, epochs: 3, resumes: true) { (progress) throws(CNNError) in
      first = first ?? progress
      return true
    }
    #expect(first?.epoch == 2 && first?.batch == 1)
    #expect(try resumed.evaluate(folder) == fitted.evaluate(folder))
    expectError(.invalidState, "the checkpoint has done 3 epochs; epochs is 3") {
      try resumed.fit(folder, epochs: 3, resumes: true)
    }
    // Stopped by the caller after the first step.
    #expect(try model().fit(folder, epochs: 9) { _ throws(CNNError) in false }.count == 1)
  }

  @Test func targetsThatTheLossDoesNotTakeAreRefused() throws {
    let folders = try ClassFolders()
    let labels = try ImageFolder(folders.path, options: options(#"{"size": 16}"#))
    let shares = try ImageFolder(folders.path, options: options(#"{"size": 16, "mixup": 0.2}"#))
    let other = try ImageFolder(folders.path, options: options(#"{"size": 16, "label_mode": "categorical"}"#))
    let json = try #require(JSON(parsing: #"{"input_shape": [16, 16, 3], "classes": 3}"#).objectValue)
    let model = try Model("resnet20", options: ModelOptions(json: json))
    expectError(.invalidState, "the model is not compiled") { _ = try model.fit(labels) }
    let optimizer = OptimizerSettings.sgd()
    try model.compile(TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: optimizer))
    expectError(.invalidArgument, "the folder gives a share for each class") { _ = try model.fit(shares) }
    expectError(.invalidArgument, "validation: the folder gives a share") {
      _ = try model.fit(labels, validation: other)
    }
    try model.compile(TrainingSettings(loss: .categoricalCrossEntropy, optimizer: optimizer))
    expectError(.invalidArgument, "the folder gives numbers of classes") { _ = try model.evaluate(labels) }
    try model.fit(shares, epochs: 2)
  }

  @Test func namesDecideWhichClassAPictureIsOf() throws {
    let folders = try ClassFolders()
    func folder(_ more: String = "") throws -> ImageFolder {
      try ImageFolder(folders.path, options: options(#"{"size": 16\#(more)}"#))
    }
    let json = try #require(
      JSON(parsing: #"{"input_shape": [16, 16, 3], "classes": 3, "class_names": ["c", "a", "b"]}"#).objectValue)
    let model = try Model("resnet20", options: ModelOptions(json: json))
    try model.compile(
      TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd()))
    for purpose in [ImageFolder.Purpose.training, .evaluation] {
      let arranged = try model.folder(folder(), for: purpose)
      #expect(arranged.classNames == ["c", "a", "b"] && arranged.labels == [1, 1, 2, 2, 0, 0])
    }
    let some = try folder(#", "class_names": ["b", "c"]"#)
    #expect(try model.folder(some, for: .evaluation).labels == [2, 2, 0, 0])
    #expect(try model.folder(some, for: .prediction).labels == [0, 0, 1, 1])
    expectError(.invalidArgument, "the classes differ: the model has 'a', which the folder does not have") {
      _ = try model.folder(some, for: .training)
    }
    try model.setClassNames(["c", "a", "d"])
    expectError(.invalidArgument, "the classes differ: the folder has 'b', which the model does not have; the model") {
      try model.fit(folder())
    }
    expectError(.invalidArgument, "the folder has 'b', which the model does not have") {
      _ = try model.evaluate(folder())
    }
  }

  @Test func evaluationIsInTheOrderOfFilesAndWithoutChanges() throws {
    let folders = try ClassFolders()
    let plain = try ImageFolder(folders.path, options: options(#"{"size": 16, "shuffle": false, "batch_size": 4}"#))
    let changed = try ImageFolder(
      folders.path,
      options: options(
        #"{"size": 16, "batch_size": 4, "drop_last": true, "random_resized_crop": true, "horizontal_flip": 1}"#))
    let found = try changed.inOrder.batches().all(), expected = try plain.batches().all()
    #expect(found.map(\.x) == expected.map(\.x) && found.map(\.y) == expected.map(\.y))
    #expect(changed.options.shuffles && changed.batchCount == 1)
    // Shares stay shares where nothing is mixed.
    let mixed = try ImageFolder(folders.path, options: options(#"{"size": 16, "mixup": 0.2}"#)).inOrder
    #expect(mixed.options.givesShares && !mixed.options.mixing.isOn)
  }

  @Test func namesOfImageNetGiveWayToThoseOfOtherClasses() throws {
    let folders = try ClassFolders()
    let folder = try ImageFolder(folders.path, options: options(#"{"size": 16}"#))
    let model = try Model(tinyNetwork(), name: "tiny")
    try model.compile(
      TrainingSettings(loss: .sparseCategoricalCrossEntropy, optimizer: .sgd()))
    _ = try model.folder(folder, for: .training)
    #expect(model.classNames == nil)  // It has five classes.
    #expect(try model.folder(folder, for: .evaluation, like: folder).classNames == ["a", "b", "c"])
  }

  @Test func epochsEndHalfWayAndOverlap() throws {
    let folders = try ClassFolders()
    let folder = try ImageFolder(
      folders.path, options: options(#"{"size": 16, "batch_size": 1, "threads": 4, "prefetch": 1}"#))
    for _ in 0..<50 {
      let (first, second) = (try folder.batches(), try folder.batches(epoch: 1))
      _ = try first.next()
      _ = try second.next()
    }
    expectError(.invalidArgument, "epoch is -1; expected 0 to") { _ = try folder.batches(epoch: -1) }
  }

  @Test func errorsComeInTheOrderOfTheEpoch() throws {
    let folders = try ClassFolders()
    for name in ["a/9.jpg", "b/9.jpg", "c/9.jpg"] { try folders.add(name, bytes: []) }
    let folder = try ImageFolder(
      folders.path,
      options: options(#"{"size": 16, "batch_size": 2, "shuffle": false, "corrupt": "error", "threads": 3}"#))
    for _ in 0..<20 {
      let batches = try folder.batches()
      #expect(try batches.next()?.isLast == false)
      expectError(.malformedFile, "a/9.jpg' is no picture that can be read: it is empty") { _ = try batches.next() }
      #expect(try batches.next().map(\.isLast) == nil)
    }
  }
}
