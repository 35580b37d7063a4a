import CNNCore
import Testing

@testable import CNNGraph

@Suite struct RewritingTests {
  @Test func rebindingInfersAllShapesAnew() throws {
    let graph = try smallNetwork().rebound(["input": type([5, 9, 7, 3])])
    #expect(try graph.value(named: "conv").map(graph.type) == type([5, 9, 7, 4]))
    #expect(try graph.value(named: "fc").map(graph.type) == type([5, 5]))
    try graph.verify()
    // And back again gives the same text.
    #expect(try graph.rebound(["input": type([1, 6, 6, 3])]).text == smallNetwork().text)
  }

  @Test func rebindingNamesTheNodeThatDoesNotFit() throws {
    let error = #expect(throws: CNNError.self) { try smallNetwork().rebound(["input": type([1, 6, 6, 4])]) }
    #expect(error?.code == .shapeMismatch)
    #expect(error?.message.hasPrefix("conv2d 'conv': the input [1, 6, 6, 4] has 4 channels") == true)
  }

  @Test func outputsAreSelectedByTensorOrOutputName() throws {
    let graph = try smallNetwork().selectingOutputs(["relu", "scores"])
    #expect(graph.outputs.map(\.name) == ["relu", "scores"])
    #expect(graph.outputs.map { graph.name(of: $0.value) } == ["relu", "fc"])
  }

  @Test func anUnknownOutputSuggestsTheNearest() throws {
    let error = #expect(throws: CNNError.self) { try smallNetwork().selectingOutputs(["rely"]) }
    #expect(error == CNNError(.unknownName, "unknown tensor 'rely'; did you mean 'relu'?"))
    let far = #expect(throws: CNNError.self) {
      try smallNetwork().selectingOutputs([String(repeating: "z", count: 100_000)])
    }
    #expect((far?.message.count ?? .max) < 500)
  }

  @Test func deadNodesAndParametersGo() throws {
    let graph = try smallNetwork().selectingOutputs(["relu"]).removingDeadNodes()
    #expect(graph.nodes.map(\.name) == ["conv", "bn", "relu"])
    #expect(graph.parameters.count == 8)
    #expect(try graph.removingDeadParameters().parameters.map(\.name).contains("fc.weight") == false)
    #expect(try graph.removingDeadParameters().parameters.count == 6)
  }

  @Test func updatesKeepNodesAlive() throws {
    let graph = try smallNetwork().trainingForm().selectingOutputs(["input"]).removingDeadNodes()
    #expect(graph.nodes.map(\.name) == ["conv", "bn"])
  }

  @Test func pixelsAreNormalizedFirst() throws {
    let graph = try smallNetwork().acceptingPixels(input: "input", mean: [0, 0, 0], deviation: [1, 1, 1])
    #expect(graph.type(of: graph.inputs[0].value) == (try type([1, 6, 6, 3], .uint8)))
    #expect(graph.nodes[0].operation is NormalizePixels)
    #expect(graph.nodes[1].operands[0] == graph.nodes[0].results[0])
    try graph.verify()
    let error = #expect(throws: CNNError.self) {
      try smallNetwork().acceptingPixels(input: "inputs", mean: [0], deviation: [1])
    }
    #expect(error?.code == .unknownName)
  }

  @Test func aPassThatDropsAValueInUseIsAFault() throws {
    let error = #expect(throws: CNNError.self) {
      try smallNetwork().rewriting { _, node throws(CNNError) in node.name == "relu" }
    }
    #expect(error?.code == .internalFault)
    #expect(error?.message.contains("'relu'") == true)
  }
}
