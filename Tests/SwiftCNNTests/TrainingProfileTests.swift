import CNNCore
import CNNGraph
import CNNKernels
import Testing

@testable import SwiftCNN

/// What a training step takes of each layer, in each role.
@Suite struct TrainingProfileTests {
  private func compiled(_ name: String, _ settings: String = #"{"optimizer": "sgd"}"#) throws -> Model {
    let model = try Model(name, options: ModelOptions(inputShape: [32, 32, 3], classes: 10))
    try model.compile(settings)
    return model
  }

  private func close(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-9 * max(abs(a), abs(b)) }

  @Test(arguments: [
    ("resnet20", #"{"optimizer": "sgd"}"#), ("resnet20", #"{"optimizer": "sgd", "memory": "low"}"#),
    ("efficientnet_b0", #"{"optimizer": {"name": "adam", "ema_decay": 0.5, "gradient_accumulation_steps": 2}}"#),
  ])
  func theSumOfAllRowsIsTheStep(name: String, settings: String) throws {
    let model = try compiled(name, settings)
    let profile = try model.profile(training: true, batchSize: 2, repeats: 1)
    #expect(profile.isOfTraining && profile.imageCount == 2 && profile.repeats == 1)
    for step in profile.steps {
      let sum = Profile.Figures(sumOf: step.parts.map(\.figures))
      #expect(sum.operations == step.operations && sum.byteCount == step.byteCount, "\(step.name)")
      #expect(close(sum.seconds, step.seconds) && close(sum.shortestSeconds, step.shortestSeconds), "\(step.name)")
      #expect(step.parts.allSatisfy { $0.role.pass == step.pass } && !step.roles.isEmpty, "\(step.name)")
    }
    let total = profile.total
    for figures in [profile.layers.map(\.figures), Array(profile.roles.values)] {
      let sum = Profile.Figures(sumOf: figures)
      #expect(sum.operations == total.operations && sum.byteCount == total.byteCount)
      #expect(close(sum.seconds, total.seconds) && close(sum.shortestSeconds, total.shortestSeconds))
    }
    for layer in profile.layers { #expect(close(layer.roles.values.reduce(0) { $0 + $1.seconds }, layer.seconds)) }
    #expect(profile.layers.map(\.seconds) == profile.layers.map(\.seconds).sorted(by: >))
  }

  @Test(arguments: ["resnet20", "efficientnet_b0"])
  func everyLayerHasItsRoles(name: String) throws {
    let model = try compiled(name), network = model.graph
    let profile = try model.profile(training: true, batchSize: 2, repeats: 1)
    var rows: [String: Profile.Layer] = [:]
    for layer in profile.layers { for name in layer.names { #expect(rows.updateValue(layer, forKey: name) == nil) } }
    let first = try #require(network.nodes.first { $0.operation is Convolution2D }).name
    for node in network.nodes where !(node.operation is Reshape) && !(node.operation is Softmax) {
      let layer = try #require(rows[node.name], "\(node.name)")
      #expect(layer.roles[.forward] != nil, "\(node.name)")
      switch node.operation {
      case is Convolution2D, is Dense:
        #expect(layer.names == [node.name])
        let expected: Set<TrainingRole> =
          node.name == first
          ? [.forward, .weightGradient, .update] : [.forward, .inputGradient, .weightGradient, .update]
        #expect(Set(layer.roles.keys) == expected, "\(node.name)")
        // Products are where they belong.
        for role in expected.subtracting([.update]) {
          #expect(layer.roles[role]?.operations ?? 0 > 0, "\(node.name) \(role)")
        }
      case is BatchNormalization:
        #expect(Set(layer.roles.keys).isSuperset(of: [.forward, .inputGradient, .update]), "\(node.name)")
        #expect(layer.roles[.weightGradient] == nil && layer.operations == 0, "\(node.name)")
      default: break
      }
    }
    // What is there besides has no weights.
    for layer in profile.layers where !layer.names.contains(where: { network.value(named: $0) != nil }) {
      #expect(layer.roles[.update] == nil && layer.name.hasPrefix("loss"), "\(layer.name)")
    }
  }

  @Test func whatIsComputedAgainIsARole() throws {
    guard CodeTarget.host != nil else { return }  // Portable kernels keep everything.
    let normal = try compiled("resnet20").profile(training: true, batchSize: 2, repeats: 1)
    let low = try compiled("resnet20", #"{"optimizer": "sgd", "memory": "low"}"#)
      .profile(training: true, batchSize: 2, repeats: 1)
    let again = try #require(normal.roles[.recomputation]), more = try #require(low.roles[.recomputation])
    #expect(again.operations == 0 && again.byteCount > 0)
    #expect(more.operations > 0 && more.byteCount > again.byteCount)
    // It is computed again what was computed before, by the same layers.
    for layer in low.layers where layer.roles[.recomputation] != nil { #expect(layer.roles[.forward] != nil) }
    #expect(low.roles[.weightGradient]?.operations == normal.roles[.weightGradient]?.operations)
  }

  @Test func aStepOfSeveralLayersIsDividedByBytesOrGoesToItsProducts() throws {
    guard CodeTarget.host != nil else { return }
    let profile = try compiled("efficientnet_b0").profile(training: true, batchSize: 2, repeats: 1)
    let sums = profile.steps.filter { $0.algorithm.hasSuffix("+add") && $0.pass == .backward }
    #expect(!sums.isEmpty)
    for step in sums {
      // The addition of what another path gives has no figures of its own.
      #expect(step.parts.map(\.role) == [.inputGradient, .inputGradient] && step.layers.count > 1)
      #expect(step.parts[0].figures == step.figures && step.parts[1].seconds == 0, "\(step.name)")
    }
    let passes = profile.steps.filter { $0.algorithm.contains(", ") && $0.pass != .update }
    #expect(passes.contains { Set($0.parts.map(\.layers)).count > 1 && $0.parts.allSatisfy { $0.seconds > 0 } })
    #expect(passes.contains { $0.roles.count > 1 })
    // A filter that is packed is there for what reads it.
    for step in profile.steps where step.algorithm == "pack" {
      #expect(step.roles.count == 1 && step.layers.count == 1)
    }
  }

  @Test func frozenLayersHaveNoGradientsOfWeights() throws {
    let model = try compiled("resnet20")
    try model.setTrainable(false, matching: "layer1.*")
    try model.setTrainable(false, matching: "conv1*")
    try model.setTrainable(false, matching: "bn1*")
    let profile = try model.profile(training: true, batchSize: 2, repeats: 1)
    let frozen = profile.layers.filter { $0.names.allSatisfy { $0.hasPrefix("layer1.") } }
    #expect(frozen.count >= 6 && frozen.allSatisfy { Set($0.roles.keys) == [.forward] })
    let trained = try #require(profile.layers.first { $0.name == "layer2.0.conv1" })
    #expect(Set(trained.roles.keys) == [.forward, .weightGradient, .update])
  }

  @Test func theTableShowsTheSlowestLayersAndTheSums() throws {
    let profile = try compiled("resnet20").profile(training: true, batchSize: 2, repeats: 1)
    let lines = profile.text.split(separator: "\n").map(String.init)
    #expect(profile.description == profile.text && lines[0].contains("a training step on 2 images"))
    let rows = lines.filter { line in profile.layers.contains { line.hasSuffix("  \($0.name)") } }
    #expect(rows.count == min(profile.layers.count, 40))
    #expect(rows[0].hasSuffix("  \(profile.layers[0].name)"))
    if profile.layers.count > 40 {
      #expect(lines.contains { $0.hasSuffix("  \(profile.layers.count - 40) other layers") })
    }
    #expect(lines.count { $0.hasSuffix("  all") } == 2)
    for (role, figures) in profile.roles {
      let row = try #require(lines.last { $0.hasSuffix("  \(role.title)") })
      #expect(row.split(separator: " ")[0] == decimal(figures.seconds * 1e3, 3))
    }
    #expect(profile.stepText.split(separator: "\n").contains { $0.contains("  role ") })
    #expect(try profile.formatted("steps") == profile.stepText && profile.formatted("text") == profile.text)
  }

  @Test func theNumbersAreJSON() throws {
    let profile = try compiled("resnet20").profile(training: true, batchSize: 2, repeats: 1)
    let json = try #require(JSON(parsing: profile.json).objectValue)
    let layers = try json.array("layers").compactMap(\.objectValue)
    #expect(try layers.map { try $0.strings("layers") } == profile.layers.map(\.names))
    for (layer, expected) in zip(layers, profile.layers) {
      #expect(try layer.integer("bytes") == expected.byteCount && layer.integer("operations") == expected.operations)
      #expect(try Set(layer.object("roles").members.map(\.key)) == Set(expected.roles.keys.map(\.rawValue)))
    }
    #expect(
      try json.object("roles").object("weight_gradient").number("seconds") == profile.roles[.weightGradient]?.seconds)
    let step = try #require(json.array("steps").first?.objectValue)
    #expect(try step.array("parts").first?.objectValue?.string("role") == "forward")
  }

  @Test(arguments: ["mean_squared_error", "categorical_crossentropy", "sparse_categorical_crossentropy"])
  func syntheticTargetsAreOfTheLoss(loss: String) throws {
    let model = try Model(randomNetwork(), name: "random")
    try model.compile(#"{"loss": "\#(loss)"}"#)
    let before = try model.bits()
    #expect(try model.profile(training: true, batchSize: 3, repeats: 1).imageCount == 3)
    #expect(try model.bits() == before)
    #expect(try model.profile(repeats: 1).pass == nil)
  }

  @Test func wrongOptionsAreErrors() throws {
    let model = try Model(randomNetwork(), name: "random")
    expectError(.invalidState, "not compiled") { _ = try model.profile(training: true) }
    try model.compile("{}")
    for size in [0, -1, 1 << 40] {
      expectError(.invalidArgument, "batch_size is \(size); expected 1 to") {
        _ = try model.profile(training: true, batchSize: size)
      }
    }
    expectError(.invalidArgument, "repeats is 0") { _ = try model.profile(repeats: 0) }
    expectError(.unknownName, "batch_size") { _ = try ProfileOptions(json: JSONObject([("batchsize", 3)])) }
    let any = try Model("resnet20", options: ModelOptions(inputShape: [nil, 32, 3], classes: 10))
    expectError(.invalidState, "x has the shape [N, any, 32, 3]") { _ = try any.profile(repeats: 1) }
  }

  @Test func inMixedPrecisionTheSumIsTheStepToo() throws {
    let model = try compiled("resnet20")
    let plain = try model.profile(training: true, batchSize: 2, repeats: 1)
    model.setPrecision(.mixedBFloat16)
    let profile = try model.profile(training: true, batchSize: 2, repeats: 1)
    #expect(plain.precision == .float32 && profile.precision == .bfloat16)
    #expect(profile.text.contains(", precision bfloat16\n"))
    for step in profile.steps where step.pass != .update {
      #expect((step.element == .bfloat16) == step.reason.isEmpty, "\(step.name): \(step.reason)")
    }
    let sum = Profile.Figures(sumOf: profile.layers.map(\.figures))
    #expect(sum.operations == profile.total.operations && close(sum.seconds, profile.seconds))
    #expect(Set(profile.layers.map(\.names)) == Set(plain.layers.map(\.names)))
    for layer in plain.layers {
      // What is kept in fewer bytes need not be computed again.
      let roles = Set(profile.layers.first { $0.names == layer.names }?.roles.keys.map { $0 } ?? [])
      #expect(roles.union([.recomputation]) == Set(layer.roles.keys).union([.recomputation]), "\(layer.name)")
    }
  }
}

extension Profile {
  fileprivate var pass: Pass? { steps.first?.pass }
}
