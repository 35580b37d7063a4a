import CNNCore
import Testing

@testable import CNNGraph

/// Networks for images of any size.
@Suite struct VariableAxesTests {
  /// A graph with the input `x` of such a shape without the batch.
  private func builder(_ shape: [Int?] = [nil, nil, 4], example: Int = 32) throws -> (GraphBuilder, Value) {
    var builder = GraphBuilder()
    let x = try builder.input("x", shape: shape, example: example)
    return (builder, x)
  }

  /// What takes an image of any size, and the shape of its result.
  private static let accepted: [(operation: any Operation, shape: [Int?])] = [
    (Activation(.gelu), [1, nil, nil, 4]), (Softmax(), [1, nil, nil, 4]), (LogSoftmax(), [1, nil, nil, 4]),
    (Rescaling(scale: [2], offset: [1]), [1, nil, nil, 4]),
    (Dropout(rate: 0.5, stream: 0), [1, nil, nil, 4]), (StochasticDepth(rate: 0.5, stream: 0), [1, nil, nil, 4]),
    (RandomFlip(stream: 0), [1, nil, nil, 4]), (RandomCrop(height: 8, width: 7, stream: 0), [1, 8, 7, 4]),
    (Pooling2D(.max, kernel: [2, 2]), [1, nil, nil, 4]),
    (Pooling2D(.average, kernel: [3, 3], stride: [2, 1], padding: .same), [1, nil, nil, 4]),
    (GlobalPooling2D(.average), [1, 4]), (GlobalPooling2D(.max, keepsAxes: true), [1, 1, 1, 4]),
    (Reshape.flatten, [1, nil]), (Reshape([-1, 4]), [1, nil, 4]), (Reshape([-1, 2, 2]), [1, nil, 2, 2]),
    (ZeroPadding2D([1, 2, 3, 4]), [1, nil, nil, 4]), (Crop2D([1, 2, 3, 4]), [1, nil, nil, 4]),
    (Permute([0, 3, 1, 2]), [1, 4, nil, nil]), (Slice(axis: -1, start: 1, length: 2), [1, nil, nil, 2]),
    (Slice(axis: 1, start: 3, length: 5), [1, 5, nil, 4]),
    (SpatialSum(), [1, 1, 1, 4]), (SumLeadingAxes(), [4]),
  ]

  @Test func shapesFollowTheInput() throws {
    for (operation, shape) in Self.accepted {
      var (builder, x) = try builder()
      let y = try builder.apply(operation, x)
      #expect(builder.graph.shape(of: y) == shape, "\(type(of: operation).name)")
      #expect(builder.graph.shape(of: x) == [1, nil, nil, 4])
    }
  }

  /// Two images of any size, and layers with parameters.
  @Test func shapesFollowThroughLayersOfSeveralOperands() throws {
    var (builder, x) = try builder()
    func expectShape(_ value: Value, _ shape: [Int?], sourceLocation: SourceLocation = #_sourceLocation) {
      #expect(builder.graph.shape(of: value) == shape, sourceLocation: sourceLocation)
    }
    let convolution = try builder.convolution(x, "conv", outputChannels: 6, kernel: (3, 3), stride: (2, 2))
    expectShape(convolution, [1, nil, nil, 6])
    let normalized = try builder.batchNormalization(convolution, "bn")
    expectShape(normalized, [1, nil, nil, 6])
    expectShape(try builder.parametricRelu(normalized, "prelu"), [1, nil, nil, 6])
    expectShape(try builder.depthwiseConvolution(x, "d", kernel: (3, 1)), [1, nil, nil, 4])
    expectShape(try builder.dense(x, "dense", units: 5), [1, nil, nil, 5])
    expectShape(try builder.apply(Add(), x, x), [1, nil, nil, 4])
    let squeezed = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), x)
    expectShape(try builder.apply(Multiply(), squeezed, x), [1, nil, nil, 4])
    expectShape(try builder.apply(Concatenate(), x, x), [1, nil, nil, 8])
    expectShape(try builder.apply(Concatenate(axis: 1), x, x), [1, nil, nil, 4])
    let pooled = try builder.apply(GlobalPooling2D(.average), x)
    expectShape(try builder.dense(pooled, "fc", units: 3), [1, 3])
  }

  @Test func oneAxisAloneMayVary() throws {
    var (builder, x) = try builder([16, nil, 4])
    let y = try builder.convolution(x, "conv", outputChannels: 6, kernel: (3, 3), padding: .same)
    #expect(builder.graph.shape(of: y) == [1, 16, nil, 6])
    #expect(builder.graph.inputs[0].variableAxes == [2])
  }

  @Test func whatNeedsAFixedSizeIsNamed() throws {
    func expectFault(_ name: String, _ add: (inout GraphBuilder, Value) throws -> Void) throws {
      var (builder, x) = try self.builder()
      let error = #expect(throws: CNNError.self) { try add(&builder, x) }
      #expect(error?.code == .shapeMismatch)
      #expect(error?.message.contains("'\(name)'") == true, "\(error?.message ?? "")")
      #expect(error?.message.contains("the input's size varies, and for one of twice the size") == true)
    }
    try expectFault("fc") { builder, x in
      _ = try builder.dense(builder.apply(Reshape.flatten, x), "fc", units: 3)
    }
    try expectFault("prelu") { builder, x in _ = try builder.parametricRelu(x, "prelu", isShared: false) }
    try expectFault("grid") { builder, x in _ = try builder.apply(Reshape([32, 32, 4]), x, name: "grid") }
    try expectFault("sum") { builder, x in
      let fixed = try builder.apply(RandomCrop(height: 32, width: 32, stream: 0), x)
      _ = try builder.apply(Add(), x, fixed, name: "sum")
    }
    var (builder, x) = try builder([8, 8, nil])
    #expect(throws: CNNError.self) { try builder.convolution(x, "conv", outputChannels: 2, kernel: (1, 1)) }
  }

  @Test func rebindingFixesTheSize() throws {
    var (builder, x) = try builder()
    let y = try builder.convolution(x, "conv", outputChannels: 6, kernel: (3, 3), stride: (2, 2), padding: .same)
    try builder.graph.addOutput("y", y)
    for (height, width) in [(1, 1), (5, 8), (33, 64)] {
      let bound = try builder.graph.rebound(["x": type([2, height, width, 4])])
      #expect(bound.inputs[0].variableAxes.isEmpty)
      #expect(bound.shape(of: bound.outputs[0].value) == [2, (height + 1) / 2, (width + 1) / 2, 6])
      try bound.verify()
    }
    let half = try builder.graph.rebound(["x": type([1, 9, 9, 4])], variableAxes: ["x": [1]])
    #expect(half.shape(of: half.outputs[0].value) == [1, nil, 5, 6])
    // Whatever else is done to a network keeps what varies.
    for graph in [
      try builder.graph.removingDeadNodes(), try builder.graph.removingDeadParameters(),
      try builder.graph.trainingForm(), try builder.graph.inferenceForm(), try builder.graph.frozenForm(),
      try builder.graph.selectingOutputs(["conv"]),
    ] {
      #expect(graph.inputs[0].variableAxes == [1, 2])
      #expect(graph.shape(of: graph.outputs[0].value) == [1, nil, nil, 6])
    }
  }

  @Test func whatVariesIsStored() throws {
    var (builder, x) = try builder([nil, 20, 4])
    try builder.graph.addOutput("y", builder.convolution(x, "conv", outputChannels: 6, kernel: (3, 3)))
    let text = try builder.graph.json.serialized()
    let copy = try Graph(json: JSON(parsing: text))
    #expect(copy.inputs[0].variableAxes == [1])
    #expect(copy.shape(of: copy.outputs[0].value) == [1, nil, 18, 6])
    #expect(try copy.json.serialized() == text)
    let fixed = try smallNetwork().json.serialized()
    #expect(!fixed.contains("variable_axes"))
  }

  /// A graph of one input with these axes.
  private func graph(shape: String, axes: String, more: String = "") throws -> Graph {
    try Graph(
      json: JSON(
        parsing: #"{"inputs":[{"name":"x","element":"float32","shape":\#(shape),"variable_axes":\#(axes)}],"#
          + #""parameters":[],"nodes":[\#(more)],"outputs":[]}"#))
  }

  @Test(arguments: [
    ("[1,4,4,3]", "[4]", "no axis 4"), ("[1,4,4,3]", "[-1]", "no axis -1"),
    ("[1,4,4,3]", "[9223372036854775807]", "no axis"), ("[1,4,4,3]", "[-9223372036854775808]", "no axis"),
    ("[1,4,4,3]", "[1,1]", "axis 1 is given twice"), ("[1,4,4,3]", "3", "variable_axes"),
    ("[1,4,4,3]", "[1.5]", "variable_axes"), ("[1,4,4,3]", #"["1"]"#, "variable_axes"), ("[]", "[0]", "no axis 0"),
  ])
  func aFileWithOtherAxesIsRefused(_ shape: String, _ axes: String, _ message: String) {
    let error = #expect(throws: CNNError.self) { try graph(shape: shape, axes: axes) }
    #expect(error?.code == .malformedFile)
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func aSizeThatCannotBeDoubledIsRefused() {
    // The largest tensor has 2 to the power of 46 bytes.
    for (shape, axes) in [
      ("[1,8796093022208,2,1]", "[1]"), ("[1,2097152,2097152,4]", "[1,2]"), ("[1,4611686018427387904]", "[1]"),
    ] {
      let error = #expect(throws: CNNError.self) { try graph(shape: shape, axes: axes) }
      #expect(error?.code == .outOfMemory, "\(error?.message ?? "")")
    }
    let rest = #"{"name":"n","operation":"zero_pad","attributes":{"padding":[1,1,1,1]},"operands":["x"]}"#
    #expect(throws: CNNError.self) { try graph(shape: "[1,4194302,2097152,1]", axes: "[1]", more: rest) }
  }

  @Test func anInputThatVariesRollsBackLikeAnother() throws {
    var (builder, x) = try builder()
    let mark = builder.graph.mark
    let text = builder.graph.text
    #expect(throws: CNNError.self) {
      try builder.dense(builder.apply(Reshape.flatten, x, name: "flat"), "fc", units: 3)
    }
    builder.graph.rollBack(to: mark)
    #expect(builder.graph.text == text)
    // Another layer takes the place, with shapes of its own.
    let y = try builder.apply(GlobalPooling2D(.average), x, name: "flat")
    #expect(builder.graph.shape(of: y) == [1, 4])
  }
}
