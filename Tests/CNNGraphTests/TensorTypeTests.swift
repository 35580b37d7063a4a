import CNNCore
import Testing

@testable import CNNGraph

@Suite struct TensorTypeTests {
  @Test func sizesInMemoryAreThoseOfTheLayout() throws {
    let image = try TensorType(.float32, [2, 5, 7, 20])
    #expect(image.byteCount == 2 * 5 * 7 * 20 * 4)
    let blocked = try image.with(layout: .blocked())
    #expect(blocked.count == image.count)
    #expect(blocked.byteCount == BlockedTensor(images: 2, height: 5, width: 7, channels: 20).byteCount)
    #expect(blocked.storedCount * 4 == blocked.byteCount)
    // Half as many bytes a number, so twice as many channels in a block.
    let half = try TensorType(.bfloat16, [2, 5, 7, 20], layout: .blocked())
    #expect(half.blocks?.blocks == 1 && half.byteCount == 2 * 5 * 7 * 64)
    let framed = try image.with(layout: .blocked(border: .init(top: 1, left: 2, bottom: 0, right: 3)))
    #expect(framed.blocks?.paddedHeight == 6 && framed.blocks?.paddedWidth == 12)
    #expect(try TensorType(.int8, [4, 3], layout: .packed(name: "p", byteCount: 640)).byteCount == 640)
    #expect(try TensorType(.float32, [20]).byteCount == 80)
  }

  @Test func layoutsAndQuantisationsAreWritten() throws {
    #expect("\(try TensorType(.float32, [1, 8, 8, 3]))" == "float32[1, 8, 8, 3]")
    #expect("\(try TensorType(.float32, [1, 8, 8, 3], layout: .blocked()))" == "float32[1, 8, 8, 3] blocked")
    #expect(
      "\(try TensorType(.bfloat16, [1, 8, 8, 3], layout: .blocked(border: .init(top: 1, left: 1))))"
        == "bfloat16[1, 8, 8, 3] blocked[1, 1, 0, 0]")
    #expect(
      "\(try TensorType(.float32, [8, 3, 3, 3], layout: .permuted([2, 3, 1, 0])))"
        == "float32[8, 3, 3, 3] permuted[2, 3, 1, 0]")
    let weight = try TensorType(
      .int8, [8, 3, 3, 3],
      quantization: Quantization(
        scale: Array(repeating: 0.5, count: 8), zeroPoint: Array(repeating: 0, count: 8), axis: 0))
    #expect("\(weight)" == "int8[8, 3, 3, 3] scale=[8 of axis 0]")
    #expect(
      "\(try TensorType(.uint8, [1, 4], quantization: Quantization(scale: 0.25, zeroPoint: 128)))"
        == "uint8[1, 4] scale=0.25 zero_point=128")
  }

  @Test func typesThatDifferInAnyPartAreUnequal() throws {
    let type = try TensorType(.float32, [1, 8, 8, 16])
    let others = [
      try TensorType(.bfloat16, [1, 8, 8, 16]), try TensorType(.float32, [1, 8, 16, 8]),
      try type.with(layout: .blocked()),
      try TensorType(.int8, [1, 8, 8, 16], quantization: Quantization(scale: 1)),
      try TensorType(.int8, [1, 8, 8, 16], quantization: Quantization(scale: 1, zeroPoint: 1)),
    ]
    #expect(Set(others + [type]).count == others.count + 1)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    func message(_ make: () throws -> TensorType) -> String {
      #expect(throws: CNNError.self) { _ = try make() }?.message ?? ""
    }
    #expect(
      message { try TensorType(.float32, [1, 2, 3, 4, 5], layout: .blocked()) }
        == "a tensor of shape [1, 2, 3, 4, 5] has no blocks of channels")
    #expect(
      message { try TensorType(.float32, [], layout: .blocked()) } == "a tensor of shape [] has no blocks of channels")
    #expect(
      message { try TensorType(.float32, [2, 3], layout: .permuted([0, 2])) } == "shape [2, 3] has no axes [0, 2]")
    #expect(
      message { try TensorType(.float32, [2, 3], quantization: Quantization(scale: 1)) }
        == "float32 has a scale and a zero point; only integers do")
    #expect(
      message { try TensorType(.int8, [2, 3], quantization: Quantization(scale: [1], zeroPoint: [0], axis: 1)) }
        == "there are 1 scales and 1 zero points; expected 3 of each")
    #expect(
      message { try TensorType(.int8, [2, 3], quantization: Quantization(scale: [1], zeroPoint: [0], axis: 2)) }
        == "the scales are of axis 2; the shape is [2, 3]")
    for scale in [0, -1, Float.nan, .infinity] {
      #expect(
        message { try TensorType(.int8, [2, 3], quantization: Quantization(scale: scale)) }.hasPrefix("a scale is"))
    }
  }

  @Test func operationsAreDefinedOnRowMajorTensorsOfTheirElements() throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [1, 4, 4, 8], layout: .blocked()))
    let pool = #expect(throws: CNNError.self) {
      try graph.add(GlobalPooling2D(.average, keepsAxes: true), [x], name: "pool")
    }
    #expect(pool?.message == "global_pool2d 'pool': operand 0 lies blocked; expected row_major")
    let image = try graph.addInput("image", TensorType(.float32, [1, 4, 4, 8]))
    let weight = try graph.addParameter(
      Parameter(name: "w", shape: [8, 8, 1, 1], element: .bfloat16, role: .weight, initializer: .zeros))
    let convolution = #expect(throws: CNNError.self) { try graph.add(Convolution2D(), [image, weight], name: "conv") }
    #expect(convolution?.message == "conv2d 'conv': the weight has element type bfloat16; expected float32")
    // Shapes are moved whatever they are of.
    let bytes = try graph.addInput("bytes", TensorType(.int8, [1, 4, 6]))
    let moved = try graph.addSingle(Reshape([24]), [bytes])
    #expect(graph.type(of: moved) == (try TensorType(.int8, [1, 24])))
  }

  @Test func aParameterOfAnotherElementTypeIsNotTrained() throws {
    let parameter = Parameter(name: "w", shape: [4], element: .int8, role: .weight, initializer: .zeros)
    #expect(!parameter.isTrainable && !parameter.trainable(true).isTrainable)
    var graph = Graph()
    _ = try graph.addParameter(parameter)
    #expect(graph.text == "w = parameter weight frozen : int8[4]")
    #expect(try Graph(json: graph.json).parameters == [parameter])
  }
}
