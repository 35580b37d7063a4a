import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

@Suite struct PlanTests {
  /// A network with all that a plan must get right: views, residuals, two readers, random layers, prepared weights.
  static func network() throws -> Graph {
    var builder = GraphBuilder()
    let input = try builder.input(shape: [8, 8, 3])
    func block(_ x: Value, _ name: String, channels: Int, stride: Int) throws -> Value {
      var branch = try builder.convolution(
        x, "\(name).conv1", outputChannels: channels, kernel: (3, 3), stride: (stride, stride), padding: .all(1))
      branch = try builder.batchNormalization(branch, "\(name).bn1")
      branch = try builder.activation(.relu, branch, "\(name).relu")
      branch = try builder.convolution(
        branch, "\(name).conv2", outputChannels: channels, kernel: (3, 3), padding: .all(1))
      branch = try builder.batchNormalization(branch, "\(name).bn2")
      branch = try builder.apply(
        StochasticDepth(rate: stride == 1 ? 0.3 : 0, stream: stride), branch, name: "\(name).drop")
      var shortcut = x
      if stride != 1 {
        shortcut = try builder.convolution(
          x, "\(name).down", outputChannels: channels, kernel: (1, 1), stride: (stride, stride))
        shortcut = try builder.batchNormalization(shortcut, "\(name).down_bn")
      }
      return try builder.activation(.relu, builder.apply(Add(), branch, shortcut, name: "\(name).add"), name)
    }
    var x = try builder.convolution(input, "stem", outputChannels: 5, kernel: (3, 3), padding: .same, bias: true)
    x = try builder.batchNormalization(x, "stem_bn")
    x = try builder.apply(Pooling2D(.max, kernel: [2, 2]), x, name: "pool")
    x = try block(x, "block1", channels: 5, stride: 1)
    x = try block(x, "block2", channels: 7, stride: 2)
    let squeezed = try builder.apply(GlobalPooling2D(.average, keepsAxes: true), x, name: "squeeze")
    x = try builder.apply(Multiply(), x, builder.activation(.sigmoid, squeezed, "gate"), name: "scaled")
    x = try builder.apply(Reshape.flatten, x, name: "flat")
    x = try builder.apply(Dropout(rate: 0.25, stream: 99), x, name: "dropout")
    x = try builder.dense(x, "fc", units: 4)
    x = try builder.apply(Softmax(), x, name: "probabilities")
    try builder.graph.addOutput("probabilities", x)
    return builder.graph
  }

  static let loss = Loss(.sparseCategoricalCrossEntropy)
  static let normalization = Compiler.PixelNormalization(mean: [0, 0, 0], deviation: [1, 1, 1])

  static func trainingGraph() throws -> Graph {
    try Compiler.trainingGraph(
      network(), inputs: [TensorType(.float32, [6, 8, 8, 3])], normalization: normalization, loss: loss)
  }

  /// A runner with inputs and parameters set.
  static func runner(_ graph: Graph, threads: Int = 2) throws -> GraphRunner {
    let runner = try GraphRunner(graph, threads: threads)
    for parameter in graph.parameters {
      let values = randomValues(parameter.name, parameter.shape.reduce(1, *))
      try runner.set(
        parameter.name, parameter.name.hasSuffix("running_var") ? values.map { 1 + $0 / 2 } : values.map { $0 / 2 })
    }
    for input in graph.inputs {
      let type = graph.type(of: input.value)
      switch input.name {
      case "target": try runner.set("target", (0..<type.count).map { Float($0 % 4) })
      case "sample_weight": try runner.set(input.name, Array(repeating: 1, count: type.count))
      default: try runner.set(input.name, randomValues(input.name, type.count))
      }
    }
    return runner
  }

  @Test(arguments: [1, 2, 3]) func repeatedRunsGiveTheSameBits(_ threads: Int) throws {
    let runner = try Self.runner(Self.trainingGraph(), threads: threads)
    try runner.run()
    let first = runner.bits
    for _ in 0..<3 {
      try runner.run()
      #expect(runner.bits == first)
    }
    let another = try Self.runner(Self.trainingGraph(), threads: threads)
    try another.run()
    #expect(another.bits == first)
    #expect(first.allSatisfy { Float(bitPattern: $0).isFinite })
  }

  @Test func theRandomStepChangesTheMasks() throws {
    let runner = try Self.runner(Self.trainingGraph())
    try runner.run(seed: 1, step: 0)
    let first = runner.bits
    try runner.run(seed: 1, step: 1)
    #expect(runner.bits != first)
    try runner.run(seed: 2, step: 0)
    #expect(runner.bits != first)
    try runner.run(seed: 1, step: 0)
    #expect(runner.bits == first)
  }

  @Test func theArenasOldContentsDoNotMatter() throws {
    let runner = try Self.runner(Self.trainingGraph())
    try runner.run()
    let afterNaN = runner.bits
    // Once more over what the last run left, and over zeros.
    let inputs = try Self.runner(Self.trainingGraph())
    runner.context.arena.floats.update(repeating: 0)
    try inputs.run()
    #expect(inputs.bits == afterNaN)
  }

  /// What gives parameters their new values runs in any order, on several threads.
  @Test func updatesThatDependOnEachOtherAreAnError() throws {
    func message(_ make: (inout Graph, _ a: Value, _ b: Value, _ next: Value) throws -> Void) throws -> String? {
      var graph = Graph()
      let x = try graph.addInput("x", TensorType(.float32, [1, 2]))
      let (a, b) = (
        try graph.addParameter(Parameter(name: "a", shape: [1, 2], role: .statistic, initializer: .zeros)),
        try graph.addParameter(Parameter(name: "b", shape: [1, 2], role: .statistic, initializer: .zeros))
      )
      let next = try graph.addSingle(Add(), [a, x], name: "next")
      try graph.addOutput("next", next)
      try make(&graph, a, b, next)
      do throws(CNNError) {
        _ = try Plan(graph, threads: 2)
        return nil
      } catch {
        #expect(error.code == .internalFault)
        return error.message
      }
    }
    let expected = "; expected updates that any order makes the same"
    #expect(
      try message { graph, a, b, next in
        try graph.addUpdate(of: a, to: next)
        try graph.addUpdate(of: b, to: a)
      } == "'update b' reads what 'update a' writes" + expected)
    #expect(
      try message { graph, a, b, next in
        try graph.addUpdate(of: a, to: next)
        try graph.addUpdate(of: b, to: graph.addSingle(Reshape([2]), [a], name: "view"))
      } == "'update b' reads what 'update a' writes" + expected)
    #expect(
      try message { graph, a, _, next in
        try graph.addUpdate(of: a, to: next)
        try graph.addUpdate(of: a, to: next)
      } == "there is more than one 'update a'; expected one")
    // Two that read the same, or what nobody writes.
    #expect(
      try message { graph, a, b, next in
        try graph.addUpdate(of: a, to: next)
        try graph.addUpdate(of: b, to: next)
      } == nil)
    #expect(try message { graph, a, b, _ in try graph.addUpdate(of: a, to: b) } == nil)
  }

  @Test func twoContextsRunAtOnce() async throws {
    let serial = try Self.runner(Self.trainingGraph())
    try serial.run()
    let expected = serial.bits
    let results = try await withThrowingTaskGroup(of: [Bool].self) { group in
      for _ in 0..<2 {
        group.addTask {
          let runner = try Self.runner(Self.trainingGraph())
          return try (0..<8).map { _ in
            try runner.run()
            return runner.bits == expected
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(results.count == 16 && results.allSatisfy { $0 })
  }

  @Test func onePlanServesTwoContexts() throws {
    let graph = try Self.trainingGraph()
    let plan = try Plan(graph, threads: 2)
    let runner = try Self.runner(graph)
    try runner.run()
    let inputs = try graph.inputs.map { input in
      let memory = try Memory(byteCount: graph.type(of: input.value).byteCount, for: "x")
      return memory
    }
    inputs[2].floats.update(repeating: 1)
    let contexts = try [ExecutionContext(plan), ExecutionContext(plan)]
    for context in contexts {
      try context.run(parameters: runner.parameters, inputs: inputs.map { UnsafeRawPointer($0.base) })
    }
    for index in graph.outputs.indices {
      #expect(Array(contexts[0].output(index)) == Array(contexts[1].output(index)))
    }
    #expect(throws: CNNError.self) { try contexts[0].run(parameters: runner.parameters, inputs: []) }
  }

  @Test func memoryIsShared() throws {
    let plan = try Plan(Self.trainingGraph(), threads: 2)
    #expect(plan.arenaByteCount < plan.unsharedByteCount)
  }

  @Test(arguments: [1, 2]) func fusedNormalizationIsTheUnfused(_ threads: Int) throws {
    func graph(fuses: Bool) throws -> Graph {
      // Without random layers between normalisation and addition, so that there is something to fuse.
      var graph = try Self.network().inferenceForm().rebound(["input": TensorType(.float32, [6, 8, 8, 3])])
        .trainingForm().addingLoss(Self.loss).fusingSoftmaxIntoLoss()
      if fuses { graph = try graph.fusingNormalization() }
      let loss = try #require(graph.outputs.first { $0.name == "loss" }?.value)
      let trainable = graph.parameters.filter(\.isTrainable).map(\.name)
      let values = try trainable.map { try #require(graph.value(named: $0)) }
      var (result, gradients, _) = try graph.differentiating(loss, withRespectTo: values)
      for (name, gradient) in zip(trainable, gradients) { try result.addOutput(name, try #require(gradient)) }
      try result.verify()
      return result
    }
    let fused = try Self.runner(graph(fuses: true), threads: threads)
    let plain = try Self.runner(graph(fuses: false), threads: threads)
    let fusions = fused.plan.graph.nodes.compactMap {
      ($0.operation as? Placed)?.operation as? BatchNormalizationTraining
    }
    #expect(fusions.filter { $0.activation?.function == .relu }.count == 4 && fusions.filter(\.addsResidual).count == 2)
    #expect(fused.plan.graph.nodes.count < plain.plan.graph.nodes.count)
    try fused.run()
    try plain.run()
    for output in plain.plan.graph.outputs {
      // A bias before a normalisation has no effect: its gradient is rounding noise around 0.
      if output.name == "stem.bias" { continue }
      expectClose(try fused.output(output.name), try plain.output(output.name), 1e-5, output.name)
    }
    fused.context.applyUpdates(to: fused.parameters)
    plain.context.applyUpdates(to: plain.parameters)
    for parameter in plain.parameters.parameters where parameter.role == .statistic {
      expectClose(try fused.parameter(parameter.name), try plain.parameter(parameter.name), 1e-6, parameter.name)
    }
  }

  /// What a frozen normalisation is followed by stays a step of its own, with the same gradients.
  @Test func aFrozenNormalizationIsNotFused() throws {
    func graph(frozen: Bool) throws -> Graph {
      var network = try Self.network()
      network = try frozen ? network.frozenForm() : network.inferenceForm()
      if !frozen { network.setTrainable { $0.role == .weight } }
      return try Compiler.trainingGraph(
        network, inputs: [TensorType(.float32, [6, 8, 8, 3])], normalization: Self.normalization, loss: Self.loss)
    }
    let frozen = try graph(frozen: true)
    #expect(!frozen.nodes.contains { $0.operation is BatchNormalizationTraining })
    #expect(frozen.nodes.contains { $0.operation is BatchNormalizationGradient } && frozen.updates.isEmpty)
    // Where gamma and beta are frozen the statistics are too: what both have is the same.
    let (a, b) = (try Self.runner(frozen), try Self.runner(graph(frozen: false)))
    for runner in [a, b] { try runner.run() }
    let shared = b.plan.graph.outputs.map(\.name)
    #expect(shared.count > 5 && frozen.outputs.count > shared.count)
    #expect(try a.output("gradient:stem.weight").contains { $0 != 0 })
    for name in shared { expectClose(try a.output(name), try b.output(name), 1e-5, name) }
  }

  @Test func preparationRunsAgainAfterAChange() throws {
    let graph = try Compiler.inferenceGraph(
      Self.network(), inputs: [TensorType(.float32, [2, 8, 8, 3])], normalization: Self.normalization)
    let runner = try Self.runner(graph)
    #expect(!runner.plan.preparation.isEmpty)
    try runner.run()
    let first = runner.bits
    let position = try #require(runner.parameters.position(of: "stem.weight"))
    let weight = runner.parameters.values(at: position)
    for index in weight.indices { weight[index] += 0.5 }
    try runner.run()
    #expect(runner.bits == first, "the laid out weights are kept while nobody says that they changed")
    runner.parameters.markChanged()
    try runner.run()
    #expect(runner.bits != first)
    let fresh = try Self.runner(graph)
    try fresh.set("stem.weight", Array(weight))
    try fresh.run()
    #expect(fresh.bits == runner.bits)
  }

  @Test func preparationRunsAgainForOtherStorage() throws {
    let graph = try Compiler.inferenceGraph(
      Self.network(), inputs: [TensorType(.float32, [1, 8, 8, 3])], normalization: Self.normalization)
    let a = try Self.runner(graph), b = try Self.runner(graph)
    for parameter in graph.parameters { try a.set(parameter.name, try b.parameter(parameter.name)) }
    let x = try Memory(byteCount: 768, for: "x")
    try a.context.run(parameters: a.parameters, inputs: [UnsafeRawPointer(x.base)])
    let first = Array(a.context.output(0))
    let other = try a.parameters.copy()
    for index in other.parameters.indices {
      for element in other.values(at: index).indices { other.values(at: index)[element] += 0.25 }
    }
    try a.context.run(parameters: other, inputs: [UnsafeRawPointer(x.base)])
    #expect(Array(a.context.output(0)) != first)
  }

  @Test func inferenceIsTheSameWithAndWithoutOtherOutputs() throws {
    let type = try TensorType(.float32, [2, 8, 8, 3])
    let whole = try Self.runner(
      Compiler.inferenceGraph(Self.network(), inputs: [type], normalization: Self.normalization))
    let part = try Self.runner(
      Compiler.inferenceGraph(
        Self.network(), inputs: [type], normalization: Self.normalization,
        outputs: ["block1.bn1", "stem", "flat", "probabilities", "input"]))
    try whole.run()
    try part.run()
    // A normalisation whose input is asked for is not folded, and rounds otherwise.
    for (a, b) in zip(try whole.output("probabilities"), try part.output("probabilities")) {
      #expect(abs(a - b) < 1e-6)
    }
    // A tensor that was asked for is not overwritten by what follows it.
    #expect(try part.output("block1.bn1").contains { $0 < 0 })
    #expect(try part.output("input") == randomValues("input", type.count))
  }

  @Test func evaluationAndTrainingHaveTheirOutputs() throws {
    let type = try TensorType(.float32, [6, 8, 8, 3])
    let evaluation = try Compiler.evaluationGraph(
      Self.network(), inputs: [type], normalization: Self.normalization, loss: Self.loss)
    #expect(evaluation.outputs.map(\.name) == ["probabilities", "loss"])
    #expect(evaluation.updates.isEmpty)
    var network = try Self.network()
    network.setTrainable { !$0.name.hasPrefix("stem") }
    let training = try Compiler.trainingGraph(
      network, inputs: [type], normalization: Self.normalization, loss: Self.loss)
    let names = network.parameters.filter(\.isTrainable).map { Compiler.gradientName($0.name) }
    #expect(training.outputs.map(\.name) == ["probabilities", "loss"] + names)
    // stem_bn is frozen, so five of the six normalisations of the network measure.
    #expect(training.updates.count == 2 * network.nodes.filter { $0.operation is BatchNormalization }.count - 2)
    try training.verify()
  }

  @Test func aGraphOfTenThousandNodesRuns() throws {
    var graph = Graph()
    var x = try graph.addInput("x", TensorType(.float32, [2, 2]))
    for _ in 0..<10_000 { x = try graph.addSingle(Activation(.tanh), [x]) }
    try graph.addOutput("y", x)
    let runner = try GraphRunner(graph)
    try runner.set("x", [0.5, -0.5, 0, 1])
    try runner.run()
    #expect(try runner.output("y").allSatisfy { abs($0) < 0.1 })
    #expect(runner.plan.arenaByteCount == Memory.alignment)
  }

  @Test func inputsOfTheWrongTypeAreRefused() throws {
    #expect(throws: CNNError.self) {
      try Compiler.inferenceGraph(
        Self.network(), inputs: [TensorType(.int32, [1, 8, 8, 3])], normalization: Self.normalization)
    }
    let error = #expect(throws: CNNError.self) {
      try Compiler.inferenceGraph(
        Self.network(), inputs: [TensorType(.float32, [1, 8, 8, 3])], normalization: Self.normalization,
        outputs: ["stm"])
    }
    #expect(error?.message == "unknown tensor 'stm'; did you mean 'stem'?")
  }
}
