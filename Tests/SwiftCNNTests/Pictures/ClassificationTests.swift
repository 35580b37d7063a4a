import CNNCore
import CNNGraph
import CNNPictures
import Testing

@testable import SwiftCNN

/// What is on a picture: names and probabilities.
@Suite struct ClassificationTests {
  let directory: TemporaryDirectory
  let picturePath: String

  init() throws {
    directory = try TemporaryDirectory()
    picturePath = directory.file("picture")
    try put(Self.png, to: picturePath)
  }

  /// A file of 37 x 23 pixels.
  private static let png = Result { () throws -> [UInt8] in
    let golden = try GoldenFile("pictures")
    var words = [Int64](repeating: 0, count: try golden.shape("jpeg_420/file").reduce(1, *))
    try words.withUnsafeMutableBufferPointer { try golden.file.read("jpeg_420/file", into: $0) }
    let bytes = words.dropFirst().flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: UInt32(bitPattern: Int32(truncatingIfNeeded: word)) >> (8 * $0)) }
    }
    return Array(bytes.prefix(Int(words[0])))
  }

  private func put(_ bytes: Result<[UInt8], any Error>, to path: String) throws {
    try SwiftCNNTests.put(bytes.get(), to: path)
  }

  private func model(_ options: String = "{}") throws -> Model {
    try Model("resnet20", options: ModelOptions(json: #require(JSON(parsing: options).objectValue)))
  }

  @Test func theMostProbableClassesComeFirst() throws {
    let model = try model(#"{"classes": 4, "class_names": ["a", "b", "c", "d"]}"#)
    let found = try model.classify(picturePath, top: 3)
    let prepared = try model.preprocess(contentsOf: picturePath)
    #expect([prepared.height, prepared.width, prepared.channels] == [32, 32, 3])
    let batch = try Tensor(prepared.withPixels { Array($0) }, shape: [1, 32, 32, 3])
    let probabilities = try model.predict(batch.view).values
    let order = (0..<4).sorted { probabilities[$0] > probabilities[$1] }
    #expect(found.map(\.index) == Array(order.prefix(3)))
    #expect(found.map(\.name) == order.prefix(3).map { ["a", "b", "c", "d"][$0] })
    #expect(found.map(\.probability) == order.prefix(3).map { probabilities[$0] })
    #expect(try model.classify(picturePath, top: 9).count == 4)
    #expect(try model.classify(batch: batch.view, top: 3) == [found])
    expectError(.invalidArgument, "top is 0; expected 1 or more") { _ = try model.classify(picturePath, top: 0) }
  }

  @Test func logitsBecomeProbabilities() throws {
    let probable = try model(#"{"classes": 5}"#), scoring = try model(#"{"classes": 5, "classifier_activation": null}"#)
    let a = try probable.classify(picturePath), b = try scoring.classify(picturePath)
    #expect(a.map(\.index) == b.map(\.index))
    #expect(zip(a, b).allSatisfy { abs($0.probability - $1.probability) < 1e-6 })
    #expect(abs(b.reduce(0) { $0 + $1.probability } - 1) < 1e-5)
    // Each class yes or no stays as it is.
    let independent = try model(#"{"classes": 5, "classifier_activation": "sigmoid"}"#).classify(picturePath)
    #expect(abs(independent.reduce(0) { $0 + $1.probability } - 1) > 1e-3)
  }

  @Test func imageNetsNamesAreThere() throws {
    #expect(ImageNet.classNames.count == 1000 && Set(ImageNet.classNames).count == 1000)
    #expect(ImageNet.classNames[281] == "tabby" && ImageNet.classNames[999] == "toilet tissue")
    #expect(ImageNet.classNames[134] == "crane bird" && ImageNet.classNames[607] == "jack-o'-lantern")
    #expect(try model().classNames == ImageNet.classNames)
    #expect(try model(#"{"classes": 999}"#).classNames == nil)
    #expect(try model(#"{"include_top": false}"#).classNames == nil)
    #expect(try model().classify(picturePath, top: 1).allSatisfy { ImageNet.classNames[$0.index] == $0.name })
    // Without names, numbers.
    #expect(try model(#"{"classes": 3}"#).classify(picturePath, top: 1).allSatisfy { String($0.index) == $0.name })
  }

  @Test func namesTravelInFilesAndCopies() throws {
    let path = directory.file("model.safetensors")
    let model = try model(#"{"classes": 3, "class_names": ["T-shirt/top", "Ünïcode 😀", "c"]}"#)
    try model.write(to: path)
    #expect(try Model(contentsOf: path).classNames == ["T-shirt/top", "Ünïcode 😀", "c"])
    #expect(try model.copy().classNames == model.classNames)
    try model.setClassNames(nil)
    try model.write(to: path)
    #expect(try Model(contentsOf: path).classNames == nil)
    // Taken away on purpose, they stay away.
    let imageNet = try self.model()
    try imageNet.setClassNames(nil)
    try imageNet.write(to: path)
    #expect(try Model(contentsOf: path).classNames == nil)
    try self.model().write(to: path)
    #expect(try Model(contentsOf: path).classNames == ImageNet.classNames)
  }

  @Test func namesThatDoNotFitAreRefused() throws {
    let model = try model(#"{"classes": 3, "class_names": ["a", "b", "c"]}"#)
    expectError(.invalidArgument, "there are 2 class names; the model has 3 classes") {
      try model.setClassNames(["a", "b"])
    }
    expectError(.invalidArgument, "the name of class 1 is empty or has a line break") {
      try model.setClassNames(["a", "", "c"])
    }
    expectError(.invalidArgument, "the name of class 0") { try model.setClassNames(["a\nb", "b", "c"]) }
    #expect(model.classNames == ["a", "b", "c"])
    expectError(.invalidArgument, "the output is no row of classes") {
      try self.model(#"{"include_top": false}"#).setClassNames(["a"])
    }
    try model.resetClassifier(classes: 3)
    #expect(model.classNames == nil)
  }

  @Test func whatIsNoClassifierOfPicturesSaysSo() throws {
    expectError(.shapeMismatch, "expected [N, classes], as of a classifier") {
      _ = try model(#"{"include_top": false}"#).classify(picturePath)
    }
    expectError(.shapeMismatch, "the model reads 2 channels; pictures have 1, 3 or 4") {
      _ = try Model(randomNetwork(), name: "two channels").classify(picturePath)
    }
    var builder = GraphBuilder()
    let input = try builder.input(shape: [7])
    try builder.graph.addOutput("y", builder.dense(input, "fc", units: 2))
    expectError(.shapeMismatch, "the model reads [7] and no pictures") {
      _ = try Model(builder.graph, name: "vectors").classify(picturePath)
    }
    let uncut = try model(#"{"classes": 4, "preprocessing": {"crop": null}}"#)
    expectError(.shapeMismatch, "the preprocessing gives a picture of height 32 and width 51; the model reads") {
      _ = try uncut.classify(picturePath)
    }
  }

  @Test func greyModelsReadGreyPictures() throws {
    let model = try model(#"{"input_shape": [28, 28, 1], "classes": 4}"#)
    #expect(try model.preprocess(contentsOf: picturePath).channels == 1)
    #expect(try model.classify(picturePath).count == 4)
  }

  @Test func anySizeReadsPicturesAsTheyAre() throws {
    let model = try model(
      #"{"input_shape": [null, null, 3], "classes": 4, "preprocessing": {"resize": null, "crop": null}}"#)
    let prepared = try model.preprocess(contentsOf: picturePath)
    #expect([prepared.height, prepared.width] == [23, 37])
    #expect(try model.classify(picturePath).count == 4)
  }

  @Test func filesThatAreNoPicturesAreNamed() throws {
    let model = try model(#"{"classes": 4}"#), path = directory.file("text")
    expectError(.inputOutput, "cannot open '\(path)'") { _ = try model.classify(path) }
    try SwiftCNNTests.put(Array("hello".utf8), to: path)
    expectError(.malformedFile, "'\(path)' is no picture that can be read: it is a text file") {
      _ = try model.classify(path)
    }
    try SwiftCNNTests.put([], to: path)
    expectError(.malformedFile, "it is empty") { _ = try model.classify(path) }
    expectError(.inputOutput, "it is not a regular file") { _ = try model.classify(directory.path) }
  }

  @Test func arraysArePictures() throws {
    let array = try Tensor((0..<60).map { UInt8($0 * 4) }, shape: [4, 5, 3])
    let picture = try Picture(array.view)
    #expect(picture.withPixels { Array($0) } == (0..<60).map { UInt8($0 * 4) })
    #expect(try Picture(Tensor([1, 2, 3, 4, 5, 6] as [UInt8], shape: [2, 3]).view).channels == 1)
    for view in [
      try Tensor([1, 2] as [Float], shape: [1, 2, 1]).view, try Tensor([1, 2] as [UInt8], shape: [1, 1, 2]).view,
      try Tensor([1, 2] as [UInt8], shape: [2]).view,
      TensorView(.uint8, shape: [0, 3, 3], base: array.view.base),
    ] {
      expectError(.shapeMismatch, "the picture") { _ = try Picture(view) }
    }
  }
}
