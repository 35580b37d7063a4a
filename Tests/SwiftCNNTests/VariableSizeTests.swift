import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Models for images of any size do with each size what a model of that size does.
@Suite struct VariableSizeTests {
  /// A model of that name; nil for any size.
  private func model(_ name: String, _ size: (Int, Int)?, _ more: String = "") throws -> Model {
    let shape = size.map { "[\($0.0), \($0.1), 3]" } ?? "[null, null, 3]"
    let text = #"{"input_shape": \#(shape), "classes": 5, "seed": 7, "drop_path": 0.1\#(more)}"#
    return try Model(name, options: ModelOptions(json: #require(JSON(parsing: text).objectValue)))
  }

  private func images(_ count: Int, _ size: (Int, Int)) throws -> (x: Tensor, y: Tensor) {
    let x = Formula.values("\(size)", count * size.0 * size.1 * 3)
    return (
      try Tensor(x, shape: [count, size.0, size.1, 3]), try Tensor((0..<count).map { Int32($0 % 5) }, shape: [count])
    )
  }

  @Test(arguments: ["resnet18", "resnet20", "efficientnet_b0"])
  func predictsTrainsAndEvaluatesLikeModelsOfFixedSize(_ name: String) throws {
    let sizes = name == "efficientnet_b0" ? [(40, 33), (64, 64)] : [(33, 40), (32, 32), (47, 64)]
    let settings = #"{"optimizer": {"name": "sgd", "learning_rate": 0.01}, "metrics": ["accuracy"], "seed": 2}"#
    let any = try model(name, nil)
    #expect(any.inputShape == [nil, nil, 3])
    #expect(try any.tensorShape() == [nil, 5])
    try any.compile(settings)
    for size in sizes {
      let fixed = try model(name, size), data = try images(4, size)
      #expect(any.parameterList.map(\.shape) == fixed.parameterList.map(\.shape))
      // The same values at the beginning; then what each has learned at this size.
      for parameter in any.parameterList { try fixed.set(parameter.name, any.values(parameter.name)) }
      try fixed.compile(settings)
      let another = try any.copy()
      try another.compile(settings)
      for each in [another, any] { _ = try each.predict(data.x.view, batchSize: 3) }
      #expect(try any.predict(data.x.view, batchSize: 3).bits == fixed.predict(data.x.view, batchSize: 3).bits)
      let results = try another.trainOnBatch(data.x.view, data.y.view)
      #expect(try results == fixed.trainOnBatch(data.x.view, data.y.view))
      #expect(try another.bits() == fixed.bits())
      #expect(
        try another.evaluate(data.x.view, data.y.view, batchSize: 3)
          == fixed.evaluate(data.x.view, data.y.view, batchSize: 3))
      _ = try any.trainOnBatch(data.x.view, data.y.view)
    }
  }

  @Test func imagesOfTwoSizesTrainOneModelInTurns() throws {
    let model = try model("resnet20", nil)
    try model.compile(#"{"optimizer": {"name": "adam", "learning_rate": 0.003}, "seed": 2}"#)
    let data = try [(16, 16), (24, 12)].map { try images(8, $0) }
    let losses = try (0..<20).map { _ in try data.map { try model.trainOnBatch($0.x.view, $0.y.view)[0] } }
    for size in 0..<2 { #expect(losses[19][size] < losses[0][size] / 2, "\(losses)") }
    // In a run too.
    var options = FitOptions()
    (options.batchSize, options.cropPadding, options.flipsHorizontally) = (3, 1, true)
    for each in data { #expect(try model.fit(each.x.view, each.y.view, options: options)[0][0].isFinite) }
  }

  /// A network whose output is as large as its input is trained on targets of that size.
  @Test func targetsHaveTheSizeOfTheOutput() throws {
    func network(_ shape: [Int?]) throws -> Model {
      var network = NetworkBuilder()
      let x = try network.builder.input("image", shape: shape)
      let y = try network.builder.convolution(
        x, "conv", outputChannels: 2, kernel: (3, 3), stride: (2, 2), padding: .same, bias: true)
      let model = try Model(network, output: y)
      try model.compile(#"{"loss": "mean_squared_error", "optimizer": {"name": "sgd", "learning_rate": 0.1}}"#)
      return model
    }
    let any = try network([nil, nil, 1])
    #expect(try any.tensorShape() == [nil, nil, nil, 2])
    for (height, width) in [(9, 6), (4, 4), (256, 256)] {
      let rows = (height + 1) / 2, columns = (width + 1) / 2
      let x = try Tensor(Formula.values("x", 2 * height * width), shape: [2, height, width, 1])
      let y = try Tensor(Formula.values("y", 2 * rows * columns * 2), shape: [2, rows, columns, 2])
      let fixed = try network([height, width, 1])
      for parameter in any.parameterList { try fixed.set(parameter.name, any.values(parameter.name)) }
      #expect(try any.predict(x.view).shape == [2, rows, columns, 2])
      #expect(try any.trainOnBatch(x.view, y.view) == fixed.trainOnBatch(x.view, y.view))
      #expect(try any.bits() == fixed.bits())
      #expect(try any.evaluate(x.view, y.view) == fixed.evaluate(x.view, y.view))
      let wrong = try Tensor(zeros: [2, rows + 1, columns, 2])
      expectError(.shapeMismatch, "y has shape") { _ = try any.trainOnBatch(x.view, wrong.view) }
    }
  }

  @Test func theSizeMayVaryInAFile() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("model")
    let model = try model("resnet20", nil)
    try model.write(to: path)
    let loaded = try Model(contentsOf: path)
    #expect(loaded.inputShape == [nil, nil, 3])
    for size in [(16, 16), (9, 30)] {
      let data = try images(2, size)
      #expect(try loaded.predict(data.x.view).bits == model.predict(data.x.view).bits)
    }
    #expect(model.summary.contains("[N, any, any, 16]"))
  }

  @Test func imagesThatDoNotFitAreNamed() throws {
    let model = try model("resnet20", nil)
    for (shape, message) in [
      ([2, 16, 16, 1], "expected [N, any, any, 3]"), ([16, 16, 3], "add the batch axis"), ([2, 16, 16], "expected [N"),
    ] {
      let x = try Tensor(zeros: shape)
      expectError(.shapeMismatch, message) { _ = try model.predict(x.view) }
    }
    let half = try Model(
      "resnet20", options: ModelOptions(json: #require(JSON(parsing: #"{"input_shape": [null, 20, 3]}"#).objectValue)))
    #expect(half.inputShape == [nil, 20, 3])
    let x = try Tensor(zeros: [1, 16, 16, 3])
    expectError(.shapeMismatch, "expected [N, any, 20, 3]") { _ = try half.predict(x.view) }
    // Too small for a window, at a layer that is named.
    var network = NetworkBuilder()
    let input = try network.builder.input("image", shape: [nil, nil, 3])
    let y = try network.builder.convolution(input, "wide", outputChannels: 2, kernel: (7, 7))
    let narrow = try Tensor(zeros: [1, 6, 9, 3])
    let convolution = try Model(network, output: y)
    expectError(.shapeMismatch, "'wide'") { _ = try convolution.predict(narrow.view) }
    #expect(try convolution.predict(Tensor(zeros: [1, 7, 9, 3]).view).shape == [1, 1, 3, 2])
  }

  @Test(arguments: [
    "[null, null, null]", "[null, null]", "[null, -1, 3]", "[-1, -1, 3]", "[0, null, 3]", "[null, null, 0]", "null, 3",
    #"["any", null, 3]"#, "[1.5, null, 3]", "[9223372036854775807, null, 3]",
  ])
  func otherShapesAreRefused(_ shape: String) {
    #expect(throws: CNNError.self) {
      try Model(
        "resnet20", options: ModelOptions(json: #require(JSON(parsing: #"{"input_shape": \#(shape)}"#).objectValue)))
    }
  }

  @Test func manySizesAreKeptInBounds() throws {
    // More sizes than plans are kept.
    let model = try model("resnet20", nil)
    var first: [UInt32] = []
    for round in 0..<2 {
      for size in 8..<22 {
        let bits = try model.predict(images(1, (size, size)).x.view).bits
        if size == 8 && round == 0 { first = bits }
        if size == 8 { #expect(bits == first) }
      }
    }
  }
}
