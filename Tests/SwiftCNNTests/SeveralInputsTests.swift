import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Models that read several arrays.
@Suite struct SeveralInputsTests {
  /// A dense classifier of rows `[N, 7]`, or of the same rows in two parts, `a` `[N, 4]` and `b` `[N, 3]`.
  private func rows(inTwoParts: Bool) throws -> Model {
    var builder = GraphBuilder()
    let x =
      inTwoParts
      ? try builder.apply(
        Concatenate(axis: 1), builder.input("a", shape: [4]), builder.input("b", shape: [3]), name: "concat")
      : try builder.input("x", shape: [7])
    let hidden = try builder.activation(.tanh, builder.dense(x, "hidden", units: 8), "tanh")
    try builder.graph.addOutput("y", builder.apply(Softmax(), builder.dense(hidden, "fc", units: 3), name: "y"))
    return try Model(builder.graph, name: "rows", seed: 5)
  }

  /// The columns of a tensor `[N, ...]` as one of rank 2.
  private func columns(_ range: Range<Int>, of x: Tensor) throws -> Tensor {
    let width = x.shape[1], values = x.values
    return try Tensor(
      (0..<x.shape[0]).flatMap { row in range.map { values[row * width + $0] } }, shape: [x.shape[0], range.count])
  }

  private struct Data {
    let whole, a, b, labels: Tensor
  }

  private func data(_ count: Int) throws -> Data {
    let whole = try Tensor(Formula.values("rows", count * 7), shape: [count, 7])
    let labels = try Tensor((0..<count).map { Int32($0 * 5 % 3) }, shape: [count])
    return try Data(whole: whole, a: columns(0..<4, of: whole), b: columns(4..<7, of: whole), labels: labels)
  }

  @Test func aRowInTwoPartsGivesTheBitsOfTheWholeRow() throws {
    let one = try rows(inTwoParts: false), two = try rows(inTwoParts: true), data = try data(37)
    #expect(two.inputNames == ["a", "b"])
    #expect(two.inputShapes == [[4], [3]])
    let wanted = try one.predict(data.whole.view, batchSize: 8).bits
    #expect(try two.predict([data.a.view, data.b.view], batchSize: 8).bits == wanted)
    #expect(try two.predict(["b": data.b.view, "a": data.a.view], batchSize: 8).bits == wanted)
    #expect(try two.outputShape(for: [data.a.view, data.b.view]) == [37, 3])
    #expect(try two.tensorShape("b") == [nil, 3])
  }

  @Test func trainingOnTwoPartsIsThatOnTheWholeRow() throws {
    let one = try rows(inTwoParts: false), two = try rows(inTwoParts: true), data = try data(37)
    let settings = """
      {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, "metrics": ["accuracy"], "seed": 3,
       "loss": "sparse_categorical_crossentropy"}
      """
    try one.compile(settings)
    try two.compile(settings)
    var options = FitOptions()
    (options.batchSize, options.epochs) = (8, 3)
    let parts = [data.a.view, data.b.view], labels = data.labels.view
    let before = try two.evaluate(parts, labels)
    #expect(try two.fit(parts, labels, options: options) == one.fit(data.whole.view, labels, options: options))
    #expect(try two.trainOnBatch(parts, labels) == one.trainOnBatch(data.whole.view, labels))
    #expect(try two.bits() == one.bits())
    let after = try two.evaluate(parts, labels, batchSize: 10)
    #expect(try after == one.evaluate(data.whole.view, labels, batchSize: 10))
    #expect(after[0] < before[0])
    #expect(try two.profile(parts, labels, repeats: 1).imageCount == 37)
    #expect(try two.profile(parts, repeats: 1).steps.isEmpty == false)
  }

  /// A picture `[N, 6, 6, 3]`, another of one channel, and a row of numbers.
  private func pictures(_ size: Int? = 6) throws -> Model {
    var builder = GraphBuilder()
    let image = try builder.input("image", shape: [size, size, 3], example: 6)
    let mask = try builder.input("mask", shape: [size, size, 1], example: 6)
    let numbers = try builder.input("numbers", shape: [2])
    let both = try builder.apply(Concatenate(axis: 3), image, mask, name: "both")
    let conv = try builder.activation(
      .relu, builder.convolution(both, "conv", outputChannels: 4, kernel: (3, 3), padding: .all(1)), "relu")
    let pooled = try builder.apply(GlobalPooling2D(.average), conv, name: "pool")
    let all = try builder.apply(Concatenate(axis: 1), pooled, numbers, name: "all")
    try builder.graph.addOutput("y", builder.dense(all, "fc", units: 2))
    return try Model(builder.graph, name: "pictures", seed: 1, mean: [0.1, 0.2, 0.3], deviation: [0.5, 1, 2])
  }

  @Test func pixelsOfAnImageAreNormalizedAndTheOthersAreFloats() throws {
    let model = try pictures()
    let pixels = (0..<2 * 108).map { UInt8($0 * 37 % 256) }
    let image = try Tensor(pixels, shape: [2, 6, 6, 3])
    let floats = pixels.enumerated().map { index, pixel -> Float in
      let channel = index % 3
      return (Float(pixel) / 255 - [0.1, 0.2, 0.3][channel]) / [0.5, 1, 2][channel]
    }
    let mask = try Tensor(Formula.values("mask", 72), shape: [2, 6, 6, 1])
    let numbers = try Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
    let wanted = try model.predict([Tensor(floats, shape: [2, 6, 6, 3]).view, mask.view, numbers.view]).values
    expectClose(try model.predict([image.view, mask.view, numbers.view]).values, wanted, 1e-6, "pixels")

    let grey = try Tensor([UInt8](repeating: 1, count: 72), shape: [2, 6, 6, 1])
    expectError(.shapeMismatch, "the input 'mask' has element type uint8; expected float32: pixels are images of 3") {
      _ = try model.predict([image.view, grey.view, numbers.view])
    }
    let wide = try Tensor([Int32](repeating: 1, count: 72), shape: [2, 6, 6, 1])
    expectError(.shapeMismatch, "the input 'mask' has element type int32; expected float32") {
      _ = try model.predict([image.view, wide.view, numbers.view])
    }
    // Numbers that are no image are what they are, and int32 pixels are pixels.
    let integers = try Tensor(pixels.map { Int32($0) }, shape: [2, 6, 6, 3])
    let found = try model.predict([image.view, mask.view, numbers.view]).bits
    let bytes = try Tensor([1, 2, 3, 4] as [UInt8], shape: [2, 2])
    for counts in [bytes, try Tensor([1, 2, 3, 4] as [Int32], shape: [2, 2])] {
      #expect(try model.predict([integers.view, mask.view, counts.view]).bits == found)
    }
    let outside = try Tensor(pixels.map { Int32($0) * 257 }, shape: [2, 6, 6, 3])
    expectError(.invalidArgument, "the input 'image' holds integers from 0 to 65535; integers are pixels") {
      _ = try model.predict([outside.view, mask.view, numbers.view])
    }
  }

  @Test func imagesThatLookLikePixelsAreToldOf() throws {
    let model = try pictures(), numbers = try Tensor(.float32, zeros: [2, 2])
    let image = try Tensor((0..<216).map { Float($0 * 37 % 256) }, shape: [2, 6, 6, 3])
    let mask = try Tensor((0..<72).map { Float($0 * 37 % 256) }, shape: [2, 6, 6, 1])
    func warning() throws -> String {
      var text = ""
      try model.readWarning { text = $0 }
      return text
    }
    // Only of images whose pixels are normalised it is known what they should be.
    let small = try Tensor(Formula.values("image", 216), shape: [2, 6, 6, 3])
    _ = try model.predict([small.view, mask.view, numbers.view])
    #expect(try warning() == "")
    _ = try model.predict([image.view, mask.view, numbers.view])
    #expect(try warning().hasPrefix("x looks like pixels that are not normalised"))
    let pixels = try Tensor((0..<216).map { UInt8($0 * 37 % 256) }, shape: [2, 6, 6, 3])
    try model.compile(#"{"loss": "mean_squared_error", "optimizer": "sgd"}"#)
    let targets = try Tensor(.float32, zeros: [2, 2])
    _ = try model.trainOnBatch([pixels.view, mask.view, numbers.view], targets.view)
    #expect(model.trainedOn == .pixels)
  }

  @Test func whatDoesNotFitIsNamed() throws {
    let model = try rows(inTwoParts: true), data = try data(6)
    let a = data.a.view, b = data.b.view
    expectError(.invalidArgument, "x is 1 array; the model has 2 inputs: 'a', 'b'") { _ = try model.predict(a) }
    expectError(.invalidArgument, "x is 3 arrays; the model has 2 inputs") { _ = try model.predict([a, b, b]) }
    expectError(.invalidArgument, "no array for the input 'b'") { _ = try model.predict(["a": a]) }
    expectError(.unknownName, "'c'") { _ = try model.predict(["a": a, "b": b, "c": b]) }
    expectError(.shapeMismatch, "the input 'a' has shape [6, 3]; expected [N, 4]") { _ = try model.predict([b, a]) }
    let short = b.samples(0..<5)
    expectError(.shapeMismatch, "the input 'a' has 6 samples and 'b' 5") { _ = try model.predict([a, short]) }
    let labels = try Tensor([Int32](repeating: 0, count: 6), shape: [6])
    try model.compile(#"{"loss": "sparse_categorical_crossentropy", "optimizer": "sgd"}"#)
    expectError(.invalidArgument, "2 inputs") { _ = try model.fit(a, labels.view) }
    expectError(.shapeMismatch, "'b' 5") { _ = try model.evaluate([a, short], labels.view) }
    expectError(.invalidState, "needs a model with one input; the model has 2 inputs: 'a', 'b'") {
      _ = try model.classify("photo.jpg")
    }
    expectError(.invalidState, "classify needs a model with one input") { _ = try model.classify(batch: [a, b]) }
  }

  @Test func sizesThatVaryDoSoInEveryInput() throws {
    let model = try pictures(nil), fixed = try pictures()
    try model.copyState(of: fixed)
    #expect(model.inputShapes == [[nil, nil, 3], [nil, nil, 1], [2]])
    let numbers = try Tensor([1, 2] as [Float], shape: [1, 2])
    for size in [6, 9, 4] {
      let image = try Tensor(Formula.values("image", size * size * 3), shape: [1, size, size, 3])
      let mask = try Tensor(Formula.values("mask", size * size), shape: [1, size, size, 1])
      let found = try model.predict([image.view, mask.view, numbers.view])
      if size == 6 { #expect(try found.bits == fixed.predict([image.view, mask.view, numbers.view]).bits) }
    }
    let image = try Tensor(.float32, zeros: [1, 6, 6, 3]), mask = try Tensor(.float32, zeros: [1, 7, 6, 1])
    expectError(.shapeMismatch, "both") { _ = try model.predict([image.view, mask.view, numbers.view]) }
  }

  @Test func imagesOfASampleAreFlippedTogether() throws {
    // The difference of an image and its copy is 0 only where both are flipped or neither is; the loss is then 0.
    var builder = GraphBuilder()
    let a = try builder.input("a", shape: [4, 4, 1]), b = try builder.input("b", shape: [4, 4, 1])
    let negative = try builder.apply(Rescaling(scale: [-1], offset: [0]), b, name: "negative")
    let difference = try builder.apply(Add(), a, negative, name: "difference")
    let square = try builder.activation(.power, difference, "square")
    let pooled = try builder.apply(GlobalPooling2D(.average), square, name: "pool")
    try builder.graph.addOutput("y", builder.dense(pooled, "fc", units: 1, bias: false))
    let model = try Model(builder.graph, name: "twins")
    try model.compile(#"{"loss": "mean_squared_error", "optimizer": {"name": "sgd", "learning_rate": 0}}"#)
    let image = try Tensor(Formula.values("twins", 32 * 16), shape: [32, 4, 4, 1])
    let zeros = try Tensor(.float32, zeros: [32, 1])
    var options = FitOptions()
    (options.flipsHorizontally, options.cropPadding) = (true, 1)
    #expect(try model.fit([image.view, image.view], zeros.view, options: options).map(\.values) == [[0]])
    let other = try Tensor(Formula.values("other", 32 * 16), shape: [32, 4, 4, 1])
    #expect(try model.fit([image.view, other.view], zeros.view, options: options)[0][0] > 0)
  }

  @Test func filesAndClonesKeepTheInputs() throws {
    let model = try pictures(), directory = try TemporaryDirectory()
    let path = directory.file("model.safetensors")
    try model.write(to: path)
    let image = try Tensor([UInt8](repeating: 7, count: 108), shape: [1, 6, 6, 3])
    let mask = try Tensor(.float32, zeros: [1, 6, 6, 1]), numbers = try Tensor([1, 2] as [Float], shape: [1, 2])
    let x = ["image": image.view, "mask": mask.view, "numbers": numbers.view]
    let wanted = try model.predict(x).bits
    for other in [try Model(contentsOf: path), try model.copy()] {
      #expect(other.inputNames == ["image", "mask", "numbers"])
      #expect(try other.predict(x).bits == wanted)
    }
    let summary = model.summary
    for name in ["image", "mask", "numbers"] { #expect(summary.contains("\n\(name) ")) }
    #expect(try model.fusedSummary().utf8.count > summary.utf8.count)
  }

  @Test func asALayerItReadsAValueForEachInput() throws {
    let model = try rows(inTwoParts: true), data = try data(5)
    for inference in [false, true] {
      var network = NetworkBuilder()
      let b = try network.builder.input("second", shape: [3]), a = try network.builder.input("first", shape: [4])
      expectError(.invalidArgument, "applied to 1 values; it has 2 inputs: 'a', 'b'") {
        _ = try network.apply(model, to: a)
      }
      let y = try network.apply(model, to: [a, b], prefix: "part.", inference: inference)
      let whole = try Model(network, output: y)
      #expect(whole.inputNames == ["second", "first"])
      #expect(try whole.predict([data.b.view, data.a.view]).bits == model.predict([data.a.view, data.b.view]).bits)
    }
  }
}
