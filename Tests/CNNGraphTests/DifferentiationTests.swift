import CNNCore
import Testing

@testable import CNNGraph

@Suite struct DifferentiationTests {
  /// The training graph's loss and the values of the trainable parameters.
  private func trained(_ network: Graph) throws -> (graph: Graph, gradients: [String: Value?]) {
    let graph = try network.trainingForm().addingLoss(Loss(.sparseCategoricalCrossEntropy, fromLogits: true))
    let loss = try #require(graph.outputs.first { $0.name == "loss" }?.value)
    let trainable = graph.parameters.filter(\.isTrainable)
    let values = try trainable.map { try #require(graph.value(named: $0.name)) }
    let result = try graph.differentiating(loss, withRespectTo: values)
    return (result.graph, Dictionary(uniqueKeysWithValues: zip(trainable.map(\.name), result.gradients)))
  }

  @Test func everyTrainableParameterHasAGradientOfItsShape() throws {
    let network = try smallNetwork()
    let (graph, gradients) = try trained(network)
    try graph.verify()
    #expect(Set(gradients.keys) == ["conv.weight", "conv.bias", "bn.weight", "bn.bias", "fc.weight", "fc.bias"])
    for (name, gradient) in gradients {
      let value = try #require(graph.value(named: name)), gradient = try #require(gradient)
      #expect(graph.type(of: gradient) == graph.type(of: value))
    }
    // The forward part is as it was.
    #expect(graph.nodes.prefix(network.nodes.count).map(\.name) == network.nodes.map(\.name))
  }

  @Test func noGradientFlowsBelowFrozenParameters() throws {
    var network = try smallNetwork()
    network.setTrainable { $0.name.hasPrefix("fc") }
    let (graph, gradients) = try trained(network)
    #expect(Set(gradients.keys) == ["fc.weight", "fc.bias"])
    #expect(!graph.nodes.contains { $0.operation is Convolution2DWeightGradient })
    #expect(!graph.nodes.contains { $0.operation is DenseInputGradient })
    #expect(!graph.nodes.contains { $0.operation is BatchNormalizationGradient })
  }

  @Test func theFirstConvolutionHasNoInputGradient() throws {
    let (graph, _) = try trained(smallNetwork())
    #expect(!graph.nodes.contains { $0.operation is Convolution2DInputGradient })
  }

  @Test func gradientsOfTwoReadersAreAdded() throws {
    let (graph, _) = try trained(smallNetwork())
    let sums = graph.nodes.filter { $0.name.hasSuffix("gradient_sum") }
    #expect(sums.map(\.name) == ["relu.gradient_sum"])
  }

  @Test func eachAddedNodeSaysWhoseGradientItIsThereFor() throws {
    let graph = try smallNetwork().trainingForm().addingLoss(Loss(.sparseCategoricalCrossEntropy, fromLogits: true))
    let loss = try #require(graph.outputs.first { $0.name == "loss" }?.value)
    let values = try graph.parameters.filter(\.isTrainable).map { try #require(graph.value(named: $0.name)) }
    let result = try graph.differentiating(loss, withRespectTo: values)
    #expect(Set(result.origins.keys) == Set(result.graph.nodes.dropFirst(graph.nodes.count).map(\.name)))
    var ofParameters: Set<String> = [], ofInputs: Set<String> = []
    for node in result.graph.nodes.dropFirst(graph.nodes.count) {
      let origin = try #require(result.origins[node.name])
      #expect(graph.value(named: origin.node) != nil, "\(origin)")
      switch node.operation {
      case is Convolution2DWeightGradient, is DenseWeightGradient: #expect(origin.isOfParameters, "\(node.name)")
      case is Convolution2DInputGradient, is DenseInputGradient, is BatchNormalizationTrainingGradient, is Add:
        #expect(!origin.isOfParameters, "\(node.name)")
      default: break
      }
      if origin.isOfParameters { ofParameters.insert(origin.node) } else { ofInputs.insert(origin.node) }
    }
    #expect(ofParameters == ["conv", "fc"])
    #expect(ofInputs.isSuperset(of: ["bn", "relu", "fc"]) && !ofInputs.contains("conv"))
    #expect(result.origins["relu.gradient_sum"] == GradientOrigin(node: "relu", isOfParameters: false))
  }

  @Test func aScalarThatDoesNotDependHasNoGradient() throws {
    var graph = Graph()
    let x = try graph.addInput("x", type([2, 2])), unused = try graph.addInput("unused", type([2, 2]))
    let weights = try graph.addInput("weights", type([2]))
    let mean = try graph.addSingle(WeightedMean(), [x, weights])
    let result = try graph.differentiating(mean, withRespectTo: [unused, x])
    #expect(result.gradients[0] == nil && result.gradients[1] != nil)
  }

  @Test func aMissingRuleNamesTheOperation() throws {
    var graph = Graph()
    let x = try graph.addInput("x", type([2, 2])), weights = try graph.addInput("weights", type([2]))
    let riddle = try graph.addSingle(Riddle(), [x])
    let mean = try graph.addSingle(WeightedMean(), [riddle, weights])
    let error = #expect(throws: CNNError.self) { try graph.differentiating(mean, withRespectTo: [x]) }
    #expect(error == CNNError(.invalidArgument, "operation 'riddle' has no gradient"))
    // Not on the way: no matter.
    #expect(throws: Never.self) { try graph.differentiating(mean, withRespectTo: [riddle]) }
  }

  @Test func onlyAScalarIsDifferentiated() throws {
    let network = try smallNetwork()
    let error = #expect(throws: CNNError.self) {
      try network.differentiating(network.outputs[0].value, withRespectTo: [])
    }
    #expect(error?.message == "'fc' has shape [1, 5]; expected a scalar")
  }

  @Test func targetsAndSampleWeightsHaveNoGradient() throws {
    let graph = try smallNetwork().addingLoss(Loss(.meanSquaredError))
    let loss = try #require(graph.value(named: "loss.mean"))
    for name in ["target", "sample_weight"] {
      let value = try #require(graph.value(named: name))
      #expect(throws: CNNError.self) { try graph.differentiating(loss, withRespectTo: [value]) }
    }
  }
}
