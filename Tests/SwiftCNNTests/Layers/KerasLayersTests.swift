import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// What the layers of a network are in Keras.
@Suite struct KerasLayersTests {
  /// The description of a network of one layer, or of the last of several.
  private func described(_ layers: [(kind: String, name: String, options: String)]) throws -> JSONObject {
    var builder = GraphBuilder()
    var x = try builder.input("x", shape: [8, 6, 4])
    for layer in layers {
      x = try builder.layer(
        layer.kind, name: layer.name, options: #require(JSON(parsing: layer.options).objectValue), operands: [x])
    }
    try builder.graph.addOutput("y", x)
    let rows = try #require(builder.graph.kerasLayers.arrayValue)
    return try #require(rows.last?.objectValue)
  }

  static let layers: [(kind: String, options: String, name: String, config: String)] = [
    (
      "conv2d", #"{"filters": 6, "kernel": [3, 1], "stride": [2, 2], "groups": 2, "bias": true}"#, "Conv2D",
      #"{"use_bias": true, "dilation_rate": [1, 1], "filters": 6, "kernel_size": [3, 1], "groups": 2, "strides": [2, 2], "padding": "valid"}"#
    ),
    (
      "depthwise_conv2d", #"{"kernel": [3, 3], "multiplier": 2, "padding": "same"}"#, "DepthwiseConv2D",
      #"{"use_bias": false, "dilation_rate": [1, 1], "kernel_size": [3, 3], "depth_multiplier": 2, "strides": [1, 1], "padding": "same"}"#
    ),
    (
      "batch_norm", #"{"momentum": 0.25, "scale": false}"#, "BatchNormalization",
      #"{"momentum": 0.75, "epsilon": 1e-05, "center": true, "scale": false}"#
    ),
    ("dense", #"{"units": 3, "bias": false}"#, "Dense", #"{"units": 3, "use_bias": false}"#),
    ("activation", #"{"function": "relu6"}"#, "ReLU", #"{"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}"#),
    ("activation", #"{"function": "leaky_relu", "alpha": 0.5}"#, "LeakyReLU", #"{"negative_slope": 0.5}"#),
    ("activation", #"{"function": "hard_swish"}"#, "Activation", #"{"activation": "hard_silu"}"#),
    ("activation", #"{"function": "erf"}"#, "Layer", "{}"),
    ("reshape", #"{"shape": [-1]}"#, "Flatten", "{}"),
    ("zero_pad", #"{"padding": [1, 2, 3, 4]}"#, "ZeroPadding2D", #"{"padding": [[1, 3], [2, 4]]}"#),
    ("random_flip", #"{"horizontal": false}"#, "RandomFlip", #"{"mode": "vertical"}"#),
    ("global_pool2d", #"{"kind": "max"}"#, "GlobalMaxPooling2D", #"{"keepdims": false}"#),
  ]

  @Test(arguments: layers) func aLayerHasItsClassAndArguments(
    _ kind: String, _ options: String, _ name: String, _ config: String
  ) throws {
    let row = try described([(kind, "tested", options)])
    #expect(try row.string("class") == name)
    #expect(try row.string("operation") == (kind == "depthwise_conv2d" ? "conv2d" : kind))
    #expect(try row.object("config") == #require(JSON(parsing: config).objectValue))
    #expect(try row.strings("nodes") == ["tested"] && row.strings("operands") == ["x"])
  }

  @Test func anActivationAfterALayerIsAPartOfIt() throws {
    let row = try described([("dense", "fc", #"{"units": 3}"#), ("activation", "fc.relu", #"{"function": "relu"}"#)])
    #expect(try row.string("name") == "fc" && row.strings("nodes") == ["fc", "fc.relu"])
    #expect(try row.object("config").string("activation") == "relu")
    #expect(row["weights"] == [["fc.weight", "kernel"], ["fc.bias", "bias"]])
    let other = try described([("dense", "fc", #"{"units": 3}"#), ("activation", "relu", #"{"function": "relu"}"#)])
    #expect(try other.string("class") == "ReLU")
  }

  @Test func symmetricPaddingIsNamedWhereKerasHasAWord() throws {
    let same = try described([("conv2d", "c", #"{"filters": 2, "kernel": [3, 3], "padding": [1, 1, 1, 1]}"#)])
    #expect(same["sides"] == "same")
    let other = try described([
      ("conv2d", "c", #"{"filters": 2, "kernel": [3, 3], "stride": [2, 2], "padding": [1, 1, 1, 1]}"#)
    ])
    #expect(other["sides"] == [[1, 1], [1, 1]])
    #expect(try described([("conv2d", "c", #"{"filters": 2, "kernel": [3, 3]}"#)])["sides"] == nil)
  }
}
