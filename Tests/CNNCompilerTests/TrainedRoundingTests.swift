import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

/// Roundings whose scales are parameters, as they stand in graphs; what they compute is tested with their kernels.
@Suite struct TrainedRoundingTests {
  /// `y`, a rounding of `x` and a weighted sum of it.
  private func graph(_ rounding: FakeQuantizeActivation, learns: Bool) throws -> Graph {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [2, 3]))
    let role: Parameter.Role = learns ? .quantizationScale : .statistic
    let scale = try graph.addParameter(Parameter(name: "scale", shape: [1], role: role, initializer: .ones))
    let zero = try graph.addParameter(Parameter(name: "zero", shape: [1], role: .statistic, initializer: .zeros))
    try graph.addOutput("y", graph.addSingle(rounding, [x, scale, zero], name: "rounding"))
    return graph
  }

  private func gradients(_ network: Graph) throws -> (graph: Graph, ofInput: Value?, ofScale: Value?) {
    var graph = network
    let dy = try graph.addInput("dy", TensorType(.float32, [2, 3]))
    let weights = try graph.addInput("weights", TensorType(.float32, [2]))
    let product = try graph.addSingle(Multiply(), [graph.outputs[0].value, dy])
    let sum = try graph.addSingle(WeightedMean(), [product, weights])
    let x = try #require(graph.value(named: "x")), scale = try #require(graph.value(named: "scale"))
    let (result, gradients, _) = try graph.differentiating(sum, withRespectTo: [x, scale])
    return (result, gradients[0], gradients[1])
  }

  @Test func trackedRangesAreUpdatedInTraining() throws {
    let rounding = FakeQuantizeActivation(momentum: 0.5, freeze: 1)
    let graph = try graph(rounding, learns: false).trainingForm()
    #expect(graph.updates.count == 2)
    let runner = try GraphRunner(graph)
    try runner.set("scale", [2])
    try runner.set("zero", [100])
    try runner.set("x", [0, 1.5, -3.2, 400, -10, 7])
    try runner.run()
    // From -200 to 310; the batch goes from -10 to 400.
    expectClose(try runner.output("y"), [0, 2, -4, 310, -10, 8], 1e-6, "y")
    runner.context.applyUpdates(to: runner.parameters)
    let (lowest, highest): (Float, Float) = (-105, 355)
    let scale = runner.parameters.values(at: 0)[0], zero = runner.parameters.values(at: 1)[0]
    #expect((scale - (highest - lowest) / 255).magnitude < 1e-5 && (zero - 105 / scale).magnitude < 1e-3)
  }

  @Test func rangesThatAreNotTrackedStand() throws {
    var frozen = FakeQuantizeActivation(momentum: 0.5, freeze: 1)
    frozen.frozen = true
    for rounding in [frozen, FakeQuantizeActivation(momentum: 0, freeze: 1)] {
      #expect(try graph(rounding, learns: false).trainingForm().updates.isEmpty)
    }
    let standing = try graph(FakeQuantizeActivation(momentum: 0.5, freeze: 0.25), learns: false)
      .withStandingStatistics()
    #expect(standing.freeze == 0.25)
    #expect(try standing.trainingForm().updates.isEmpty)
  }

  @Test(arguments: [false, true]) func gradientsAreThoseOfKernels(_ stands: Bool) throws {
    var rounding = FakeQuantizeActivation(momentum: 0, freeze: 1)
    rounding.frozen = stands
    var (graph, ofInput, ofScale) = try gradients(graph(rounding, learns: true))
    #expect((ofScale == nil) == stands)
    try graph.addOutput("dx", #require(ofInput))
    if let ofScale { try graph.addOutput("dscale", ofScale) }
    let runner = try GraphRunner(graph)
    try runner.set("scale", [0.5])
    try runner.set("zero", [10])
    try runner.set("x", [0.65, -0.3, 200, -9, 1, 0])
    try runner.set("dy", [1, 2, 3, 4, 5, 6])
    try runner.set("weights", [6, 6])
    try runner.run()
    // The weighted mean is over three numbers of each of two samples, each with weight 6.
    expectClose(try runner.output("dx"), [1, 2, 0, 0, 5, 6], 1e-5, "dx")
    guard !stands else { return }
    let sum: Float = 1 * -0.3 + 2 * -0.4 + 3 * 245 + 4 * -10
    expectClose(try runner.output("dscale"), [sum / (Float(3) * 245).squareRoot()], 1e-5, "dscale")
  }

  @Test func gradientsOfWeightsPass() throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [1, 2]))
    let weight = try graph.addParameter(Parameter(name: "w", shape: [2, 2], role: .weight, initializer: .ones))
    let gamma = try graph.addParameter(
      Parameter(name: "gamma", shape: [2], role: .normalizationScale, initializer: .ones))
    let variance = try graph.addParameter(Parameter(name: "v", shape: [2], role: .statistic, initializer: .ones))
    let rounded = try graph.addSingle(FakeQuantizeWeight(perChannel: false, epsilon: 1), [weight, gamma, variance])
    let y = try graph.addSingle(Dense(), [x, rounded])
    try graph.addOutput("y", y)
    try graph.addOutput("rounded", rounded)
    let weights = try graph.addInput("weights", TensorType(.float32, [1]))
    let sum = try graph.addSingle(WeightedMean(), [y, weights])
    let (result, gradients, _) = try graph.differentiating(sum, withRespectTo: [weight, gamma])
    #expect(gradients[1] == nil)
    graph = result
    try graph.addOutput("dw", #require(gradients[0]))
    let runner = try GraphRunner(graph)
    try runner.set("x", [3, -1])
    try runner.set("w", [1.27, 0.014, 0.3, -0.2])
    try runner.set("gamma", [4, 2])
    try runner.set("v", [3, 0])
    try runner.set("weights", [2])
    try runner.run()
    // Both factors are 2, so the largest product is 2.54.
    expectClose(try runner.output("rounded"), [1.27, 0.01, 0.3, -0.2], 1e-6, "rounded")
    expectClose(try runner.output("dw"), [3, -1, 3, -1], 1e-6, "dw")
  }

  @Test func roundingsAreAddedAndTakenAway() throws {
    var builder = GraphBuilder()
    var x = try builder.input(shape: [4, 4, 3])
    x = try builder.convolution(x, "conv", outputChannels: 4, kernel: (3, 3), padding: .all(1))
    x = try builder.activation(.relu, builder.batchNormalization(x, "bn"), "relu")
    try builder.graph.addOutput("y", builder.convolution(x, "last", outputChannels: 2, kernel: (1, 1), bias: true))
    var options = TrainedRounding()
    (options.perChannel, options.learnsScales) = (false, true)
    let (graph, parameters) = try builder.graph.roundingInTraining(
      ["input", "relu"], weights: ["conv": "bn", "last": nil], options)
    try graph.verify()
    #expect(graph.isRoundedInTraining && !builder.graph.isRoundedInTraining)
    #expect(parameters["relu"]?.scale == "relu.scale" && parameters["input"]?.zeroPoint == "input.zero_point")
    let weights = graph.nodes.filter { $0.operation is FakeQuantizeWeight }
    #expect(
      weights.map { $0.operands.map(graph.name(of:)) } == [
        ["conv.weight", "bn.weight", "bn.running_var"], ["last.weight"],
      ])
    #expect(graph.parameters.filter { $0.role == .quantizationScale }.count == 2)
    #expect(try graph.withoutTrainedRoundings().text == builder.graph.text)
  }
}
