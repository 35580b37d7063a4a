import CNNCore
import Testing

@testable import CNNGraph

@Suite struct InliningTests {
  /// A graph with the input `image`.
  private func host(_ shape: [Int] = [1, 6, 6, 3]) throws -> (graph: Graph, x: Value) {
    var graph = Graph()
    let x = try graph.addInput("image", type(shape))
    return (graph, x)
  }

  @Test func theNodesAndParametersArePrefixed() throws {
    var (graph, x) = try host()
    let network = try smallNetwork()
    let (output, parameters) = try graph.inline(network, prefix: "backbone.", inputs: [x])
    #expect(graph.nodes.map(\.name) == network.nodes.map { "backbone.\($0.name)" })
    #expect(graph.parameters.map(\.name) == network.parameters.map { "backbone.\($0.name)" })
    #expect(
      parameters == Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, "backbone.\($0.name)") }))
    #expect(graph.name(of: output) == "backbone.fc")
    #expect(graph.inputs.map(\.name) == ["image"] && graph.outputs.isEmpty)
    #expect(graph.nodes[0].operands[0] == x)
    try graph.addOutput("scores", output)
    try graph.verify()
  }

  @Test func namesThatAreTakenGetANumber() throws {
    var (graph, x) = try host()
    let conv = try graph.addSingle(Activation(.relu), [x], name: "conv")
    _ = try graph.addParameter(Parameter(name: "bn.bias", shape: [1], role: .bias, initializer: .zeros))
    let (_, parameters) = try graph.inline(smallNetwork(), prefix: "", inputs: [conv])
    #expect(graph.nodes.map(\.name).prefix(3) == ["conv", "conv_1", "bn"])
    #expect(parameters["bn.bias"] == "bn.bias_1" && parameters["bn.weight"] == "bn.weight")
  }

  @Test func appliedTwiceItsParametersAreThereOnce() throws {
    var (graph, x) = try host()
    let network = try smallNetwork()
    let (first, parameters) = try graph.inline(network, prefix: "", inputs: [x])
    var known: [String: Value] = [:]
    for (name, here) in parameters { known[name] = graph.value(named: here) }
    let mirrored = try graph.addSingle(RandomFlip(stream: 99), [x])
    let (second, more) = try graph.inline(network, prefix: "", inputs: [mirrored], known: known)
    #expect(more.isEmpty && graph.parameters.count == network.parameters.count)
    #expect(graph.nodes.count == 2 * network.nodes.count + 1)
    #expect(first != second && graph.name(of: second) == "fc_1")
    let (a, b) = (try #require(graph.node(defining: first)), try #require(graph.node(defining: second)))
    #expect(a.operands.dropFirst() == b.operands.dropFirst() && a.operands[0] != b.operands[0])
    try graph.addOutput("sum", graph.addSingle(Add(), [first, second]))
    try graph.verify()
  }

  @Test func addedToTheSameInputAgainItIsThereOnceUpToRandomLayers() throws {
    var (graph, x) = try host()
    var builder = GraphBuilder()
    let image = try builder.input("image", shape: [6, 6, 3])
    let features = try builder.activation(.relu, try builder.batchNormalization(image, "bn"), "relu")
    let dropped = try builder.apply(Dropout(rate: 0.5, stream: 0), features, name: "dropout")
    try builder.graph.addOutput("y", try builder.activation(.tanh, dropped, "tanh"))
    let (first, parameters) = try graph.inline(builder.graph, prefix: "p.", inputs: [x])
    var known: [String: Value] = [:]
    for (name, here) in parameters { known[name] = graph.value(named: here) }
    let (second, _) = try graph.inline(builder.graph, prefix: "p.", inputs: [x], known: known)
    #expect(first != second)
    #expect(graph.nodes.map(\.name) == ["p.bn", "p.relu", "p.dropout", "p.tanh", "p.dropout_1", "p.tanh_1"])
  }

  /// Each of two normalisations that share their statistics measures; neither measurement is lost.
  @Test func sharedStatisticsAreUpdatedOneAfterTheOther() throws {
    var (graph, x) = try host()
    let network = try smallNetwork()
    let (first, parameters) = try graph.inline(network, prefix: "", inputs: [x])
    var known: [String: Value] = [:]
    for (name, here) in parameters { known[name] = graph.value(named: here) }
    let mirrored = try graph.addSingle(RandomFlip(stream: 99), [x])
    let (second, _) = try graph.inline(network, prefix: "", inputs: [mirrored], known: known)
    try graph.addOutput("sum", graph.addSingle(Add(), [first, second]))
    let training = try graph.trainingForm()
    let layers = training.nodes.filter { $0.operation is BatchNormalizationTraining }
    try #require(layers.count == 2)
    #expect(Array(layers[1].operands[3...4]) == Array(layers[0].results[3...4]))
    #expect(training.updates.map { training.parameters[$0.parameter].name } == ["bn.running_mean", "bn.running_var"])
    #expect(training.updates.map(\.value) == Array(layers[1].results[3...4]))
    try training.verify()
  }

  @Test func everyRandomLayerDrawsNumbersOfItsOwn() throws {
    var (graph, x) = try host()
    let network = try smallNetwork()
    for _ in 0..<3 { x = try graph.addSingle(Reshape([6, 6, 3]), [x], name: graph.uniqueName("again")) }
    for _ in 0..<3 { _ = try graph.inline(network, prefix: "", inputs: [x]) }
    let streams = graph.nodes.compactMap { ($0.operation as? any RandomOperation)?.stream }
    #expect(streams.count == 3 && Set(streams).count == 3)
    #expect(graph.nodes.compactMap { ($0.operation as? Dropout)?.rate } == [0.5, 0.5, 0.5])
  }

  @Test func flagsAndRegularizersAreKept() throws {
    var network = try smallNetwork()
    let penalty = try Regularizer(l1: 0.5, l2: 2)
    network.setTrainable { $0.name != "conv.weight" }
    network.setRegularizers { $0.name == "fc.weight" ? penalty : nil }
    var (graph, x) = try host()
    _ = try graph.inline(network, prefix: "p/", inputs: [x])
    for (old, new) in zip(network.parameters, graph.parameters) {
      #expect(new.isTrainable == old.isTrainable && new.regularizer == old.regularizer && new.role == old.role)
      #expect(new.shape == old.shape && new.initializer == old.initializer)
    }
    #expect(graph.parameters.contains { $0.regularizer == penalty })
  }

  @Test func whereItDoesNotFitNothingIsAdded() throws {
    var (graph, x) = try host([1, 6, 6, 3])
    let wide = try graph.addSingle(Concatenate(), [x, x], name: "wide")
    let text = graph.text, names = graph.valueNames
    let error = #expect(throws: CNNError.self) { try graph.inline(smallNetwork(), prefix: "p.", inputs: [wide]) }
    #expect(error?.code == .shapeMismatch && error?.message.contains("'p.conv'") == true)
    // In the middle of the network.
    var builder = GraphBuilder()
    var y = try builder.input(shape: [6, 6, 3])
    y = try builder.dense(
      builder.apply(Reshape.flatten, builder.activation(.relu, y, "relu"), name: "flat"), "fc", units: 2)
    try builder.graph.addOutput("y", y)
    let small = try graph.addSingle(Pooling2D(.max, kernel: [2, 2]), [x], name: "small")
    let before = graph.text
    #expect(throws: CNNError.self) { try graph.inline(builder.graph, prefix: "", inputs: [small]) }
    #expect(graph.text == before && text != before && graph.valueNames == names + ["small"])
    // A prefix that names cannot have.
    let long = String(repeating: "p", count: 2000)
    #expect(throws: CNNError.self) { try graph.inline(builder.graph, prefix: long, inputs: [x]) }
    #expect(graph.text == before)
    _ = try graph.inline(builder.graph, prefix: "", inputs: [x])
    try graph.verify()
  }

  @Test func aNetworkOfTwoInputsOrWithoutOutputIsRefused() throws {
    var (graph, x) = try host()
    var network = try smallNetwork()
    _ = try network.addInput("second", type([1]))
    #expect(throws: CNNError.self) { try graph.inline(network, prefix: "", inputs: [x]) }
    network = try smallNetwork()
    try network.setOutputs([])
    #expect(throws: CNNError.self) { try graph.inline(network, prefix: "", inputs: [x]) }
    #expect(graph.nodes.isEmpty && graph.parameters.isEmpty)
  }

  @Test func sizesThatVaryGoOnThroughIt() throws {
    var graph = Graph()
    let x = try graph.addInput("image", type([1, 40, 40, 3]), variableAxes: [1, 2])
    let network = try smallNetwork().selectingOutputs(["relu"]).removingDeadNodes()
    let (output, _) = try graph.inline(network, prefix: "", inputs: [x])
    #expect(graph.shape(of: output) == [1, nil, nil, 4])
  }

  @Test func anInputThatIsTheOutputIsPassedThrough() throws {
    var (graph, x) = try host()
    let network = try smallNetwork().selectingOutputs(["input"]).removingDeadNodes().removingDeadParameters()
    let (output, parameters) = try graph.inline(network, prefix: "", inputs: [x])
    #expect(output == x && parameters.isEmpty)
  }
}
