import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// Width, depth, resolution and tables of stages.
@Suite struct ScalingTests {
  private func graph(_ name: String, _ options: String) throws -> Graph {
    try ModelRegistry.graph(name, ModelOptions(json: #require(JSON(parsing: options).objectValue)))
  }

  private func parameterCount(_ graph: Graph) -> Int {
    graph.parameters.filter(\.role.isLearned).reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// The published variants are B0 scaled by their coefficients.
  @Test(arguments: [
    ("efficientnet_b1", 1.0, 1.1), ("efficientnet_b2", 1.1, 1.2), ("efficientnet_b4", 1.4, 1.8),
    ("efficientnet_b7", 2.0, 3.1),
  ])
  func coefficientsOnB0GiveTheLargerVariants(_ name: String, _ width: Double, _ depth: Double) throws {
    let scaled = try graph("efficientnet_b0", #"{"width_coefficient": \#(width), "depth_coefficient": \#(depth)}"#)
    let published = try graph(name, "{}")
    #expect(scaled.parameters.map(\.shape) == published.parameters.map(\.shape))
    #expect(scaled.parameters.map(\.name) == published.parameters.map(\.name))
  }

  @Test func litesKeepTheirEndsAtAnyScale() throws {
    let graph = try graph("tf_efficientnet_lite0", #"{"width_coefficient": 2, "depth_coefficient": 2}"#)
    let shapes = Dictionary(uniqueKeysWithValues: graph.parameters.map { ($0.name, $0.shape) })
    #expect(shapes["conv_stem.weight"] == [32, 3, 3, 3])
    #expect(shapes["conv_head.weight"] == [1280, 640, 1, 1])
    #expect(shapes["blocks.0.1.conv_pw.weight"] == nil && shapes["blocks.6.1.conv_pw.weight"] == nil)
    #expect(shapes["blocks.1.3.conv_pw.weight"] == [288, 48, 1, 1])
  }

  @Test func resolutionMultipliesThePublishedOneUnlessAShapeIsGiven() throws {
    func shape(_ options: String) throws -> [Int] {
      let graph = try graph("efficientnet_b0", options)
      return graph.type(of: graph.inputs[0].value).shape
    }
    #expect(try shape(#"{"resolution_coefficient": 1.15}"#) == [1, 258, 258, 3])
    #expect(try shape(#"{"resolution_coefficient": 2, "input_shape": [32, 48, 1]}"#) == [1, 32, 48, 1])
  }

  @Test func channelsAreRoundedToTheDivisorButNeverBelowNineTenths() throws {
    #expect(try ModelScaling().rounded(35.2) == 32)  // efficientnet_b2's stem
    #expect(try ModelScaling().rounded(19.2) == 24)  // 16 would be less than 90 % of it
    #expect(try ModelScaling().rounded(1) == 8)
    #expect(try ModelScaling(divisor: 1).rounded(35.2) == 35)
    let graph = try graph("efficientnet_b0", #"{"width_coefficient": 0.5, "divisor": 1}"#)
    #expect(graph.parameters.first { $0.name == "features.3.0.block.3.0.weight" }?.shape == [20, 72, 1, 1])
  }

  @Test func theCompoundCoefficientSetsAllThree() throws {
    let scaling = try CompoundScaling(phi: 2).scaling()
    #expect(abs(scaling.depth - 1.44) < 1e-12 && abs(scaling.width - 1.21) < 1e-12)
    #expect(abs(scaling.resolution - 1.3225) < 1e-12)
    let compound = try graph("resnet20", #"{"compound_coefficient": 2, "divisor": 4}"#)
    let single = try graph(
      "resnet20",
      #"{"width_coefficient": 1.21, "depth_coefficient": 1.44, "resolution_coefficient": 1.3225, "divisor": 4}"#)
    #expect(compound.text == single.text)
    #expect(try graph("resnet50", #"{"compound_coefficient": 0}"#).text == graph("resnet50", "{}").text)
    #expect(
      try CompoundScaling(phi: 1, alpha: 2, beta: 3, gamma: 4).scaling()
        == ModelScaling(width: 3, depth: 2, resolution: 4))
  }

  @Test func aResNetIsScaledInWidthAndDepth() throws {
    let graph = try graph("resnext50_32x4d", #"{"width_coefficient": 1.5, "depth_coefficient": 1.1, "classes": 10}"#)
    let shapes = Dictionary(uniqueKeysWithValues: graph.parameters.map { ($0.name, $0.shape) })
    #expect(shapes["conv1.weight"] == [96, 3, 7, 7])
    // 96 * 4 / 64 channels in each of 32 groups.
    #expect(shapes["layer1.3.conv2.weight"] == [192, 6, 3, 3])
    #expect(shapes["layer4.3.conv3.weight"] == [3072, 1536, 1, 1])
    #expect(shapes["layer4.4.conv1.weight"] == nil)
  }

  @Test func stagesOfAResNetAreNumbersOfBlocks() throws {
    #expect(
      parameterCount(try graph("resnet18", #"{"stages": [3, 4, 6, 3]}"#)) == parameterCount(try graph("resnet34", "{}"))
    )
    #expect(try graph("resnet20", #"{"stages": [18, 18, 18]}"#).text == graph("resnet110", "{}").text)
  }

  @Test func stagesOfAnEfficientNetAreRows() throws {
    let table = """
      {"classes": 10, "input_shape": [32, 32, 3], "stages": [
        {"kind": "fused_mbconv", "kernel": 3, "stride": 1, "expand_ratio": 1, "input_channels": 16, "channels": 16,
         "repeats": 2},
        {"kind": "fused_mbconv", "kernel": 3, "stride": 2, "expand_ratio": 4, "channels": 24, "repeats": 1,
         "se_ratio": 0.5},
        {"kind": "mbconv", "kernel": 5, "stride": 2, "expand_ratio": 6, "input_channels": 24, "channels": 32,
         "repeats": 2, "se_ratio": 0.25}]}
      """
    for name in ["efficientnet_b0", "tf_efficientnet_b0", "tf_efficientnet_lite0"] {
      let graph = try graph(name, table)
      try graph.verify()
      let shapes = graph.parameters.map(\.shape)
      #expect(shapes.first == [16, 3, 3, 3])
      #expect(shapes.contains([96, 24, 1, 1]) == false && shapes.contains([144, 1, 5, 5]))
      #expect(shapes.contains([8, 64, 1, 1]))  // half of 16 channels, from the 64 in the middle
    }
    let model = try Model(
      "efficientnet_b0", options: ModelOptions(json: #require(JSON(parsing: table).objectValue)))
    let x = try Tensor(Formula.values("x", 2 * 32 * 32 * 3), shape: [2, 32, 32, 3])
    #expect(try model.predict(x.view).values.allSatisfy { $0.isFinite })
  }

  @Test(arguments: [
    (#"{"width_coefficient": 0}"#, "width_coefficient is 0.0"),
    (#"{"width_coefficient": -1}"#, "width_coefficient is -1.0"),
    (#"{"width_coefficient": 1e300}"#, "width_coefficient is 1e+300"),
    (#"{"depth_coefficient": -0.5}"#, "depth_coefficient is -0.5"),
    (#"{"resolution_coefficient": 1e9}"#, "resolution_coefficient is 1000000000.0"),
    (#"{"resolution_coefficient": 0.0001}"#, "images of 0.0 pixels"),
    (#"{"divisor": 0}"#, "divisor is 0"),
    (#"{"divisor": -8}"#, "divisor is -8"),
    (#"{"depth_coefficient": 100}"#, "1024 at most"),
    (#"{"compound_coefficient": -1}"#, "compound_coefficient is -1.0"),
    (#"{"compound_coefficient": 1e6}"#, "compound_coefficient is 1000000.0"),
    (#"{"compound_coefficient": 1, "depth_coefficient": 2}"#, "compound_coefficient and depth_coefficient are both"),
    (#"{"stages": []}"#, "stages"),
    (#"{"stages": [1, {}]}"#, "stages[0]"),
    (#"{"stages": {}}"#, "'stages'"),
  ])
  func whatIsOutOfRangeIsAnErrorOfEveryFamily(_ options: String, _ message: String) throws {
    for name in ["resnet50", "efficientnet_b0", "tf_efficientnet_lite4"] {
      expectError(.invalidArgument, message) { _ = try graph(name, options) }
    }
  }

  @Test(arguments: [
    ("[0]", "stage 0 has 0 blocks"), ("[3, -1]", "stage 1 has -1 blocks"), ("[1025]", "1024 at most"),
    ("[9223372036854775807, 9223372036854775807]", "1024 at most"),
    ("[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", "17 elements"),
    (#"[{"kind": "mbconv", "kernel": 3, "stride": 1, "expand_ratio": 1, "channels": 8, "repeats": 1}]"#, "resnet18"),
  ])
  func stagesOfAResNetAreChecked(_ stages: String, _ message: String) throws {
    expectError(.invalidArgument, message) { _ = try graph("resnet18", #"{"stages": \#(stages)}"#) }
  }

  @Test(arguments: [
    ("kind", #""conv""#, "unknown kind 'conv'"), ("kernel", "4", "kernel is 4"), ("kernel", "-3", "kernel is -3"),
    ("stride", "0", "stride is 0"), ("expand_ratio", "0", "expandRatio is 0.0"),
    ("expand_ratio", "1e300", "expandRatio is 1e+300"), ("input_channels", "0", "inputChannels is 0"),
    ("channels", "0", "channels is 0"), ("channels", "9223372036854775807", "channels is 9223372036854775807"),
    ("channels", "1048577", "channels is 1048577"), ("repeats", "0", "repeats is 0"),
    ("repeats", "2000", "repeats is 2000"),
    ("se_ratio", "1.5", "squeezeRatio is 1.5"), ("se_ratio", "-1", "squeezeRatio is -1.0"), ("width", "3", "'width'"),
    ("channels", "null", "'channels'"),
  ])
  func stagesOfAnEfficientNetAreChecked(_ key: String, _ value: String, _ message: String) throws {
    var row = JSONObject()
    row["kind"] = "mbconv"
    for (key, value) in [("kernel", 3), ("stride", 1), ("channels", 24), ("repeats", 1)] {
      row[key] = .integer(Int64(value))
    }
    row["expand_ratio"] = 6.0
    let plain = JSON.object(row)
    row[key] = try JSON(parsing: value)
    let text = try JSON.array([plain, .object(row)]).serialized()
    let error = #expect(throws: CNNError.self) { _ = try graph("efficientnet_b0", #"{"stages": \#(text)}"#) }
    #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
  }

  @Test func whatFitsNoMemoryIsAnError() throws {
    let row = #"{"kind": "mbconv", "kernel": 3, "stride": 1, "expand_ratio": 1, "channels": 1048576, "repeats": 1}"#
    let options = try ModelOptions(json: #require(JSON(parsing: #"{"stages": [\#(row)]}"#).objectValue))
    expectError(.outOfMemory, "") { _ = try Model("efficientnet_b0", options: options) }
  }

  @Test func aStageReadsWhatTheOneBeforeGives() throws {
    let row = #"{"kind": "mbconv", "kernel": 3, "stride": 1, "expand_ratio": 1, "channels": 16, "repeats": 1"#
    expectError(.invalidArgument, "stages[1]: input_channels is 24, but the stage before has 16") {
      _ = try graph("efficientnet_b0", #"{"stages": [\#(row)}, \#(row), "input_channels": 24}]}"#)
    }
    expectError(.invalidArgument, "stages is a list of numbers; 'efficientnet_b0' expects") {
      _ = try graph("efficientnet_b0", #"{"stages": [1, 2, 3]}"#)
    }
  }

  @Test func coefficientsThatAreNoNumbersAreErrors() throws {
    for bad in [Double.nan, .infinity, -.infinity, 0] {
      for path in [\ModelScaling.width, \.depth, \.resolution] {
        var options = ModelOptions()
        options.scaling[keyPath: path] = bad
        expectError(.invalidArgument, "_coefficient is") { _ = try ModelRegistry.graph("efficientnet_b0", options) }
      }
    }
    for phi in [Double.nan, .infinity, -1] {
      expectError(.invalidArgument, "compound_coefficient") { _ = try CompoundScaling(phi: phi).scaling() }
    }
    expectError(.invalidArgument, "_coefficient") { _ = try CompoundScaling(phi: 1, alpha: .nan).scaling() }
  }

  /// The rate of every random layer by name.
  private func rates(_ graph: Graph) -> [String: Double] {
    Dictionary(
      graph.nodes.compactMap { node in (node.operation as? any RandomMask).map { (node.name, $0.rate) } },
      uniquingKeysWith: { first, _ in first })
  }

  @Test func dropoutAndStochasticDepthAreTheVariantsUnlessGiven() throws {
    let own = rates(try graph("efficientnet_b0", "{}"))
    #expect(own["dropout"] == 0.2)
    // 16 blocks; the second of stage 2 is the third of all.
    #expect(own["features.2.1.drop_path"] == 0.2 * 2 / 16)
    #expect(rates(try graph("efficientnet_b5", "{}"))["dropout"] == 0.4)
    #expect(rates(try graph("tf_efficientnet_b5", "{}")).isEmpty)
    #expect(rates(try graph("resnet50", "{}")).isEmpty)
    #expect(rates(try graph("efficientnet_b0", #"{"dropout": 0, "drop_path": 0}"#)).isEmpty)
    let given = rates(try graph("tf_efficientnet_b0", #"{"dropout": 0.5, "drop_path": 0.4}"#))
    #expect(given["dropout"] == 0.5 && given["blocks.1.1.drop_path"] == 0.4 * 2 / 16)
    let residual = rates(try graph("resnet18", #"{"drop_path": 0.7}"#))
    #expect(residual["layer4.1.drop_path"] == 0.7 && residual["layer1.1.drop_path"] == 0.7 / 7)
  }
}
