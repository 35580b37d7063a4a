import CNNCore
import CNNGraph
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
      if step.layers.contains(where: { ["conv1", "conv2", "fc"].contains($0) }) {
        #expect(step.operations > 0, "\(step.name)")
      } else {
        #expect(step.operations == 0, "\(step.name)")
      }
    }
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
