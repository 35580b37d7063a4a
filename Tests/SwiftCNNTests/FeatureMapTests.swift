import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

@Suite struct FeatureMapTests {
  private func options(_ size: Int = 32, indices: [Int]? = nil, width: Double = 0.125) -> ModelOptions {
    var options = ModelOptions()
    (options.inputShape, options.featuresOnly, options.featureIndices) = ([size, size, 3], true, indices)
    options.scaling.width = width
    return options
  }

  /// Channels and reductions as timm's `feature_info` has them.
  @Test(arguments: [
    ("resnet18", [64, 64, 128, 256, 512], [2, 4, 8, 16, 32]),
    ("resnet50", [64, 256, 512, 1024, 2048], [2, 4, 8, 16, 32]),
    ("efficientnet_b0", [16, 24, 40, 112, 320], [2, 4, 8, 16, 32]),
    ("tf_efficientnetv2_s", [24, 48, 64, 160, 256], [2, 4, 8, 16, 32]),
    ("resnet20", [16, 32, 64], [1, 2, 4]),
  ])
  func theMapsAreTimms(_ name: String, _ channels: [Int], _ reductions: [Int]) throws {
    let graph = try ModelRegistry.graph(name, options(33, width: 1)).removingDeadNodes().removingDeadParameters()
    let model = try Model(uninitialized: graph, name: name, mean: nil, deviation: nil)
    #expect(model.featureMaps.map(\.channels) == channels)
    #expect(model.featureMaps.map(\.reduction) == reductions)
    #expect(model.featureMaps.map(\.name) == model.outputNames)
  }

  @Test(arguments: ModelRegistry.names) func everyModelHasThem(_ name: String) throws {
    let variant = try ModelRegistry.variant(name)
    var builder = GraphBuilder()
    let input = try builder.input(shape: [64, 64, 3])
    let features = try variant.features(input, &builder, dropPath: 0)
    let sizes = features.maps.map { builder.graph.type(of: $0).shape[1] }
    #expect(sizes == sizes.sorted(by: >) && Set(sizes).count == sizes.count && sizes.count > 2)
  }

  @Test(arguments: ["resnet50", "efficientnet_b0"]) func weightsOfTheWholeNetworkLoad(_ name: String) throws {
    var whole = options()
    (whole.featuresOnly, whole.seed, whole.classes) = (false, 5, 7)
    let folder = try TemporaryDirectory(), original = try Model(name, options: whole)
    for naming in [WeightNaming.native, .timm, .huggingFace] {
      try original.writeWeights(to: folder.file("w.safetensors"), naming: naming)
      let model = try Model(name, options: options(indices: [-2, 0]))
      let report = try model.loadWeights(from: folder.file("w.safetensors"))
      #expect(report.leftOver.isEmpty && report.naming == (name == "resnet50" && naming == .timm ? .native : naming))
      let x = try Tensor(Formula.values("x", 32 * 32 * 3), shape: [1, 32, 32, 3])
      let maps = try model.predict(x.view, outputs: model.outputNames)
      for (map, name) in zip(maps, model.outputNames) {
        #expect(try map.bits == original.predict(x.view, output: name).bits)
      }
      try model.write(to: folder.file("features"))
      #expect(try Model(contentsOf: folder.file("features")).featureMaps == model.featureMaps)
    }
  }

  @Test func weightsOfAnotherNetworkAreRefused() throws {
    let folder = try TemporaryDirectory()
    var deep = options()
    (deep.featuresOnly, deep.classes) = (false, 7)
    try Model("resnet34", options: deep).writeWeights(to: folder.file("w.safetensors"))
    let model = try Model("resnet18", options: options())
    #expect(throws: CNNError.self) { try model.loadWeights(from: folder.file("w.safetensors")) }
  }

  @Test(arguments: [[5], [-6], [], [1, -4]]) func placesThatAreNotThere(_ indices: [Int]) {
    let error = #expect(throws: CNNError.self) { try Model("resnet18", options: options(indices: indices)) }
    #expect(error?.message.hasPrefix("featureIndices is \(indices)") == true)
  }
}
