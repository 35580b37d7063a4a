import CNNCore
import Testing

@testable import CNNGraph

@Suite struct ModesTests {
  @Test func trainingMeasuresTheBatchAndUpdatesTheStatistics() throws {
    let graph = try smallNetwork().trainingForm()
    let layer = try #require(graph.nodes.first { $0.name == "bn" })
    #expect(layer.operation is BatchNormalizationTraining)
    #expect(graph.updates.map { graph.parameters[$0.parameter].name } == ["bn.running_mean", "bn.running_var"])
    #expect(graph.updates.map(\.value) == [layer.results[3], layer.results[4]])
    #expect(graph.nodes.contains { $0.operation is Dropout })
  }

  @Test func aFrozenNormalizationStaysInInference() throws {
    var network = try smallNetwork()
    network.setTrainable { !$0.name.hasPrefix("bn.") }
    let graph = try network.trainingForm()
    #expect(graph.nodes.contains { $0.operation is BatchNormalization })
    #expect(graph.updates.isEmpty)
    // One of gamma and beta is enough to train.
    network.setTrainable { $0.name != "bn.weight" }
    #expect(try network.trainingForm().updates.count == 2)
  }

  @Test func statisticsAreNeverTrainable() throws {
    var network = try smallNetwork()
    network.setTrainable { _ in true }
    #expect(network.parameters.filter { $0.role == .statistic }.allSatisfy { !$0.isTrainable })
  }

  @Test func inferenceDropsTheRandomLayers() throws {
    let graph = try smallNetwork().inferenceForm()
    #expect(!graph.nodes.contains { $0.operation is Dropout })
    let sum = try #require(graph.nodes.first { $0.name == "sum" })
    #expect(sum.operands.map(graph.name) == ["relu", "relu"])
    try graph.verify()
  }

  @Test(arguments: [
    (LossFunction.sparseCategoricalCrossEntropy, "softmax", true), (.categoricalCrossEntropy, "softmax", true),
    (.binaryCrossEntropy, "softmax", false), (.meanSquaredError, "softmax", false),
    (.binaryCrossEntropy, "sigmoid", true), (.sparseCategoricalCrossEntropy, "sigmoid", false),
    (.binaryCrossEntropy, "tanh", false), (.kullbackLeiblerDivergence, "softmax", false),
  ])
  func theLossTakesTheLogits(_ function: LossFunction, _ last: String, _ fuses: Bool) throws {
    let network =
      last == "softmax"
      ? try smallNetwork(softmax: true) : try smallNetwork(endingIn: ActivationFunction(rawValue: last))
    let graph = try network.addingLoss(Loss(function)).fusingSoftmaxIntoLoss()
    let node = try #require(graph.nodes.first { $0.operation is Loss })
    #expect((node.operation as? Loss)?.fromLogits == fuses)
    #expect(graph.name(of: node.operands[0]) == (fuses ? "fc" : last == "softmax" ? "probabilities" : "last"))
    // The prediction is still the last layer's.
    #expect(graph.outputs.map(\.name) == ["scores", "loss"])
    #expect(graph.name(of: graph.outputs[0].value) == (last == "softmax" ? "probabilities" : "last"))
  }

  @Test func inInferenceAFlipIsGoneAndACropTakesTheMiddle() throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [8, 7, 3])
    x = try builder.apply(RandomFlip(stream: 1), x, name: "flip")
    x = try builder.apply(RandomCrop(height: 5, width: 4, stream: 2), x, name: "crop")
    x = try builder.apply(RandomCrop(height: 5, width: 4, stream: 3), x, name: "whole")
    try builder.graph.addOutput("y", x)
    let graph = try builder.graph.inferenceForm()
    #expect(graph.nodes.map(\.name) == ["crop"])
    #expect((graph.nodes[0].operation as? Crop2D)?.cropping == [1, 1, 2, 2])
    #expect(graph.type(of: graph.outputs[0].value).shape == [1, 5, 4, 3])
    #expect(try builder.graph.trainingForm().nodes.map(\.name) == ["flip", "crop", "whole"])
  }

  @Test func aLossThatTakesLogitsIsLeftAlone() throws {
    let graph = try smallNetwork(softmax: true)
      .addingLoss(Loss(.categoricalCrossEntropy, fromLogits: true)).fusingSoftmaxIntoLoss()
    let node = try #require(graph.nodes.first { $0.operation is Loss })
    #expect(graph.name(of: node.operands[0]) == "probabilities")
  }

  @Test func theLossAddsTargetAndWeights() throws {
    let graph = try smallNetwork().rebound(["input": type([7, 6, 6, 3])])
      .addingLoss(Loss(.sparseCategoricalCrossEntropy, fromLogits: true))
    #expect(graph.inputs.map(\.name) == ["input", "target", "sample_weight"])
    #expect(try graph.inputs.dropFirst().map { graph.type(of: $0.value) } == [type([7], .int32), type([7])])
    #expect(throws: CNNError.self) { try Graph().addingLoss(Loss(.meanSquaredError)) }
  }

  @Test func theLossGetsThePenaltiesOfTrainableParameters() throws {
    var graph = try smallNetwork()
    let plain = try graph.addingLoss(Loss(.meanSquaredError))
    #expect(try plain.addingRegularization().text == plain.text)
    let penalty = try Regularizer(l1: 0.5)
    graph.setRegularizers { $0.name == "conv.weight" || $0.name == "fc.weight" ? penalty : nil }
    graph.setTrainable { $0.name != "fc.weight" }
    let regularized = try graph.addingLoss(Loss(.meanSquaredError)).addingRegularization()
    #expect(regularized.nodes.filter { $0.operation is Regularization }.map(\.name) == ["conv.weight.penalty"])
    #expect(regularized.outputs.map(\.name) == ["scores", "loss"])
    let total = try #require(regularized.node(defining: regularized.outputs[1].value))
    #expect(total.operation is Add && total.operands.map(regularized.name) == ["loss.mean", "conv.weight.penalty"])
    try regularized.verify()
  }

  @Test func regularizersAreStoredAndPrinted() throws {
    var graph = try smallNetwork()
    let penalty = try Regularizer(l1: 0.25, l2: 1e-4)
    graph.setRegularizers { $0.name == "fc.weight" ? penalty : nil }
    let copy = try Graph(json: JSON(parsing: graph.json.serialized()))
    #expect(copy.parameters == graph.parameters)
    #expect(graph.text.contains("fc.weight = parameter weight l1=0.25 l2=0.0001 : float32[5, 4]"))
    let none = try smallNetwork().json.serialized()
    #expect(!none.contains("regularizer"))
  }

  @Test func theFrozenFormTrainsAsItPredicts() throws {
    let frozen = try smallNetwork().frozenForm()
    #expect(!frozen.nodes.contains { $0.operation is any RandomOperation })
    let layer = try #require(frozen.nodes.first { $0.name == "bn" })
    #expect((layer.operation as? BatchNormalization)?.frozen == true)
    // Its parameters may be trained, its statistics stay.
    let training = try frozen.trainingForm()
    #expect(training.updates.isEmpty && training.parameters.contains { $0.name == "bn.weight" && $0.isTrainable })
    #expect(training.text == frozen.text)
    #expect(try frozen.frozenForm().text == frozen.text)
    try frozen.verify()
  }

  @Test func theFrozenFormAndBiasedVarianceAreStored() throws {
    var builder = GraphBuilder()
    let x = try builder.batchNormalization(builder.input(shape: [4, 4, 2]), "bn", unbiased: false)
    try builder.graph.addOutput("y", x)
    let copy = try Graph(json: JSON(parsing: builder.graph.frozenForm().json.serialized()))
    let layer = try #require(copy.nodes[0].operation as? BatchNormalization)
    #expect(layer.frozen && !layer.unbiased)
    let training = try #require(builder.graph.trainingForm().nodes[0].operation as? BatchNormalizationTraining)
    #expect(!training.unbiased)
    let plain = try smallNetwork().json.serialized()
    #expect(!plain.contains("frozen") && !plain.contains("unbiased"))
  }

  @Test func theMiddleOfImagesOfAnySizeIsNotFixed() throws {
    var builder = GraphBuilder()
    let x = try builder.input(shape: [nil, nil, 2])
    try builder.graph.addOutput("y", builder.apply(RandomCrop(height: 4, width: 4, stream: 0), x, name: "crop"))
    let error = #expect(throws: CNNError.self) { try builder.graph.frozenForm() }
    #expect(error?.code == .shapeMismatch && error?.message.contains("'crop'") == true)
    // With a size it is.
    let bound = try builder.graph.rebound(["input": type([1, 6, 9, 2])]).frozenForm()
    #expect((bound.nodes[0].operation as? Crop2D)?.cropping == [1, 2, 1, 3])
  }

  @Test func aNormalizationWithoutScaleOrCenterHasNoSuchParameter() throws {
    for (scale, center) in [(true, false), (false, true), (false, false)] {
      var builder = GraphBuilder()
      let x = try builder.batchNormalization(builder.input(shape: [4, 4, 2]), "bn", scale: scale, center: center)
      try builder.graph.addOutput("y", x)
      let names = (scale ? ["bn.weight"] : []) + (center ? ["bn.bias"] : []) + ["bn.running_mean", "bn.running_var"]
      #expect(builder.graph.parameters.map(\.name) == names)
      // There is nothing in it that could be frozen, so without both it measures.
      #expect(try builder.graph.trainingForm().updates.count == 2)
      builder.graph.setTrainable { _ in false }
      #expect(try builder.graph.trainingForm().updates.count == (scale || center ? 0 : 2))
      try builder.graph.trainingForm().verify()
    }
  }
}
