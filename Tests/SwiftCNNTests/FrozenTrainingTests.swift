import CNNCore
import CNNGraph
import CNNKernels
import Testing

@testable import CNNCompiler
@testable import SwiftCNN

/// Training of which a part is frozen: batch normalisations keep their statistics and are folded into convolutions.
extension TrainingPlanTests {
  /// What is frozen.
  enum Freezing: CaseIterable {
    /// All but the classifier; all but the last stage too; the parameters of normalisations.
    case backbone, firstStages, normalizations
    /// No parameter, but normalisations keep their statistics.
    case statistics
    /// Filters, while normalisations with fixed statistics learn; every other parameter.
    case filters, everyOther

    func leaves(_ parameter: Parameter, at position: Int) -> Bool {
      let isNormalization = [.normalizationScale, .normalizationShift].contains(parameter.role)
      let isHead = ["fc", "classifier"].contains { parameter.name.hasPrefix($0) }
      return switch self {
      case .backbone: isHead
      case .firstStages:
        isHead || ["layer4", "features.7", "features.8"].contains { parameter.name.hasPrefix($0) }
      case .normalizations: !isNormalization
      case .statistics: true
      case .filters: isNormalization || isHead
      case .everyOther: position % 2 == 0
      }
    }

    func apply(to network: Graph) throws -> Graph {
      var result = [.statistics, .filters].contains(self) ? try network.frozenForm() : network
      let positions = Dictionary(uniqueKeysWithValues: network.parameters.enumerated().map { ($1.name, $0) })
      result.setTrainable { leaves($0, at: positions[$0.name] ?? 0) }
      return result
    }
  }

  static let frozenFamilies = [("resnet18", 64), ("efficientnet_b0", 64), ("tf_efficientnet_lite0", 64)]

  @Test(arguments: targets, Freezing.allCases)
  func gradientsOfFrozenNetworksEqualThoseOfPortableKernels(_ target: CodeTarget, _ freezing: Freezing) throws {
    for (name, size) in Self.frozenFamilies {
      let model = try model(name, size), batch = 4
      try model.fillWithFormula()
      let network = try freezing.apply(to: smooth(model.network))
      let worst = try worstDifference(model, network, batch: batch, size, target)
      // The frozen part makes images nearly equal, of which batch statistics make rounding errors a thousand times larger.
      let tolerance = freezing == .firstStages ? 1e-2 : 1e-3
      #expect(worst.difference <= tolerance, "\(name), \(freezing), \(target.instructionSet): \(worst)")
    }
  }

  /// Corners: the gradient of a ReLU is found from its result.
  @Test(arguments: targets)
  func gradientsThroughFrozenCornersEqualThoseOfPortableKernels(_ target: CodeTarget) throws {
    for (name, size) in Self.frozenFamilies {
      let model = try model(name, size)
      try model.fillWithFormula()
      let network = try Freezing.normalizations.apply(to: model.network)
      let worst = try worstDifference(model, network, batch: 4, size, target)
      #expect(worst.difference <= 0.1, "\(name), \(target.instructionSet): \(worst)")
    }
  }

  private func kinds(_ plan: Plan) -> [String: Int] {
    plan.graph.nodes.reduce(into: [:]) { counts, node in
      // Small vectors may change their layout too.
      let isImage = plan.graph.type(of: node.results[0]).rank > 1
      let kind = node.operation.kind, implementation = (node.operation as? Placed)?.implementation ?? ""
      counts[kind == "reorder" && isImage ? "\(kind) by \(implementation)" : kind, default: 0] += 1
    }
  }

  /// Nothing is left of a normalisation with fixed statistics, and layouts change at the loss alone.
  @Test(arguments: Freezing.allCases, ["resnet18", "efficientnet_b0"])
  func frozenNormalizationsChangeNoLayout(_ freezing: Freezing, _ name: String) throws {
    guard let target = Self.targets.last else { return }
    let model = try model(name, 64)
    let kinds = kinds(try plan(model, freezing.apply(to: model.network), batch: 4, 64, target))
    #expect(kinds["reorder by copy"] == 2, "into blocks once, and out of them once")
    #expect(kinds["batch_norm"] == nil && kinds["batch_norm_gradient"] == nil)
    if freezing != .everyOther, freezing != .firstStages { #expect(kinds["batch_norm_training"] == nil) }
  }

  /// The frozen part is what a prediction runs: as many convolutions, and no pass that they do not take in.
  @Test(arguments: ["resnet18", "efficientnet_b0"])
  func frozenBackbonesRunAsPredictionsDo(_ name: String) throws {
    guard let target = Self.targets.last else { return }
    let model = try model(name, 64)
    let plan = try plan(model, Freezing.backbone.apply(to: model.network), batch: 4, 64, target)
    #expect(plan.stepCosts.count { $0.cost.algorithm == "pack" } == 1, "the others are packed once")
    let training = kinds(plan)
    let prediction = kinds(
      try Compiler.inferencePlan(
        model.network, inputs: [TensorType(.float32, [4, 64, 64, 3])], normalization: model.pixelNormalization,
        threads: 2, target: target))
    for kind in ["conv2d", "dense", "multiply", "activation", "add"] {
      // The offset of a normalisation is added up, once for each.
      let offsets = ["add", "multiply"].contains(kind) ? training["normalization_factor"] ?? 0 : 0
      let expected = ["add", "multiply"].contains(kind) ? prediction["normalization_factor"] ?? 0 : 0
      #expect((training[kind] ?? 0) - offsets == (prediction[kind] ?? 0) - expected, "\(kind)")
    }
  }

  @Test func frozenWeightsStayAndTheirChangesAreSeen() throws {
    let model = try model("resnet18", 32)
    try model.compile(#"{"optimizer": {"name": "sgd", "learning_rate": 0.1}}"#)
    _ = try model.setTrainable(false, matching: "*")
    _ = try model.setTrainable(true, matching: "fc*")
    let x = try Tensor(Formula.values("x", 4 * 32 * 32 * 3), shape: [4, 32, 32, 3])
    let y = try Tensor([0, 3, 5, 9] as [Int32], shape: [4])
    let before = try model.parameterList.filter { !$0.name.hasPrefix("fc") }.map { try model.values($0.name) }
    let head = try model.values("fc.weight")
    _ = try model.trainOnBatch(x.view, y.view)
    let after = try model.parameterList.filter { !$0.name.hasPrefix("fc") }.map { try model.values($0.name) }
    #expect(before == after)
    #expect(try model.values("fc.weight") != head)

    // A filter and statistics, set between two steps: the next loss is that of the network as it is.
    for name in ["layer1.0.conv1.weight", "layer2.0.bn1.running_var", "layer3.1.bn2.bias"] {
      try model.set(name, model.values(name).map { 1.5 * $0 + 0.25 })
      let expected = try model.evaluate(x.view, y.view)[0]
      let loss = try model.trainOnBatch(x.view, y.view)[0]
      #expect(abs(loss - expected) <= 1e-4 * max(1, expected), "\(name)")
    }
  }
}
