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
    (node("MaxPool", ["x"], ["y", "z"], [list("kernel_shape", [2, 2])]), "output 1 is not supported"),
    (node("Reshape", ["x", "far"], ["y"]), "expected sizes of 1 or more"),
    (node("Transpose", ["x"], ["y"], [list("perm", [0, 1, 1, 2])]), "expected a permutation"),
    (node("Loop", ["x"], ["y"]), "is not supported"),
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
    #expect(Size.known(.min) / .known(-1) == .varying && Size.batch(times: 1) + .known(1) == .varying)
  }
}
