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
      for node in try graph.removingDeadNodes().layingOutFilters().nodes { names.insert(type(of: node.operation).name) }
    }
    return names
  }

  @Test func everyOperationIsExercised() throws {
    // Pixels have a test of their own, below.
    let missing = Set(OperationTable.all.map { $0.name }).subtracting(try exercised())
    #expect(missing == ["normalize_pixels"])
  }

  @Test func everyOperationHasAKernel() {
    for operation in OperationTable.all { #expect(operation is any Lowerable.Type, "\(operation.name)") }
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
