import CNNCore
import CNNPictures
import Testing

@testable import SwiftCNN

/// What is done to pictures: the published rules, other sizes, options, files.
@Suite struct PreprocessingTests {
  let directory: TemporaryDirectory
  let path: String

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.file("model.safetensors")
  }

  private func json(_ text: String) throws -> JSONObject { try #require(JSON(parsing: text).objectValue) }

  private func model(_ name: String, _ options: String = "{}") throws -> Model {
    try Model(name, options: ModelOptions(json: json(options)))
  }

  /// Of the graph alone, since the large models' parameters would take their time.
  @Test func everyBuilderHasWhatItWasPublishedWith() throws {
    let published = try GoldenFile("pictures").document.object("published")
    for variant in ModelRegistry.variants {
      guard let rule = published[variant.name]?.arrayValue else {
        let isKeras = variant.name.hasPrefix("keras_")  // Which publishes a size, and no rule for pictures.
        #expect(variant.resolution == (isKeras ? 224 : 32), "\(variant.name)")
        #expect(variant.pictures == PictureConstants(shorterSide: isKeras ? 256 : 32), "\(variant.name)")
        continue
      }
      #expect(variant.pictures.shorterSide == rule[0].integerValue, "\(variant.name)")
      #expect(variant.resolution == rule[1].integerValue, "\(variant.name)")
      #expect(variant.pictures.interpolation.rawValue == rule[2].stringValue, "\(variant.name)")
    }
    #expect(published.keys.allSatisfy { ModelRegistry.names.contains($0) })
  }

  @Test(arguments: [
    ("resnet18", "{}", 256, 224, 224), ("resnet18", #"{"input_shape": [448, 448, 3]}"#, 512, 448, 448),
    ("resnet18", #"{"input_shape": [64, 96, 3]}"#, 109, 64, 96),
    ("resnet18", #"{"input_shape": [null, null, 3]}"#, 256, 224, 224),
    ("resnet18", #"{"input_shape": [64, null, 3]}"#, 73, 64, 64),
    ("resnet18", #"{"input_shape": [64, 64, 1]}"#, 64, 64, 64), ("resnet20", "{}", 32, 32, 32),
  ])
  func otherSizesHaveTheSameRatio(_ name: String, _ options: String, _ side: Int, _ height: Int, _ width: Int) throws {
    let preprocessing = try model(name, options).preprocessing
    #expect(preprocessing.resizing == .shorterSide(side))
    #expect(preprocessing.crop == Preprocessing.Crop(height: height, width: width))
    #expect(preprocessing.interpolation == .bilinear)
  }

  @Test func aModelOfLayersTakesTheMiddleThatFillsItsInput() throws {
    let small = try Model(tinyNetwork(), name: "mine").preprocessing
    #expect(small == Preprocessing(resizing: .shorterSide(8), crop: .init(height: 8, width: 8)))
    var builder = GraphBuilder()
    let input = try builder.input(shape: [nil, nil, 3])
    try builder.graph.addOutput("y", builder.apply(GlobalPooling2D(.average), input))
    #expect(try Model(builder.graph, name: "any size").preprocessing == Preprocessing(resizing: nil, crop: nil))
  }

  @Test func sizesAreTorchvisions() throws {
    for entry in try GoldenFile("pictures").document.array("geometry") {
      let entry = try #require(entry.objectValue), from = try entry.integers("from"), crop = try entry.integers("crop")
      // Each pixel is unlike its neighbours.
      let original = try Picture(height: from[0], width: from[1], channels: 1)
      original.withPixels {
        for index in $0.indices { $0[index] = UInt8(truncatingIfNeeded: index &* 7 &+ index / 251) }
      }
      let preprocessing = try Preprocessing(
        resizing: .shorterSide(entry.integer("resize")), crop: .init(height: crop[0], width: crop[1]))
      let size = try entry.integers("resized")
      let expected = try original.resized(height: size[0], width: size[1])
      let result = try original.preprocessed(by: preprocessing)
      let top = try entry.integer("top"), left = try entry.integer("left")
      for y in 0..<crop[0] {
        for x in 0..<crop[1] {
          let (row, column) = (y + top, x + left)
          let isInside = (0..<size[0]).contains(row) && (0..<size[1]).contains(column)
          let value = expected.withPixels { isInside ? $0[row * size[1] + column] : 0 }
          try #require(result.withPixels { $0[y * crop[1] + x] } == value, "\(entry)")
        }
      }
    }
  }

  @Test func optionsReplaceWhatTheyName() throws {
    let model = try model("resnet20", #"{"preprocessing": {"resize": [40, 50], "mean": [0.1, 0.2, 0.3]}}"#)
    #expect(model.preprocessing.resizing == .exact(height: 40, width: 50))
    #expect(model.preprocessing.crop == .init(height: 32, width: 32))
    #expect(model.normalization.mean == [0.1, 0.2, 0.3])
    #expect(model.normalization.deviation == [0.229, 0.224, 0.225])
    try model.setPreprocessing(json(#"{"crop": null, "interpolation": "lanczos"}"#))
    #expect(model.preprocessing.resizing == .exact(height: 40, width: 50))
    #expect(model.preprocessing.crop == nil && model.preprocessing.interpolation == .lanczos)
    try model.setPreprocessing(json(#"{"crop": 30, "resize": null, "std": [1, 1, 1]}"#))
    #expect(
      model.preprocessing == Preprocessing(resizing: nil, crop: .init(height: 30, width: 30), interpolation: .lanczos))
    #expect(model.normalization.deviation == [1, 1, 1])
    #expect(
      try JSON.object(model.preprocessingDescription).serialized()
        == #"{"resize":null,"crop":[30,30],"interpolation":"lanczos","mean":[0.1,0.2,0.3],"std":[1.0,1.0,1.0]}"#)
  }

  @Test(arguments: [
    (#"{"resize": 0}"#, CNNError.Code.invalidArgument, "'resize' is 0; expected 1 to 65536 pixels"),
    (#"{"resize": [1, 2, 3]}"#, .invalidArgument, "'resize': expected a number of pixels, [height, width] or null"),
    (#"{"resize": "256"}"#, .invalidArgument, "'resize': expected a number of pixels"),
    (#"{"crop": [5, -1]}"#, .invalidArgument, "'crop' is -1"),
    (#"{"crop": 65537}"#, .invalidArgument, "'crop' is 65537"),
    (#"{"interpolation": "cubic"}"#, .unknownName, "interpolation 'cubic'"),
    (#"{"interpolation": 3}"#, .invalidArgument, "'interpolation': expected one of nearest"),
    (#"{"size": 3}"#, .unknownName, "option 'size'"), (#"{"mean": [1]}"#, .invalidArgument, "mean is [1.0]"),
    (#"{"mean": "x"}"#, .invalidArgument, "'mean': expected an array of numbers, found 'x'"),
  ])
  func whatIsOutOfRangeIsNamed(_ text: String, _ code: CNNError.Code, _ message: String) throws {
    let model = try model("resnet20"), before = model.preprocessingDescription
    expectError(code, message) { try model.setPreprocessing(json(text)) }
    #expect(model.preprocessingDescription == before)
    expectError(code, message) { _ = try self.model("resnet20", #"{"preprocessing": \#(text)}"#) }
  }

  @Test func itTravelsInTheFileAndInCopies() throws {
    let model = try model(
      "resnet20", #"{"preprocessing": {"resize": 40, "crop": [32, 32], "interpolation": "bicubic"}}"#)
    try model.write(to: path)
    for copy in try [Model(contentsOf: path), model.copy()] {
      #expect(copy.preprocessing == model.preprocessing)
      #expect(copy.preprocessingDescription == model.preprocessingDescription)
    }
  }

  /// Writes the file anew with some members of its header replaced or taken away.
  private func rewrite(_ changes: [String: JSON] = [:], without missing: [String] = []) throws {
    let file = try SafetensorsFile(path: path)
    var metadata = file.metadata
    var header = try ModelFile.object(#require(metadata[ModelFile.modelKey]))
    for (key, value) in changes { header[key] = value }
    for key in missing { header[key] = nil }
    metadata[ModelFile.modelKey] = try JSON.object(header).serialized()
    var blocks: [Memory] = []
    var tensors: [SafetensorsWriter.Tensor] = []
    for tensor in file.tensors {
      let block = try Memory(byteCount: tensor.byteRange.count, for: "test")
      let bytes = UnsafeMutableRawBufferPointer(start: block.base, count: block.byteCount)
      try file.readBytes(tensor.name, into: bytes)
      tensors.append(.init(name: tensor.name, shape: tensor.shape, type: .float32, bytes: .init(bytes)))
      blocks.append(block)
    }
    try SafetensorsWriter.write(to: path, tensors: tensors, metadata: metadata)
    withExtendedLifetime(blocks) {}
  }

  @Test func filesOfEarlierReleasesHaveTheirBuilders() throws {
    let model = try model("efficientnet_b0", #"{"input_shape": [64, 64, 3]}"#)
    try model.write(to: path)
    try rewrite(without: ["preprocessing", "class_names"])
    let copy = try Model(contentsOf: path)
    #expect(copy.preprocessing == model.preprocessing && copy.preprocessing.interpolation == .bicubic)
    #expect(copy.preprocessing.resizing == .shorterSide(73))
    #expect(copy.classNames?.first == "tench")
  }

  @Test(arguments: [
    ("preprocessing", #"{"resize": -1}"#, "'resize' is -1"), ("preprocessing", "5", "expected an object"),
    ("preprocessing", #"{"x": 1}"#, "option 'x'"), ("class_names", #"["a"]"#, "there are 1 class names"),
    ("class_names", #"[1, 2, 3, 4]"#, "expected an array of strings"),
    ("class_names", #"["a", "b", "", "d"]"#, "the name of class 2 is empty"),
  ])
  func aFileThatIsWrongIsRefused(_ key: String, _ value: String, _ message: String) throws {
    try model("resnet20", #"{"classes": 4}"#).write(to: path)
    try rewrite([key: JSON(parsing: value)])
    expectError(.malformedFile, message) { _ = try Model(contentsOf: path) }
  }
}
