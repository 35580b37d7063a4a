import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Layers by name, as the C and Python front ends add them.
@Suite struct LayerTableTests {
  private func layer(_ builder: inout GraphBuilder, _ kind: String, _ options: String, _ operands: [Value]) throws
    -> Value
  {
    try builder.layer(
      kind, name: nil, options: #require(JSON(parsing: options).objectValue), operands: operands)
  }

  static let layers: [(kind: String, options: String, shape: [Int])] = [
    ("conv2d", #"{"filters": 5, "kernel": [3, 3], "padding": "same", "bias": true}"#, [1, 8, 6, 5]),
    ("conv2d", #"{"filters": 6, "kernel": [1, 1], "stride": [2, 2], "groups": 2}"#, [1, 4, 3, 6]),
    ("depthwise_conv2d", #"{"kernel": [3, 3], "multiplier": 2, "padding": [1, 1, 1, 1]}"#, [1, 8, 6, 8]),
    ("conv2d_transpose", #"{"filters": 5, "kernel": [3, 3], "stride": [2, 2], "padding": "same"}"#, [1, 16, 12, 5]),
    ("conv2d_transpose", #"{"filters": 5, "kernel": [3, 1], "stride": [2, 3], "bias": true}"#, [1, 17, 18, 5]),
    ("conv2d_transpose", #"{"filters": 5, "kernel": [3, 3], "dilation": [2, 1]}"#, [1, 12, 8, 5]),
    ("group_norm", #"{"groups": 2}"#, [1, 8, 6, 4]), ("unit_norm", #"{"axes": [1, 2]}"#, [1, 8, 6, 4]),
    ("resize", #"{"axis": 1, "scale": 2, "interpolation": "nearest"}"#, [1, 16, 6, 4]),
    ("batch_norm", "{}", [1, 8, 6, 4]), ("dense", #"{"units": 3, "bias": false}"#, [1, 8, 6, 3]),
    ("activation", #"{"function": "silu"}"#, [1, 8, 6, 4]), ("softmax", "{}", [1, 8, 6, 4]),
    ("pool2d", #"{"kind": "max", "kernel": [2, 2]}"#, [1, 4, 3, 4]),
    ("global_pool2d", #"{"kind": "average"}"#, [1, 4]), ("reshape", #"{"shape": [-1]}"#, [1, 192]),
    ("zero_pad", #"{"padding": [1, 0, 0, 0]}"#, [1, 9, 6, 4]), ("dropout", #"{"rate": 0.5}"#, [1, 8, 6, 4]),
    ("stochastic_depth", #"{"rate": 0.5}"#, [1, 8, 6, 4]),
    ("activation", #"{"function": "leaky_relu", "alpha": 0.3, "maximum": 6}"#, [1, 8, 6, 4]),
    ("log_softmax", "{}", [1, 8, 6, 4]), ("prelu", "{}", [1, 8, 6, 4]),
    ("prelu", #"{"shared": false}"#, [1, 8, 6, 4]),
    ("rescaling", #"{"scale": 0.5, "offset": [1, 2, 3, 4]}"#, [1, 8, 6, 4]),
    ("random_flip", "{}", [1, 8, 6, 4]), ("random_crop", #"{"height": 5, "width": 6}"#, [1, 5, 6, 4]),
  ]

  @Test(arguments: layers) func aLayerHasItsShape(_ kind: String, _ options: String, _ shape: [Int]) throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [8, 6, 4])
    let y = try layer(&builder, kind, options, [x])
    #expect(builder.graph.type(of: y).shape == shape)
    try builder.graph.verify()
  }

  @Test func everyRandomLayerHasItsOwnNumbers() throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [8, 6, 4])
    for _ in 0..<3 {
      x = try layer(&builder, "dropout", #"{"rate": 0.5}"#, [x])
      x = try layer(&builder, "random_flip", "{}", [x])
      x = try layer(&builder, "random_crop", #"{"height": 5, "width": 6}"#, [x])
    }
    let streams = builder.graph.nodes.compactMap { ($0.operation as? any RandomOperation)?.stream }
    #expect(Set(streams).count == 9)
  }

  static let faults: [(kind: String, options: String, operands: Int, message: String)] = [
    ("conv", "{}", 1, "unknown layer 'conv'"), ("conv2d", "{}", 1, "attribute 'kernel' is missing"),
    ("conv2d", #"{"kernel": [3, 3]}"#, 1, "attribute 'filters' is missing"),
    ("conv2d", #"{"kernel": [3, 3], "filters": 3, "fliters": 3}"#, 1, "attribute 'fliters' is not known"),
    ("conv2d", #"{"kernel": [3, 3], "filters": 3, "groups": 2}"#, 1, "groups is 2; it must divide"),
    ("conv2d", #"{"kernel": [3, 3], "filters": 3, "groups": 0}"#, 1, "groups is 0"),
    ("conv2d", #"{"kernel": [3, 3], "filters": -3}"#, 1, "-3 output channels"),
    ("conv2d", #"{"kernel": [0, 3], "filters": 3}"#, 1, "smaller than 1"),
    ("conv2d", #"{"kernel": [9, 9], "filters": 3}"#, 1, "the window reaches over 9 rows"),
    ("depthwise_conv2d", #"{"kernel": [3, 3], "multiplier": 9223372036854775807}"#, 1, "out of range"),
    ("dense", #"{"units": 3}"#, 2, "2 operands given; expected 1"), ("dense", #"{"units": 0}"#, 1, "smaller than 1"),
    ("add", "{}", 1, "1 operands given; expected 2"), ("fill", #"{"value": 1, "shape": [1]}"#, 0, "unknown layer"),
    ("batch_norm", #"{"epsilon": -1}"#, 1, "epsilon is -1"), ("prelu", "{}", 2, "2 operands given; expected 1"),
    ("random_crop", #"{"height": 9, "width": 6}"#, 1, "the input has 8 rows and 6 columns; the crop needs 9 and 6"),
    ("rescaling", #"{"scale": [1, 2]}"#, 1, "scale has 2 numbers; expected 1, or 4"),
    ("crop", #"{"cropping": [1, 1, 1, 1]}"#, 1, "unknown layer"),
  ]

  @Test(arguments: faults)
  func aLayerThatDoesNotFitLeavesNothingBehind(_ kind: String, _ options: String, _ operands: Int, _ message: String)
    throws
  {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [8, 6, 4])
    let before = builder.graph.text
    let error = #expect(throws: CNNError.self) {
      try layer(&builder, kind, options, Array(repeating: x, count: operands))
    }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    #expect(builder.graph.text == before)
    #expect(builder.graph.valueCount == 1)
  }

  @Test func operandsOfNoValueAreRefused() throws {
    var builder = GraphBuilder()
    _ = try builder.input(shape: [8, 6, 4])
    for index in [-1, 1, Int.max, Int.min] {
      expectError(.invalidArgument, "is not a value of this graph") {
        _ = try layer(&builder, "softmax", "{}", [Value(index: index)])
      }
    }
  }

  @Test func aCustomModelKeepsWhatItsOutputNeeds() throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [8, 6, 4])
    let y = try layer(&builder, "dense", #"{"units": 3}"#, [x])
    _ = try layer(&builder, "dense", #"{"units": 7}"#, [y])
    let model = try Model(NetworkBuilder(builder.graph), output: y)
    #expect(model.parameterList.map(\.name) == ["dense.weight", "dense.bias"])
    expectError(.invalidArgument, "not the result of a layer") {
      _ = try Model(NetworkBuilder(builder.graph), output: x)
    }
  }
}
