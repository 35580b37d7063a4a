import CNNCore
import CNNGraph
import CNNKernels
import Testing

@testable import SwiftCNN

@Suite struct ProfileTests {
  @Test(arguments: ["resnet20", "tf_efficientnet_lite0", "efficientnet_b0"])
  func theRowsCoverEveryLayerThatComputesOnce(name: String) throws {
    var options = ModelOptions()
    options.inputShape = [32, 32, 3]
    options.classes = 10
    let model = try Model(name, options: options)
    let profile = try model.profile(Tensor(zeros: [1, 32, 32, 3]).view, repeats: 1)
    let rows = profile.steps.flatMap(\.layers)
    #expect(Set(rows).count == rows.count)
    for node in model.graph.nodes where !(node.operation is any RandomOperation) && !(node.operation is Reshape) {
      #expect(rows.contains(node.name), "\(node.name)")
    }
  }

  @Test func theNumbersArePositiveAndConvolutionsAndDenseLayersCountOperations() throws {
    let model = try Model(randomNetwork(), name: "random")
    let profile = try model.profile(imageData(2).x.view, repeats: 3)
    #expect(profile.imageCount == 2 && profile.repeats == 3)
    #expect(profile.operationsPerSecond > 1e8 && profile.bytesPerSecond > 1e8)
    for step in profile.steps {
      #expect(step.seconds > 0 && step.byteCount > 0 && step.shareOfLimit > 0, "\(step.name)")
      #expect(step.predictedSeconds.map { $0 > 0 } ?? true, "\(step.name)")
      if step.layers.contains(where: { ["conv1", "conv2", "fc"].contains($0) }) {
        #expect(step.operations > 0, "\(step.name)")
        // Within what a debug build, an emulator or a busy machine adds to the time.
        let predicted = try #require(step.predictedSeconds)
        #expect(predicted < 100 * step.seconds && predicted < 1e-3, "\(step.name) \(predicted)")
      } else {
        #expect(step.operations == 0, "\(step.name)")
      }
    }
  }

  @Test func theLimitOfAStepIsThatOfWhatCarriesOutItsOperations() throws {
    let model = try Model("resnet18", options: ModelOptions(inputShape: [32, 32, 3], classes: 10))
    model.setPrecision(.bfloat16)
    let profile = try model.profile(Tensor(zeros: [1, 32, 32, 3]).view, repeats: 1)
    let tiles = profile.steps.filter { $0.instruction == "tdpbf16ps" }
    let elements = Dictionary(
      try model.layerPrecisions().map { ($0.layer, $0.element) }, uniquingKeysWith: { first, _ in first })
    for step in profile.steps {
      for layer in step.layers { #expect(step.element == elements[layer], "\(layer)") }
      let rate =
        switch step.instruction {
        case "tdpbf16ps": try #require(profile.tileOperationsPerSecond)
        // Products of pairs, where they are fast.
        case "vdpbf16ps": try 2 * #require(CodeTarget.host).bfloat16Rate * profile.operationsPerSecond
        default: profile.operationsPerSecond
        }
      let arithmetic = Double(step.operations) / rate
      #expect(step.shortestSeconds == max(arithmetic, Double(step.byteCount) / profile.bytesPerSecond), "\(step.name)")
    }
    #expect(tiles.isEmpty == (profile.tileOperationsPerSecond == nil))
    #expect(profile.text.contains("GFLOP/s by tiles of bfloat16, ") == !tiles.isEmpty)
    #expect(profile.json.contains(#""tile_operations_per_second":null"#) == tiles.isEmpty)
    // Elsewhere there is nothing to be said of tiles.
    model.setPrecision(.float32)
    #expect(try model.profile(Tensor(zeros: [1, 32, 32, 3]).view, repeats: 1).tileOperationsPerSecond == nil)
  }

  @Test func theLimitOfLevelsIsThatOfTheInstructionThatMultipliesThem() throws {
    let model = try Model("resnet18", options: ModelOptions(inputShape: [32, 32, 3], classes: 10))
    let x = try imageData(2, height: 32, channels: 3, classes: 10).x
    let profile = try model.quantized(calibration: x).profile(x.view, repeats: 1)
    let ofLevels = profile.steps.filter { $0.element == .int8 && $0.operations > 0 }
    #expect(ofLevels.count > 15)
    for step in ofLevels {
      let rate =
        switch step.instruction {
        case "tdpbusd": try 2 * #require(profile.tileOperationsPerSecond)
        case "vpdpbusd", "vpmaddwd": try #require(profile.integerOperationsPerSecond)
        default: profile.operationsPerSecond
        }
      #expect(["tdpbusd", "vpdpbusd", "vpmaddwd", "portable"].contains(step.instruction), "\(step.name)")
      let shortest = max(Double(step.operations) / rate, Double(step.byteCount) / profile.bytesPerSecond)
      #expect(abs(step.shortestSeconds / shortest - 1) < 1e-3, "\(step.name)")
      let row = profile.text.split(separator: "\n").first { $0.hasSuffix("  \(step.name)") } ?? ""
      #expect(row.split(separator: " ").contains("int8") && row.contains(" \(step.instruction) "), "\(step.name)")
    }
    let inVectors = ofLevels.contains { $0.instruction.hasPrefix("vp") }
    #expect(inVectors == (profile.integerOperationsPerSecond != nil))
    #expect(profile.text.contains(" GOP/s of int8, ") == inVectors)
    #expect(profile.json.contains(#""integer_operations_per_second":null"#) != inVectors)
    // Elsewhere there is nothing to be said of it.
    #expect(try model.profile(x.view, repeats: 1).integerOperationsPerSecond == nil)
  }

  @Test func theTraceHasEachStepAndWhenThreadsWereAtWorkInIt() throws {
    let profile = try Model(randomNetwork(), name: "random").profile(imageData(4).x.view, repeats: 2)
    let trace = try #require(JSON(parsing: profile.formatted("trace")).objectValue)
    let events = try trace.array("traceEvents").compactMap(\.objectValue).filter { try $0.string("ph") == "X" }
    let ofSteps = try events.filter { try $0.integer("tid") == 1 }
    #expect(try ofSteps.map { try $0.string("name") } == profile.steps.map(\.name))
    let ofThreads = try events.filter { try $0.integer("tid") > 1 }
    #expect(!ofThreads.isEmpty)
    for event in ofThreads {
      let step = try #require(ofSteps.first { try $0.string("name") == event.string("name") })
      #expect(try event.number("ts") >= step.number("ts"))
      #expect(try event.number("ts") + event.number("dur") <= step.number("ts") + step.number("dur") + 0.001)
      #expect(try event.integer("tid") <= 1 + profile.threadCount)
    }
  }

  @Test func theNumbersAreJSONAndTheTableHasARowForEachStep() throws {
    let model = try Model(randomNetwork(), name: "random")
    let profile = try model.profile(imageData(1).x.view, repeats: 1)
    let numbers = try JSON(parsing: profile.formatted("json"))
    #expect(try numbers.objectValue?.array("steps").count == profile.steps.count)
    for step in profile.steps { #expect(profile.text.split(separator: "\n").contains { $0.hasSuffix(step.name) }) }
  }

  private func trained() throws -> Model {
    let model = try Model(randomNetwork(), name: "random", seed: 3)
    try model.compile(#"{"optimizer": {"name": "adam", "ema_decay": 0.5}, "seed": 1}"#)
    return model
  }

  @Test func aTrainingStepHasItsPassesInOrder() throws {
    let model = try trained(), data = try imageData(4)
    let profile = try model.profile(data.x.view, data.y.view, repeats: 2)
    #expect(profile.isOfTraining && profile.imageCount == 4 && profile.repeats == 2)
    let passes = try profile.steps.map { try #require($0.pass) }
    func count(_ pass: Profile.Pass) -> Int { passes.count { $0 == pass } }
    #expect(count(.forward) > 8 && count(.backward) > 8 && count(.update) == 3)
    // Forward before backward before update.
    let order = passes.map { Profile.Pass.allCases.firstIndex(of: $0) ?? -1 }
    #expect(order == order.sorted())
    for layer in ["conv1", "bn1", "relu", "fc"] {
      #expect(profile.steps.first { $0.layers.contains(layer) }?.pass == .forward, "\(layer)")
    }
    #expect(profile.steps.suffix(3).map(\.name) == ["gradients", "statistics", "weights"])
    #expect(profile.steps.allSatisfy { $0.seconds > 0 && $0.byteCount > 0 })
    let lines = profile.stepText.split(separator: "\n")
    #expect(lines[0].contains("a training step on 4 images") && lines.contains { $0.contains("  role ") })
    #expect(try profile.formatted("json").contains(#""pass":"backward""#))
    let trace = try #require(JSON(parsing: profile.trace).objectValue)
    let names = try trace.array("traceEvents").compactMap(\.objectValue).map { try $0.string("name") }
    #expect(names.contains("fc: weight gradient") && names.contains("fc: forward"))
  }

  @Test func profilingATrainingStepChangesNothing() throws {
    let model = try trained(), other = try trained(), data = try imageData(4)
    for each in [model, other] { _ = try each.trainOnBatch(data.x.view, data.y.view) }
    let before = try model.bits()
    _ = try model.profile(data.x.view, data.y.view, repeats: 3)
    #expect(try model.bits() == before)
    expectError(.invalidState, "before the first training step") { _ = try model.gradient("fc.weight") }
    // And training goes on as if nothing had been.
    for each in [model, other] { _ = try each.trainOnBatch(data.x.view, data.y.view) }
    #expect(try model.bits() == other.bits() && model.gradient("fc.weight") == other.gradient("fc.weight"))
    try model.swapMovingAverage()
    try other.swapMovingAverage()
    #expect(try model.bits() == other.bits())
  }

  @Test func whatDoesNotFitInATrainingStepIsAnError() throws {
    let data = try imageData(4), model = try Model(randomNetwork(), name: "random")
    expectError(.invalidState, "not compiled") { _ = try model.profile(data.x.view, data.y.view) }
    let compiled = try trained()
    expectError(.invalidArgument, "repeats is 0") { _ = try compiled.profile(data.x.view, data.y.view, repeats: 0) }
    let wrong = try Tensor([0, 1, 7, 2] as [Int32], shape: [4])
    expectError(.invalidArgument, "y[2] is 7") { _ = try compiled.profile(data.x.view, wrong.view) }
  }

  @Test func aPredictionHasNoRoles() throws {
    let profile = try Model(randomNetwork(), name: "random").profile(imageData(1).x.view, repeats: 1)
    #expect(profile.layers.isEmpty && profile.roles.isEmpty && profile.text == profile.stepText)
    #expect(profile.steps.allSatisfy { $0.pass == nil && $0.parts.isEmpty && $0.roles.isEmpty })
  }

  @Test func wrongArgumentsAreErrorsThatNameThem() throws {
    let model = try Model(randomNetwork(), name: "random")
    let x = try imageData(1).x
    for repeats in [0, -1, 1_000_001] {
      let error = #expect(throws: CNNError.self) { try model.profile(x.view, repeats: repeats) }
      #expect(error?.message.hasPrefix("repeats is \(repeats)") == true)
    }
    let profile = try model.profile(x.view, repeats: 1)
    #expect(throws: CNNError.self) { try profile.formatted("tracer") }
  }

  @Test func theFusedSummaryGivesLayersOfOneStepTheSameNumber() throws {
    let model = try Model(randomNetwork(), name: "random")
    let lines = try model.fusedSummary().split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(lines.contains { $0.last == "step" })
    func step(_ layer: String) -> [String] { Array(lines.first { $0.first == layer }?.suffix(2) ?? []) }
    #expect(step("conv1") == step("bn1") && step("conv1").count == 2)
    #expect(step("conv1") != step("fc"))
  }
}
