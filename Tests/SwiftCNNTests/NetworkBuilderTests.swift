import CNNCore
import CNNGraph
import Testing

@testable import CNNCompiler
@testable import SwiftCNN

/// Networks made of other models, which they share parameters with.
@Suite struct NetworkBuilderTests {
  private static let sgd = #"{"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}, "seed": 5}"#

  /// A backbone with everything that is random in training.
  private func backbone(seed: UInt64 = 1) throws -> Model { try Model(randomNetwork(), name: "backbone", seed: seed) }

  /// Another head on what the backbone computes up to `tensor`.
  private func headed(
    _ model: Model, prefix: String = "", tensor: String = "relu", inference: Bool = false, seed: UInt64 = 2
  ) throws -> Model {
    var network = NetworkBuilder()
    let input = try network.builder.input("image", shape: [6, 6, 2])
    var x = try network.apply(model, to: input, prefix: prefix, tensor: tensor, inference: inference)
    if tensor == "relu" { x = try network.builder.apply(GlobalPooling2D(.average), x) }
    x = try network.builder.dense(x, "head", units: 3)
    x = try network.builder.apply(Softmax(), x, name: "classes")
    var options = CustomModelOptions()
    options.seed = seed
    return try Model(network, output: x, options: options)
  }

  private func train(_ model: Model, steps: Int = 2) throws {
    let data = try imageData(6)
    for _ in 0..<steps { _ = try model.trainOnBatch(data.x.view, data.y.view) }
  }

  @Test func whatIsSharedIsTheSourcesAndTheRestIsDrawn() throws {
    let source = try backbone()
    let model = try headed(source, prefix: "b.")
    #expect(
      model.parameterList.map(\.name) == [
        "b.conv1.weight", "b.bn1.weight", "b.bn1.bias", "b.bn1.running_mean", "b.bn1.running_var", "head.weight",
        "head.bias",
      ])
    #expect(try model.values("b.conv1.weight") == source.values("conv1.weight"))
    #expect(try model.values("head.weight") != headed(source, seed: 3).values("head.weight"))
    #expect(try model.values("head.weight") == headed(backbone(seed: 9)).values("head.weight"))
    let data = try imageData(3)
    #expect(try model.predict(data.x.view, output: "b.relu").bits == source.predict(data.x.view, output: "relu").bits)
  }

  @Test func whatIsMadeOfAModelInBFloat16ComputesInIt() throws {
    let source = try backbone()
    #expect(try headed(source).precision == .float32)
    source.setPrecision(.bfloat16)
    let model = try headed(source)
    #expect(model.precision == .bfloat16)
    // From then on each has its own.
    source.setPrecision(.float32)
    #expect(model.precision == .bfloat16)
    #expect(try headed(model, prefix: "b.", tensor: "classes").precision == .bfloat16)
    var network = NetworkBuilder()
    let input = try network.builder.input("image", shape: [6, 6, 2])
    let output = try network.apply(model, to: input)
    for precision in PrecisionPolicy.allCases {
      #expect(
        try Model(network, output: output, options: CustomModelOptions(precision: precision)).precision == precision)
    }
  }

  @Test func trainingThroughOneChangesTheOther() throws {
    let source = try backbone(), data = try imageData(6)
    let model = try headed(source)
    // Both have plans with prepared weights before anything changes.
    let before = try source.predict(data.x.view, output: "relu").bits
    #expect(try model.predict(data.x.view, output: "relu").bits == before)
    try model.compile(Self.sgd)
    try train(model)
    let after = try model.predict(data.x.view, output: "relu").bits
    #expect(after != before)
    #expect(try source.predict(data.x.view, output: "relu").bits == after)
    #expect(try source.values("bn1.running_mean") == model.values("bn1.running_mean"))
    // And the other way.
    try source.compile(Self.sgd)
    try train(source)
    let again = try source.predict(data.x.view, output: "relu").bits
    #expect(again != after)
    #expect(try model.predict(data.x.view, output: "relu").bits == again)
    try source.set("conv1.weight", source.values("conv1.weight").map { $0 * 2 })
    #expect(try model.values("conv1.weight") == source.values("conv1.weight"))
    #expect(try model.predict(data.x.view, output: "relu").bits == source.predict(data.x.view, output: "relu").bits)
  }

  @Test func sharingTrainsToTheBitsOfACopy() throws {
    // A network of its own with the same values is trained alike.
    let source = try backbone()
    let model = try headed(source)
    let copy = try model.copy()
    for each in [model, copy] {
      try each.compile(Self.sgd)
      try train(each, steps: 4)
    }
    #expect(try model.bits() == copy.bits())
  }

  @Test func weightsFromAFileReachBoth() throws {
    let directory = try TemporaryDirectory()
    try backbone(seed: 7).write(to: directory.file("weights"))
    let source = try backbone(), data = try imageData(2)
    let model = try headed(source)
    _ = try model.predict(data.x.view)
    try source.loadWeights(from: directory.file("weights"))
    #expect(try model.values("conv1.weight") == backbone(seed: 7).values("conv1.weight"))
    #expect(
      try model.predict(data.x.view, output: "relu").bits == backbone(seed: 7).predict(data.x.view, output: "relu").bits
    )
  }

  @Test func flagsSetThroughOneCountForTheOtherAtItsNextStep() throws {
    let source = try backbone()
    let model = try headed(source, prefix: "b.")
    try model.compile(Self.sgd)
    try train(model)
    #expect(try model.gradient("b.conv1.weight").contains { $0 != 0 })
    try source.setTrainable(false, matching: "*")
    #expect(model.parameterList.filter(\.isTrainable).map(\.name) == ["head.weight", "head.bias"])
    #expect(model.parameterCount(trainableOnly: true) == 4 * 3 + 3)
    #expect(model.summary.split(separator: "\n").contains { $0.hasSuffix("(frozen)") })
    let before = try source.bits(), head = try model.values("head.weight")
    try train(model)
    // Statistics too: a normalisation that is frozen does not measure.
    #expect(try source.bits() == before)
    #expect(try model.values("head.weight") != head)
    expectError(.invalidState, "frozen") { _ = try model.gradient("b.conv1.weight") }
    try model.setTrainable(true, matching: "b.conv1.*")
    try train(source.withSettings(Self.sgd))
    #expect(try source.values("conv1.weight") != Array(repeating: 0, count: 72))
    #expect(try source.bits() != before)
  }

  @Test func penaltiesFollowFlagsThatTheOtherSets() throws {
    let source = try backbone(), data = try imageData(4)
    let model = try headed(source)
    try model.compile(Self.sgd)
    let plain = try model.evaluate(data.x.view, data.y.view)[0]
    try model.setRegularization(l2: 1, matching: "conv1.weight")
    let penalized = try model.evaluate(data.x.view, data.y.view)[0]
    #expect(penalized > plain + 0.1)
    try source.setTrainable(false, matching: "conv1.weight")
    #expect(abs(try model.evaluate(data.x.view, data.y.view)[0] - plain) < 1e-6)
    // A penalty belongs to one model.
    #expect(source.parameterList.allSatisfy { $0.regularizer == nil })
  }

  @Test func aCloneSharesNothing() throws {
    let source = try backbone()
    let model = try headed(source)
    try source.setTrainable(false, matching: "bn1.*")
    let clone = try model.copy(), copied = try clone.bits()
    #expect(clone.parameterList.filter { $0.name.hasPrefix("bn1.") }.allSatisfy { !$0.isTrainable })
    #expect(clone.parameters.blocks.count == 1)
    try source.setTrainable(true, matching: "*")
    try source.compile(Self.sgd)
    try train(source)
    #expect(try clone.bits() == copied)
    #expect(clone.parameterList.filter { $0.name.hasPrefix("bn1.w") }.allSatisfy { !$0.isTrainable })
    let before = try source.bits()
    try clone.compile(Self.sgd)
    try train(clone)
    #expect(try source.bits() == before)
  }

  @Test func theSourceMayGo() throws {
    var source: Model? = try backbone()
    weak let gone = source
    let model = try headed(#require(source))
    let expected = try #require(source).values("conv1.weight")
    source = nil
    #expect(gone == nil)
    // Memory of its size is taken and filled before the values are looked at again.
    let others = try (10..<20).map { try backbone(seed: $0) }
    #expect(try model.values("conv1.weight") == expected)
    try model.compile(Self.sgd)
    try train(model)
    #expect(try model.bits().count > 0 && others.count == 10)
  }

  @Test func appliedTwiceTheLayersShareOneParameter() throws {
    let source = try backbone()
    var network = NetworkBuilder()
    let left = try network.builder.input("image", shape: [6, 6, 2])
    let mirrored = try network.builder.apply(Rescaling(scale: [-1]), left)
    let a = try network.apply(source, to: left, prefix: "twin.", tensor: "relu")
    let b = try network.apply(source, to: mirrored, prefix: "other.", tensor: "relu")
    var x = try network.builder.apply(GlobalPooling2D(.average), network.builder.apply(Concatenate(), a, b))
    x = try network.builder.dense(x, "fc", units: 3)
    let model = try Model(network, output: x)
    let names = model.parameterList.map(\.name)
    #expect(names.filter { $0.hasPrefix("other.") }.isEmpty && names.count == 7)
    #expect(model.tensorNames.contains("other.conv1"))

    // Its gradient is that of both uses: one step without momentum is the sum of their steps.
    try model.compile(
      #"{"optimizer": {"name": "sgd", "learning_rate": 0.5}, "loss": {"name": "sparse_categorical_crossentropy", "from_logits": true}}"#
    )
    let before = try source.values("conv1.weight")
    try train(model, steps: 1)
    let gradient = try model.gradient("twin.conv1.weight")
    #expect(gradient.contains { $0 != 0 })
    let stepped = zip(before, gradient).map { $0 - 0.5 * $1 }
    expectClose(try source.values("conv1.weight"), stepped, 1e-6, "weight")

    // Through a model that already shares it, it is still one.
    let headed = try headed(source)
    var both = NetworkBuilder()
    let input = try both.builder.input("image", shape: [6, 6, 2])
    let first = try both.apply(source, to: input, prefix: "a.", tensor: "relu")
    let second = try both.apply(headed, to: input, prefix: "b.", tensor: "relu")
    let third = try both.apply(model, to: input, prefix: "c.", tensor: "twin.relu")
    let sum = try both.builder.apply(Add(), both.builder.apply(Add(), first, second), third)
    let joined = try Model(both, output: sum)
    #expect(joined.parameterList.map(\.name).allSatisfy { $0.hasPrefix("a.") } && joined.parameterList.count == 5)
  }

  /// Training statistics of a normalisation that is used twice take up both batches, one after the other.
  @Test func sharedStatisticsTakeUpEachUse() throws {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [4, 4, 2])
    try builder.graph.addOutput("y", builder.batchNormalization(input, "bn", momentum: 0.25))
    let source = try Model(builder.graph, name: "bn")
    var network = NetworkBuilder()
    let x = try network.builder.input("image", shape: [4, 4, 2])
    let moved = try network.builder.apply(Rescaling(scale: [1], offset: [8]), x)
    let a = try network.apply(source, to: x), b = try network.apply(source, to: moved)
    // An activation after each, which is fused with it where that is possible.
    let sum = try network.builder.apply(
      Add(), network.builder.activation(.relu, a), network.builder.activation(.relu, b))
    let y = try network.builder.dense(network.builder.apply(GlobalPooling2D(.average), sum), "fc", units: 3)
    let model = try Model(network, output: y)
    try model.compile(#"{"optimizer": {"name": "sgd", "learning_rate": 0}}"#)
    let data = try imageData(5, height: 4, classes: 2)
    _ = try model.trainOnBatch(data.x.view, data.y.view)
    var mean = [Float](repeating: 0, count: 2)
    for (index, value) in data.x.values.enumerated() { mean[index % 2] += value / 80 }
    let expected = mean.map { 0.75 * (0.25 * $0) + 0.25 * ($0 + 8) }
    expectClose(try source.values("bn.running_mean"), expected, 1e-5, "mean")
  }

  @Test func aModelAndAPartOfIt() throws {
    let source = try backbone(), data = try imageData(4)
    var part = NetworkBuilder()
    let x = try part.builder.input("image", shape: [6, 6, 2])
    let relu = try part.apply(source, to: x, tensor: "relu")
    let features = try Model(part, output: relu)
    #expect(features.parameterList.count == 5)
    // A part of the part, and a whole around it.
    let whole = try headed(features, prefix: "p.")
    #expect(try features.predict(data.x.view).bits == source.predict(data.x.view, output: "relu").bits)
    try whole.compile(Self.sgd)
    try train(whole)
    #expect(try features.predict(data.x.view).bits == source.predict(data.x.view, output: "relu").bits)
    #expect(try features.predict(data.x.view).bits == whole.predict(data.x.view, output: "p.relu").bits)
    // The input itself is a part too, without parameters.
    var empty = NetworkBuilder()
    let y = try empty.builder.input("image", shape: [6, 6, 2])
    let same = try empty.apply(source, to: y, tensor: "input")
    #expect(same == y)
    let activated = try empty.builder.activation(.relu, y)
    let plain = try Model(empty, output: activated)
    #expect(plain.parameterList.isEmpty)
    #expect(try plain.predict(data.x.view).values == data.x.values.map { max($0, 0) })
  }

  @Test func inInferenceModeStatisticsStayAndNothingIsRandom() throws {
    let source = try backbone(), data = try imageData(4)
    let model = try headed(source, inference: true)
    let statistics = try source.values("bn1.running_mean"), weight = try source.values("conv1.weight")
    try model.compile(Self.sgd)
    let loss = try model.evaluate(data.x.view, data.y.view)[0]
    // What training measures before its step is what evaluation gives: no mask, no batch statistics.
    #expect(abs(try model.trainOnBatch(data.x.view, data.y.view)[0] - loss) < 1e-6)
    #expect(try source.values("bn1.running_mean") == statistics)
    #expect(try source.values("conv1.weight") != weight)
  }

  @Test func theMiddleThatACropTakesIsThatOfTheImageHere() throws {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [8, 8, 1])
    try builder.graph.addOutput("y", builder.apply(RandomCrop(height: 2, width: 2, stream: 0), input, name: "crop"))
    let source = try Model(builder.graph, name: "crop")
    var network = NetworkBuilder()
    let x = try network.builder.input("image", shape: [4, 4, 1])
    let middle = try network.apply(source, to: x, inference: true)
    let model = try Model(network, output: middle)
    let image = try Tensor((0..<16).map { Float($0) }, shape: [1, 4, 4, 1])
    #expect(try model.predict(image.view).values == [5, 6, 9, 10])
    var open = NetworkBuilder()
    let any = try open.builder.input("image", shape: [nil, nil, 1])
    expectError(.shapeMismatch, "'crop'") { _ = try open.apply(source, to: any, inference: true) }
    #expect(open.builder.graph.nodes.isEmpty)
  }

  @Test func whatDoesNotFitIsNamedAndLeavesTheNetworkAsItWas() throws {
    let source = try backbone()
    var network = NetworkBuilder()
    let x = try network.builder.input("image", shape: [6, 6, 5])
    let text = network.builder.graph.text
    expectError(.shapeMismatch, "'b.conv1'") { _ = try network.apply(source, to: x, prefix: "b.") }
    expectError(.shapeMismatch, "'conv1'") { _ = try network.apply(source, to: x, inference: true) }
    expectError(.unknownName, "did you mean 'relu'?") { _ = try network.apply(source, to: x, tensor: "rely") }
    expectError(.invalidArgument, "is a parameter") { _ = try network.apply(source, to: x, tensor: "conv1.weight") }
    expectError(.invalidArgument, "not a value") { _ = try network.apply(source, to: Value(index: 7)) }
    expectError(.invalidArgument, "not a value") {
      _ = try network.apply(source, to: Value(index: -1), inference: true)
    }
    #expect(network.builder.graph.text == text)
    expectError(.invalidArgument, "not the result of a layer") { _ = try Model(network, output: x) }
    expectError(.invalidArgument, "not the result of a layer") { _ = try Model(network, output: Value(index: 99)) }
    expectError(.invalidArgument, "is a parameter") { _ = try source.tensorShape("conv1.weight") }
  }

  @Test func aGraphThatIsReplacedForgetsWhatWasApplied() throws {
    let source = try backbone()
    var network = NetworkBuilder()
    let x = try network.builder.input("image", shape: [6, 6, 2])
    _ = try network.apply(source, to: x)
    network.builder = GraphBuilder()
    let y = try network.builder.input("image", shape: [6, 6, 2])
    let relu = try network.apply(source, to: y, tensor: "relu")
    let model = try Model(network, output: relu)
    #expect(model.parameterList.count == 5)
    #expect(try model.values("conv1.weight") == source.values("conv1.weight"))
  }

  @Test func aCheckpointOfAComposedModelGoesOnInTheSameBits() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("checkpoint")
    let source = try backbone()
    let model = try headed(source, prefix: "b.", tensor: "probabilities")
    try source.setTrainable(false, matching: "bn1.*")
    try model.compile(
      #"{"optimizer": {"name": "adam", "learning_rate": 0.01, "ema_decay": 0.9}, "metrics": ["accuracy"], "seed": 3}"#)
    let data = try imageData(10)
    var options = FitOptions()
    (options.batchSize, options.epochs) = (4, 3)
    try model.fit(data.x.view, data.y.view, options: options) { (progress) throws(CNNError) in progress.step < 4 }
    try model.write(to: path, includingTrainingState: true)
    let loaded = try Model(contentsOf: path), clone = try model.copy()
    #expect(loaded.parameterList == model.parameterList)
    options.resumes = true
    for each in [model, loaded, clone] { try each.fit(data.x.view, data.y.view, options: options) }
    #expect(try loaded.bits() == model.bits() && clone.bits() == model.bits())
    #expect(try source.values("conv1.weight") == model.values("b.conv1.weight"))
    for each in [model, loaded, clone] { try each.swapMovingAverage() }
    #expect(try loaded.bits() == model.bits() && clone.bits() == model.bits())
  }

  @Test func aNewClassifierIsOfOneModelAndTheRestStaysShared() throws {
    let source = try backbone(), data = try imageData(4)
    let model = try headed(source, prefix: "b.", tensor: "probabilities")
    #expect(try model.predict(data.x.view).shape == [4, 3])
    let old = try source.values("fc.weight")
    try source.resetClassifier(classes: 7, seed: 4)
    #expect(try source.predict(data.x.view).shape == [4, 7])
    // The other keeps the one it was made with.
    #expect(try model.values("b.fc.weight") == old)
    for round in 0..<2 {
      try source.compile(Self.sgd)
      try train(source)
      #expect(try model.values("b.conv2.weight") == source.values("conv2.weight"))
      #expect(try model.values("b.fc.weight") == old)
      try model.compile(Self.sgd)
      let classifier = try source.values("fc.weight")
      try source.setTrainable(round == 0, matching: "conv1.weight")
      #expect(model.parameterList.first { $0.name == "b.conv1.weight" }?.isTrainable == (round == 0))
      #expect(try model.predict(data.x.view, output: "b.relu").bits == source.predict(data.x.view, output: "relu").bits)
      #expect(try source.values("fc.weight") == classifier)
      // Once more, on what is left.
      try source.resetClassifier(classes: 3 + round, seed: 5)
    }
    // The new classifier is drawn from its seed, and only it.
    let other = try backbone(seed: 8)
    try other.resetClassifier(classes: 4, seed: 5)
    #expect(try source.values("fc.weight") == other.values("fc.weight"))
    // A model made of the changed one shares the new classifier.
    let again = try headed(source, tensor: "probabilities")
    try source.set("fc.bias", [1, 2, 3, 4])
    #expect(try again.values("fc.bias") == [1, 2, 3, 4])
  }

  @Test func manyThreadsPredictTrainAndFreezeWhatTheyShare() async throws {
    let source = try backbone(), data = try imageData(4)
    let models = try (0..<3).map { try headed(source, seed: $0) }
    for model in models { try model.compile(Self.sgd) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for model in models {
        group.addTask {
          for round in 0..<15 {
            _ = try model.trainOnBatch(data.x.view, data.y.view)
            if round % 4 == 0 { try model.setTrainable(round % 8 == 0, matching: "bn1.*") }
          }
        }
      }
      for _ in 0..<2 {
        group.addTask {
          for _ in 0..<30 {
            let values = try source.predict(data.x.view, output: "relu").values
            #expect(values.allSatisfy { $0.isFinite })
            _ = source.parameterCount(trainableOnly: true)
          }
        }
      }
      group.addTask {
        for round in 0..<10 {
          let another = try headed(source, seed: UInt64(round))
          _ = try another.predict(data.x.view)
          _ = try another.copy().bits()
        }
      }
      group.addTask { for classes in 2..<8 { try source.resetClassifier(classes: classes) } }
      try await group.waitForAll()
    }
    #expect(try models.allSatisfy { try $0.values("conv1.weight") == source.values("conv1.weight") })
    #expect(
      try models[0].predict(data.x.view, output: "relu").bits == source.predict(data.x.view, output: "relu").bits)
  }

  /// While another trains, a prediction sees the weights between two of its steps, never within one.
  @Test func predictionsSeeWholeSteps() async throws {
    let source = try backbone(), data = try imageData(4)
    let model = try headed(source), twin = try model.copy()
    for each in [model, twin] { try each.compile(Self.sgd) }
    var states: Set<[UInt32]> = [try twin.predict(data.x.view, output: "relu").bits]
    for _ in 0..<25 {
      _ = try twin.trainOnBatch(data.x.view, data.y.view)
      states.insert(try twin.predict(data.x.view, output: "relu").bits)
    }
    #expect(states.count == 26)
    let known = states
    let seen = try await withThrowingTaskGroup(of: Set<[UInt32]>.self) { group in
      group.addTask {
        for _ in 0..<25 { _ = try model.trainOnBatch(data.x.view, data.y.view) }
        return []
      }
      for _ in 0..<3 {
        group.addTask {
          var seen: Set<[UInt32]> = []
          for _ in 0..<40 { seen.insert(try source.predict(data.x.view, output: "relu").bits) }
          return seen
        }
      }
      var seen: Set<[UInt32]> = []
      for try await some in group { seen.formUnion(some) }
      return seen
    }
    #expect(seen.isSubset(of: known))
    #expect(try source.predict(data.x.view, output: "relu").bits == twin.predict(data.x.view, output: "relu").bits)
  }
}

extension Model {
  /// The model, compiled.
  fileprivate func withSettings(_ text: String) throws -> Model {
    try compile(text)
    return self
  }
}
