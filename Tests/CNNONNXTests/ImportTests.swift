import CNNCore
import CNNGraph
import Testing

@testable import CNNONNX

@Suite struct ImportTests {
  private func imported(_ model: Onnx_ModelProto, options: ONNXImportOptions = ONNXImportOptions()) throws
    -> ONNXNetwork
  {
    try network(try model.serializedBytes(), options: options)
  }

  private func operations(_ graph: Graph) -> [String] { graph.nodes.map { type(of: $0.operation).name } }

  @Test(arguments: ONNXExportOptions.Layout.allCases)
  func whatIsWrittenIsReadAsTheSameNetwork(_ layout: ONNXExportOptions.Layout) throws {
    let graph = try smallNetwork()
    var options = ONNXExportOptions()
    options.layout = layout
    let read = try network(model(graph, options: options))
    #expect(operations(read.graph) == operations(graph))
    #expect(Set(read.graph.parameters.map(\.name)) == Set(graph.parameters.map(\.name)))
    for parameter in graph.parameters {
      #expect(read.values[parameter.name].map { Array($0) } == values(of: parameter))
    }
    for parameter in read.graph.parameters {
      let original = graph.parameters.first { $0.name == parameter.name }
      #expect(original?.role == parameter.role && original?.shape == parameter.shape)
      #expect(original?.isTrainable == parameter.isTrainable)
    }
    #expect(read.graph.type(of: read.graph.inputs[0].value) == graph.type(of: graph.inputs[0].value))
  }

  @Test func theBatchIsSymbolicInShapeArithmetic() throws {
    let read = try imported(
      proto(
        [
          node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]),
          node("Unsqueeze", ["n", "zeros"], ["first"]), node("Mul", ["first", "two"], ["doubled"]),
          node("Div", ["doubled", "two"], ["again"]),
          node("Concat", ["again", "rest"], ["shape"], [attribute("axis", 0)]),
          node("Reshape", ["x", "shape"], ["y"]),
        ],
        initializers: [
          .with {
            $0.name = "zero"
            $0.dataType = 7
            $0.int64Data = [0]
          }, integers("zeros", [0]), integers("two", [2]), integers("rest", [6, -1]),
        ]))
    let output = read.graph.outputs[0].value
    #expect(read.graph.type(of: output).shape == [1, 6, 32])
    // The file's order of the elements: channels before height and width.
    #expect(operations(read.graph) == ["permute", "reshape"])
  }

  @Test func transpositionsAreBookkeeping() throws {
    let read = try imported(
      proto([
        node("Transpose", ["x"], ["a"], [list("perm", [0, 2, 3, 1])]), node("Relu", ["a"], ["b"]),
        node("Transpose", ["b"], ["c"], [list("perm", [0, 3, 1, 2])]), node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["y"]),
      ]))
    #expect(operations(read.graph) == ["activation", "global_pool2d", "reshape"])
  }

  /// As ShuffleNet's: among the channels, wherever these lie in memory.
  @Test func aShuffleOfChannelsMovesNothingElse() throws {
    let read = try imported(
      proto(
        [
          node("Conv", ["x", "w"], ["c"]), node("Reshape", ["c", "cut"], ["a"]),
          node("Transpose", ["a"], ["b"], [list("perm", [0, 2, 1, 3, 4])]), node("Reshape", ["b", "joined"], ["y"]),
        ],
        initializers: [
          tensor("w", [6, 3, 1, 1], Array(repeating: 1, count: 18)), integers("cut", [0, 2, 3, 8, 8]),
          integers("joined", [0, 6, 8, 8]),
        ]))
    #expect(operations(read.graph) == ["conv2d", "reshape", "permute", "reshape"])
    let permutes = read.graph.nodes.compactMap { $0.operation as? Permute }
    #expect(permutes.map(\.order) == [[0, 1, 2, 4, 3]])
    #expect(read.graph.type(of: read.graph.outputs[0].value).shape == [1, 8, 8, 6])
  }

  @Test func roundingUpIsPaddingAtTheEnd() throws {
    let read = try imported(
      proto([
        node(
          "MaxPool", ["x"], ["y"],
          [list("kernel_shape", [3, 3]), list("strides", [2, 2]), attribute("ceil_mode", 1)])
      ]))
    #expect(read.graph.type(of: read.graph.outputs[0].value).shape == [1, 4, 4, 3])
  }

  @Test func anOffsetAfterAProductIsItsBias() throws {
    let read = try imported(
      proto(
        [
          node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "w"], ["p"]), node("Add", ["b", "p"], ["y"]),
        ], input: [nil, 2, 1, 1],
        initializers: [tensor("w", [2, 3], [1, 2, 3, 4, 5, 6]), tensor("b", [3], [7, 8, 9])]))
    #expect(operations(read.graph) == ["reshape", "dense"])
    #expect(read.values["w"].map { Array($0) } == [1, 4, 2, 5, 3, 6])
  }

  @Test func anOffsetInAnotherShapeIsStillTheFilesOwn() throws {
    let read = try imported(
      proto(
        [node("Gemm", ["x", "w", "b"], ["y"], [attribute("transB", 1)])], input: [nil, 2],
        initializers: [tensor("w", [3, 2], [1, 2, 3, 4, 5, 6]), tensor("b", [1, 3], [7, 8, 9])]))
    let bias = try #require(read.graph.parameters.first { $0.name == "b" })
    #expect(bias.shape == [3] && bias.isTrainable)
  }

  /// As some exporters keep weights.
  @Test func aWeightInAConstantNodeIsTrained() throws {
    var constant = node("Constant", [], ["kernel"])
    constant.attribute = [
      .with {
        $0.name = "value"
        $0.type = .tensor
        $0.t = tensor("", [4, 3, 1, 1], Array(repeating: 0.5, count: 12))
      }
    ]
    let read = try imported(proto([constant, node("Conv", ["x", "kernel"], ["y"])]))
    #expect(read.graph.parameters.map(\.name) == ["kernel"] && read.graph.parameters.allSatisfy(\.isTrainable))
  }

  @Test func sizesThatVaryAreNotTakenForOneAnother() throws {
    let shape = [
      node("Shape", ["x"], ["s"]), node("Gather", ["s", "swapped"], ["t"]), node("Reshape", ["x", "t"], ["y"]),
    ]
    let model = proto(shape, input: [nil, 3, nil, nil], initializers: [integers("swapped", [0, 1, 3, 2])])
    let error = #expect(throws: CNNError.self) { try imported(model) }
    #expect(error?.message.contains("is not fixed") == true, "\(error?.message ?? "")")
  }

  @Test func greyImagesOfAnySizeAreRead() throws {
    var options = ONNXImportOptions()
    options.layout = .file
    let read = try imported(proto([node("Relu", ["x"], ["y"])], input: [nil, 1, nil, nil]), options: options)
    #expect(read.graph.shape(of: read.graph.outputs[0].value) == [1, 1, nil, nil])
  }

  @Test func outputsWhoseNamesAreTheSameHereGetAnotherNumber() throws {
    var model = proto([node("Relu", ["x"], ["part:0"]), node("Tanh", ["x"], ["part:1"])])
    model.graph.output = ["part:0", "part:1"].map { name in .with { $0.name = name } }
    #expect(try imported(model).graph.outputs.map(\.name) == ["part", "part_1"])
  }

  @Test func aSliceBackwardsBeginsAtTheFirstElementAtLeast() throws {
    let read = try imported(
      proto(
        [node("Slice", ["x", "start", "end", "axis", "step"], ["y"])],
        initializers: [
          integers("start", [-9]), integers("end", [.min]), integers("axis", [1]), integers("step", [-1]),
        ]))
    #expect(read.graph.type(of: read.graph.outputs[0].value).shape == [1, 8, 8, 1])
  }

  /// Each is smaller than a kilobyte and would take all memory, or end the process.
  @Test func smallFilesThatAskForMuchAreRefused() throws {
    var pixels = proto([node("Relu", ["x"], ["y"])], input: [nil, 1 << 40])
    pixels.graph.input[0].type.tensorType.elemType = 2
    var deep = [node("Gather", ["c", "c"], ["c0"])]
    for index in 0..<30 { deep.append(node("Gather", ["c\(index)", "c\(index)"], ["c\(index + 1)"])) }
    var hidden = [
      node(
        "ConstantOfShape", ["size"], ["c"], [.with { ($0.name, $0.type, $0.t) = ("value", .tensor, integers("", [1])) }]
      ),
      node("Slice", ["c", "zero", "zero"], ["e0"]),
    ]
    for index in 0..<3 {
      hidden.append(node("Unsqueeze", ["e\(index)", "axis\(index)"], ["u\(index)"]))
      hidden.append(node("Add", ["u\(index)", "c"], ["e\(index + 1)"]))
    }
    hidden.append(node("Transpose", ["e3"], ["t"]))
    let last = [node("Relu", ["x"], ["y"])]
    let whole = [integers("zero", [0]), integers("size", [1 << 21])] + (0..<3).map { integers("axis\($0)", [$0 + 1]) }
    var zero = integers("c", [0])
    zero.dims = Array(repeating: 1, count: 8)
    let parts = node("Split", ["x", "parts"], ["y"], [attribute("axis", 1)])
    let models = [
      (pixels, "channels"), (proto(deep + last, initializers: [zero], outputs: ["y", "c30"]), "axes"),
      (proto(hidden + last, initializers: whole, outputs: ["y", "t"]), "without elements"),
      (proto([parts], initializers: [integers("parts", [1, 1, 1])]), "3 parts and 1 outputs"),
      (proto([node(String(repeating: "\u{301}\u{316}", count: 10_000), ["x"], ["y"])]), "a name has"),
    ]
    for (model, message) in models {
      let error = #expect(throws: CNNError.self) { try imported(model) }
      #expect(error?.message.contains(message) == true, "\(error?.message ?? "") instead of \(message)")
    }
  }

  /// Without a bound, a small file of many nodes that each lay a weight out anew would fill the memory.
  @Test(arguments: ["Transpose", "MatMul", "Sub", "Gather"])
  func aLargeWeightIsLaidOutAFewTimesOnly(_ kind: String) throws {
    let size: Int64 = 1 << 11
    let weight = tensor("w", [size, size], Array(repeating: 1, count: Int(size * size)))
    let nodes = (0..<100).map { index -> Onnx_NodeProto in
      switch kind {
      case "Transpose": node("Transpose", ["w"], ["t\(index)"])
      case "Gather": node("Gather", ["w", "rows"], ["t\(index)"])
      case "Sub": node("Sub", ["x", "w"], ["t\(index)"])
      default:
        node(
          "Gemm", ["row", "w"], ["t\(index)"], [.with { ($0.name, $0.type, $0.f) = ("alpha", .float, Float(index)) }])
      }
    }
    let model = proto(
      [node("Slice", ["x", "zero", "one", "one"], ["part"]), node("Flatten", ["part"], ["row"])] + nodes
        + [node("Relu", ["x"], ["y"])],
      input: [nil, size, size],
      initializers: [
        weight, integers("zero", [0]), integers("one", [1]),
        integers("rows", (0..<size).reversed()),
      ], outputs: ["y"] + (0..<100).map { "t\($0)" })
    let error = #expect(throws: CNNError.self) { try imported(model) }
    #expect(error?.message.contains("elements are computed of constants") == true, "\(error?.message ?? "")")
  }

  @Test func samplesAreNotMixed() throws {
    let model = proto(
      [node("Transpose", ["x"], ["t"], [list("perm", [1, 0])]), node("Softmax", ["t"], ["y"])], input: [2, 3])
    let error = #expect(throws: CNNError.self) { try imported(model) }
    #expect(error?.message.contains("node 'the_Softmax' (Softmax)") == true)
    #expect(error?.message.contains("batch") == true)
    var options = ONNXImportOptions()
    options.batch = false
    let read = try imported(model, options: options)
    #expect(read.graph.type(of: read.graph.outputs[0].value).shape == [1, 3, 2])
  }

  @Test(arguments: [
    (node("Conv", ["x", "w"], ["y"], [attribute("group", 0)]), "groups is 0"),
    (node("Conv", ["x", "x"], ["y"]), "the weight (input 1) is computed"),
    (node("Conv", ["x"], ["y"]), "input 1 is missing"),
    (node("Relu", ["x"], ["y"], [attribute("alpha", 3)]), "attribute 'alpha' is not supported"),
    (node("Flatten", ["x"], ["y"], [attribute("axis", 9)]), "axis is 9"),
    (node("MaxPool", ["x"], ["y"]), "'kernel_shape' is missing"),
    (node("MaxPool", ["x"], ["z", "y"], [list("kernel_shape", [2, 2])]), "output 1 is not supported"),
    (node("Reshape", ["x", "far"], ["y"]), "expected sizes of 1 or more"),
    (node("Transpose", ["x"], ["y"], [list("perm", [0, 1, 1, 2])]), "expected a permutation"),
    (node("Loop", ["x"], ["y"]), "is not supported"),
    (node("Pad", ["x"], ["y"], [list("pads", [0, 0, -9, 0, 0, 0, 0, 0])]), "nothing is left along axis 2"),
  ])
  func whatIsWrongIsSaidWithTheNode(_ node: Onnx_NodeProto, _ message: String) throws {
    let model = proto(
      [node],
      initializers: [tensor("w", [4, 3, 1, 1], Array(repeating: 1, count: 12)), integers("far", [1 << 62, -2])])
    let error = #expect(throws: CNNError.self) { try imported(model) }
    #expect(error?.message.contains("node '\(node.name)' (\(node.opType))") == true, "\(error?.message ?? "")")
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func halfPrecisionIsRead() {
    #expect(Float(halfBits: 0x3C00) == 1 && Float(halfBits: 0xC100) == -2.5 && Float(halfBits: 0x7C00) == .infinity)
    #expect(Float(halfBits: 0x0001) == 0x1p-24 && Float(halfBits: 0x7E00).isNaN && Float(halfBits: 0x7BFF) == 65504)
  }

  @Test func sizesComputeWithTheBatch() {
    #expect(
      Size.batch(times: 2) * .known(3) == .batch(times: 6) && Size.batch(times: 6) / .known(3) == .batch(times: 2))
    #expect(Size.known(.max) + .known(1) == .varying && Size.known(1) / .known(0) == .varying)
    #expect(Size.batch(times: .min) / .batch(times: -1) == .varying && Size.batch(times: .min) / .known(-1) == .varying)
    #expect(Size.batch(times: 6) / .batch(times: 4) == .varying && Size.batch(times: 6) / .batch(times: 3) == .known(2))
    #expect(Size.known(.min) / .known(-1) == .varying && Size.batch(times: 1) + .known(1) == .varying)
  }
}
