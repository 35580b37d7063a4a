import CNNCore
import Testing

@testable import CNNCompiler
@testable import CNNGraph

@Suite struct OperationCoverageTests {
  /// The operations that the golden and the finite-difference cases run, as compiled.
  private func exercised() throws -> Set<String> {
    var names: Set<String> = []
    var graphs = try FiniteDifferenceCases.all.map { try $0.gradientGraph() }
    graphs += try GoldenOperationTests.names.map { try GoldenOperationTests.example($0).gradientGraph() }
    for graph in graphs {
      for node in try graph.removingDeadNodes().nodes { names.insert(node.operation.kind) }
    }
    return names
  }

  @Test func everyOperationIsExercised() throws {
    // Pixels and rounding, whose gradient is not its slope, have tests of their own, below and in TrainedRoundingTests.
    let missing = Set(OperationTable.all.map { $0.name }).subtracting(try exercised())
    #expect(
      missing == [
        "normalize_pixels", "fake_quantize", "fake_quantize_gradient", "fake_quantize_weight",
        "fake_quantize_activation", "fake_quantize_activation_training", "fake_quantize_activation_gradient",
      ])
  }

  @Test func everyOperationHasAPortableKernel() {
    for operation in OperationTable.all { #expect(operation is any PortableOperation.Type, "\(operation.name)") }
  }

  @Test(arguments: [1, 2, 3]) func pixelsAreNormalized(_ threads: Int) throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.uint8, [2, 3, 5, 3]))
    let y = try graph.addSingle(NormalizePixels(mean: [0.5, 0, 0.25], deviation: [0.5, 1, 2]), [x])
    try graph.addOutput("y", y)
    let runner = try GraphRunner(graph, threads: threads)
    let pixels = (0..<90).map { Float($0 * 37 % 256) }
    try runner.set("x", pixels)
    try runner.run()
    let (mean, deviation): ([Float], [Float]) = ([0.5, 0, 0.25], [0.5, 1, 2])
    expectClose(
      try runner.output("y"), pixels.enumerated().map { ($1 / 255 - mean[$0 % 3]) / deviation[$0 % 3] }, 1e-6, "y")
  }

  @Test(arguments: [1, 3]) func roundingIsToLevelsAndPassesTheGradient(_ threads: Int) throws {
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [2, 5, 2]))
    let operation = FakeQuantize(scale: [0.5, 2], zeroPoint: [10, 1], minimum: 0, maximum: 15)
    let y = try graph.addSingle(operation, [x])
    let product = try graph.addSingle(Multiply(), [y, graph.addInput("dy", TensorType(.float32, [2, 5, 2]))])
    let weights = try graph.addInput("weights", TensorType(.float32, [2]))
    let sum = try graph.addSingle(WeightedMean(), [product, weights])
    var (result, gradients, _) = try graph.differentiating(sum, withRespectTo: [x])
    try result.addOutput("y", y)
    try result.addOutput("dx", try #require(gradients[0]))
    let runner = try GraphRunner(result, threads: threads)
    // By twos, the two channels. Halves go to the even number.
    let column: [Float] = [0.25, 3, 0.75, 5, -5.1, -2.1, -6, -9, 2.6, 40]
    try runner.set("x", column + column)
    try runner.set("dy", (1...20).map { Float($0) })
    try runner.set("weights", [20, 20])
    try runner.run()
    let rounded: [Float] = [0, 4, 1, 4, -5, -2, -5, -2, 2.5, 28]
    expectClose(try runner.output("y"), rounded + rounded, 1e-6, "y")
    let passes: [Float] = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    expectClose(
      try runner.output("dx"), (0..<20).map { passes[$0 % 10] * Float($0 + 1) }, 1e-5, "dx")
  }

  @Test func anOperationWithoutAKernelIsNamed() throws {
    struct Riddle: Operation {
      static let name = "riddle"
      init() {}
      init(_ attributes: inout Attributes) throws(CNNError) {}
      func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { operands }
    }
    var graph = Graph()
    let x = try graph.addInput("x", TensorType(.float32, [1]))
    try graph.addOutput("y", graph.addSingle(Riddle(), [x], name: "r"))
    let error = #expect(throws: CNNError.self) { try Plan(graph, threads: 1) }
    #expect(error?.message == "operation 'riddle' ('r') has no kernel")
  }
}
