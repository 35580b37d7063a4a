import CNNCore
import CNNGraph
import Testing

@testable import SwiftCNN

/// The registry is the list of tests here too.
@Suite(.serialized) struct PruningTests {
  private static func model(_ name: String, width: Double? = nil, size: Int = 32) throws -> Model {
    var options = ModelOptions()
    options.inputShape = [size, size, 3]
    options.classes = 10
    options.seed = 3
    // Widths at which there is something to prune, of networks that are small enough.
    options.scaling.width =
      try width ?? (RegistryTests.published.get().object(name).integer("parameters") > 6_000_000 ? 0.25 : 0.5)
    let model = try Model(name, options: options)
    // Statistics and shifts that are not those of a fresh model: then each of them matters.
    for parameter in model.parameterList where parameter.shape.count == 1 {
      try model.setValue(
        Tensor(Formula.parameter(parameter.name, parameter.shape), shape: parameter.shape), of: parameter.name)
    }
    return model
  }

  /// Expects an error that says so.
  private static func expectMessage(_ part: String, _ body: () throws -> Void) {
    do {
      try body()
      Issue.record("no error; expected one with '\(part)'")
    } catch { #expect("\(error)".contains(part)) }
  }

  private static func images(_ size: Int = 32) throws -> Tensor {
    try Tensor(Formula.values("x", 2 * size * size * 3), shape: [2, size, size, 3])
  }

  /// The model with all that channels of `groups` are, save those that are kept, set to zero: statistics may stay.
  private static func zeroed(_ model: Model, _ groups: ChannelGroups, _ kept: [[Int]]) throws -> Model {
    let result = try model.copy()
    for (group, kept) in zip(groups.groups, kept) {
      let gone = group.channels.indices.filter { !kept.contains($0) }
      for (position, place) in group.axes.enumerated() {
        let parameter = groups.graph.parameters[place.parameter], size = parameter.shape[place.axis]
        guard parameter.role.isLearned else { continue }
        let values = result.parameters.values(at: place.parameter)
        let run = parameter.shape.dropFirst(place.axis + 1).reduce(1, *)
        for index in gone.flatMap({ group.channels[$0][position] }) {
          for start in stride(from: index * run, to: values.count, by: size * run) {
            values[start..<start + run].update(repeating: 0)
          }
        }
      }
    }
    result.parameters.markChanged()
    return result
  }

  @Test(arguments: ModelRegistry.names) func prunedNetworkIsTheOneWithChannelsZeroed(_ name: String) throws {
    let model = try Self.model(name), x = try Self.images()
    let groups = try ChannelGroups(model.graph)
    #expect(groups.groups.contains { $0.reason == nil })
    // Two of three, not the same everywhere.
    let kept = groups.groups.enumerated().map { position, group in
      group.channels.indices.filter { group.reason != nil || group.channels.count < 3 || ($0 + position) % 3 != 0 }
    }
    let pruned = try groups.keeping(kept)
    try pruned.graph.verify()
    let small = try Model(uninitialized: pruned.graph, name: name, mean: nil, deviation: nil)
    for (position, parameter) in pruned.graph.parameters.enumerated() {
      let old = try model.value(of: parameter.name)
      let target = small.parameters.values(at: position)
      if let slice = pruned.slices[parameter.name] {
        slice.copy(from: UnsafeBufferPointer(old.floats), to: target)
      } else {
        _ = target.update(fromContentsOf: old.floats)
      }
    }
    let expected = try Self.zeroed(model, groups, kept).predict(x.view), result = try small.predict(x.view)
    for (a, b) in zip(result.floats, expected.floats) { #expect(abs(a - b) <= 1e-5, "\(name)") }
    #expect(small.parameterCount() < model.parameterCount())
  }

  @Test(arguments: ["resnet18", "efficientnet_b0"]) func prunedModelTrainsAndIsSaved(_ name: String) throws {
    let model = try Self.model(name), x = try Self.images()
    let before = try model.predict(x.view)
    try model.compile(#"{"loss": "sparse_categorical_crossentropy", "optimizer": {"name": "sgd", "momentum": 0.9}}"#)
    let y = try Tensor([3, 7] as [Int32], shape: [2])
    try model.trainOnBatch(x.view, y.view)
    let trained = try model.predict(x.view)
    for ratio in [0.1, 0.5, 0.9] {
      let small = try model.pruned(
        PruningOptions(.ratio(ratio), rounding: .multiple(1), minimumChannels: 1, minimumShare: 0))
      let report = try #require(small.pruningReport)
      #expect(report.after.macs < report.before.macs)
      let width = report.groups.filter(\.reason.isEmpty).reduce(into: (0, 0)) {
        $0 = ($0.0 + $1.before, $0.1 + $1.after)
      }
      #expect(abs(1 - Double(width.1) / Double(width.0) - ratio) < 0.02)
      #expect(try small.trainedSteps() == 1)
      try small.trainOnBatch(x.view, y.view)
      let directory = try TemporaryDirectory()
      try small.write(to: directory.file("small"))
      let copy = try Model(contentsOf: directory.file("small"))
      #expect(try copy.predict(x.view).bits == small.predict(x.view).bits)
    }
    #expect(try model.predict(x.view).bits == trained.bits)
    #expect(trained.bits != before.bits)
  }

  @Test func momentumOfWhatIsLeftStays() throws {
    let model = try Self.model("resnet18")
    try model.compile(#"{"loss": "sparse_categorical_crossentropy", "optimizer": {"name": "sgd", "momentum": 0.9}}"#)
    let x = try Self.images(), y = try Tensor([3, 7] as [Int32], shape: [2])
    try model.trainOnBatch(x.view, y.view)
    let small = try model.pruned(PruningOptions(.ratio(0.5), criterion: .random, rounding: .multiple(1)))
    let old = try #require(model.training?.optimizer.slots["velocity"])
    let new = try #require(small.training?.optimizer.slots["velocity"])
    let name = "layer1.0.conv1.weight"
    let wide = old.values(at: try #require(old.position(of: name)))
    let narrow = new.values(at: try #require(new.position(of: name)))
    #expect(narrow.count < wide.count && narrow.contains { $0 != 0 })
    #expect(narrow.allSatisfy { wide.contains($0) })
  }

  @Test func targetsAreReached() throws {
    let model = try Self.model("resnet18", width: 0.5), size = NetworkSize(try ChannelGroups(model.graph))
    for rounding in [WidthRounding.multiple(1), .multiple(4), .fast] {
      let small = try model.pruned(PruningOptions(.macs(0.5), rounding: rounding, minimumChannels: 1, minimumShare: 0))
      let report = try #require(small.pruningReport)
      let share = Double(report.after.macs) / Double(report.before.macs)
      #expect(share <= 0.5 && share > 0.3, "\(rounding): \(share)")
      if case .multiple(let number) = rounding {
        #expect(report.groups.allSatisfy { $0.after == $0.before || $0.after.isMultiple(of: number) })
        // No layer could be wider.
        let kept = report.groups.map(\.after)
        for (position, group) in report.groups.enumerated() where group.after < group.before {
          var wider = kept
          wider[position] += number
          #expect(size(wider).macs > 0.5 * Double(report.before.macs), "\(rounding): \(group)")
        }
      }
      #expect(Double(report.after.macs) == small.graph.macs)
    }
    let half = try model.pruned(PruningOptions(.parameters(0.5), scope: .layer, rounding: .multiple(1)))
    #expect(Double(half.parameterCount()) <= 0.5 * Double(model.parameterCount()))
    let shares = try #require(half.pruningReport).groups.filter(\.reason.isEmpty).map {
      Double($0.after) / Double($0.before)
    }
    #expect((shares.max() ?? 0) - (shares.min() ?? 1) < 0.1)
  }

  /// ResNeXt's groups of 4 channels would be computed as more if they were of 3.
  @Test func groupedConvolutionsGetNoSlower() throws {
    var options = ModelOptions()
    options.inputShape = [64, 64, 3]
    options.stages = .blockCounts([1, 1, 1, 1])
    let model = try Model("resnext50_32x4d", options: options), groups = try ChannelGroups(model.graph)
    let small = try model.pruned(PruningOptions(.ratio(0.1), rounding: .multiple(1)))
    let report = try #require(small.pruningReport)
    let times = LayerTimes(groups, model.pixelNormalization, .float32), whole = groups.groups.map(\.channels.count)
    var grouped = 0
    for (position, group) in groups.groups.enumerated() where group.multiplicity > 1 {
      var kept = whole
      kept[position] = report.groups[position].after / group.multiplicity
      #expect(try times.cycles(of: position, kept) <= times.cycles(of: position, whole), "\(group.layers)")
      grouped += 1
    }
    // What they read and what they make.
    #expect(grouped == 8)
  }

  @Test func masksAreCutWithTheirWeights() throws {
    let model = try Self.model("resnet18").sparsified(options: SparsityOptions(sparsity: 0.5))
    let small = try model.pruned(PruningOptions(.ratio(0.5), criterion: .random, rounding: .multiple(1)))
    let before = Dictionary(uniqueKeysWithValues: model.graph.parameters.map { ($0.name, $0.mask) })
    #expect(small.graph.parameters.contains { $0.mask != nil })
    for parameter in small.graph.parameters {
      #expect((parameter.mask == nil) == (before[parameter.name] == .some(nil)))
      guard let mask = parameter.mask else { continue }
      // A kept number is one that was kept, and others are 0.
      let values = Array(small.parameters.values(at: try #require(small.parameters.position(of: parameter.name))))
      #expect(mask.count == values.count && mask.keptCount > 0)
      #expect(values.indices.allSatisfy { mask[$0] == (values[$0] != 0) })
    }
  }

  /// Which times there are depends on the machine; a half of the present one can be had on any.
  @Test func latencyIsReachedAndMeasured() throws {
    let model = try Self.model("resnet18", width: 1, size: 64)
    let whole = try model.lockedLatency() * 1e3
    let small = try model.pruned(
      PruningOptions(.latency(milliseconds: 0.75 * whole), minimumChannels: 1, minimumShare: 0))
    let report = try #require(small.pruningReport)
    let latency = try #require(report.after.latency)
    #expect(report.after.macs < report.before.macs && report.predictedLatency != nil)
    #expect(latency <= 1.02 * 0.75 * whole)
    Self.expectMessage("the nearest that can be reached is") {
      try model.prune(PruningOptions(.latency(milliseconds: 1e-6)))
    }
  }

  @Test func gradientsTellWhatMatters() throws {
    let model = try Self.model("resnet18"), x = try Self.images()
    let y = try Tensor([3, 7] as [Int32], shape: [2])
    Self.expectMessage("not compiled") {
      try model.prune(PruningOptions(.ratio(0.5), criterion: .taylor), on: x, y)
    }
    try model.compile(#"{"loss": "sparse_categorical_crossentropy", "optimizer": "sgd"}"#)
    let before = try model.predict(x.view)
    let options = PruningOptions(.ratio(0.5), criterion: .taylor, rounding: .multiple(1))
    let small = try model.pruned(options, on: x, y)
    #expect(small.parameterCount() < model.parameterCount())
    #expect(try model.predict(x.view).bits == before.bits && model.trainedSteps() == 0)
    // A channel without a gradient leaves first: that of a filter whose shift keeps what it makes at 0.
    let name = "layer1.0.bn1.bias"
    let shift = try model.value(of: name)
    withExtendedLifetime(shift) { shift.floats[2] = -1e6 }
    try model.setValue(shift, of: name)
    let cut = try model.pruned(
      PruningOptions(.ratio(0.3), criterion: .taylor, scope: .layer, rounding: .multiple(1)), on: x, y)
    #expect(!cut.parameters.values(at: try #require(cut.parameters.position(of: name))).contains(-1e6))
  }

  @Test func whatIsLeftAloneHasAReason() throws {
    let model = try Self.model("resnet18")
    let small = try model.pruned(PruningOptions(.ratio(0.3), rounding: .multiple(1), skip: ["layer2.*"]))
    let report = try #require(small.pruningReport)
    let classifier = try #require(report.groups.first { $0.layers == ["fc"] })
    #expect(classifier.after == 10 && classifier.reason.contains("divides each by the sum of all"))
    for group in report.groups where group.layers.contains(where: { $0.hasPrefix("layer2") }) {
      #expect(group.after == group.before && group.reason.contains("skip names 'layer2"))
    }
  }

  @Test func badOptionsAreRefused() throws {
    let model = try Self.model("resnet18"), x = try Self.images()
    let before = try model.predict(x.view)
    func message(_ options: String) -> String {
      do throws(CNNError) {
        guard let object = try JSON(parsing: options).objectValue else { return "" }
        try model.prune(PruningOptions(json: object))
        return ""
      } catch { return error.message }
    }
    #expect(message("{}") == "no target is given; expected one of ratio, macs, params and latency_ms")
    #expect(message(#"{"ratio": 0.5, "macs": 0.5}"#).hasPrefix("ratio and macs are given"))
    #expect(message(#"{"ratio": 1}"#) == "ratio is 1.0; expected 0 or more and below 1")
    #expect(message(#"{"ratio": -0.1}"#).hasPrefix("ratio is -0.1"))
    #expect(message(#"{"macs": 0}"#).hasPrefix("macs is 0"))
    #expect(message(#"{"macs": 0.0001}"#).contains("the nearest that can be reached is 0."))
    #expect(message(#"{"ratio": 0.5, "criterion": "l3"}"#).contains("did you mean 'l1'"))
    #expect(message(#"{"ratio": 0.5, "round_to": "fats"}"#).contains("did you mean 'fast'"))
    #expect(message(#"{"ratio": 0.5, "round_to": 0}"#).hasPrefix("roundTo is 0"))
    #expect(message(#"{"ratio": 0.5, "skip": ["layer1.0.conv9"]}"#).contains("did you mean 'layer1.0.conv"))
    #expect(message(#"{"ratio": 0.5, "criterion": "taylor"}"#).contains("data is not given"))
    #expect(try model.predict(x.view).bits == before.bits)
  }
}
