import CNNCore
import Testing

@testable import CNNGraph

@Suite struct VerifierTests {
  @Test func acceptsWhatTheBuilderMakes() throws {
    try smallNetwork().verify()
    try smallNetwork().trainingForm().verify()
  }

  /// An operation without results.
  private struct Nothing: Operation {
    static let name = "nothing"
    init() {}
    init(_ attributes: inout Attributes) throws(CNNError) {}
    func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [] }
  }

  /// A fault put into a sound graph, and what the verifier should say.
  struct Fault: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let message: String
    let plant: @Sendable (inout Graph) throws -> Void
  }

  static let faults: [Fault] = [
    Fault(testDescription: "order", message: "'bn' reads ") { $0.nodes.swapAt(0, 1) },
    Fault(testDescription: "missing", message: "'relu' reads 'bn' before it is assigned") { graph in
      graph.nodes[1] = Node(name: "bn", operation: Nothing(), operands: [], results: [])
    },
    Fault(testDescription: "twice", message: "'relu' is assigned twice") { $0.nodes[3] = $0.nodes[2] },
    Fault(testDescription: "type", message: "'pool' has results") { graph in
      let old = graph.nodes[5]
      graph.nodes[5] = Node(
        name: old.name, operation: GlobalPooling2D(.max, keepsAxes: true), operands: old.operands, results: old.results)
    },
    Fault(testDescription: "results", message: "'conv' has results") { graph in
      let old = graph.nodes[0]
      graph.nodes[0] = Node(name: old.name, operation: old.operation, operands: old.operands, results: [])
    },
    Fault(testDescription: "output", message: "output 'scores' is not assigned") { graph in
      graph.nodes[6] = Node(name: "fc", operation: Nothing(), operands: [], results: [])
    },
    Fault(testDescription: "update", message: "the update of 'bn.weight' has the wrong shape") { graph in
      let position = try #require(graph.parameters.firstIndex { $0.name == "bn.weight" })
      graph.updates.append(Update(parameter: position, value: graph.inputs[0].value))
    },
  ]

  @Test(arguments: faults) func catchesASeededFault(_ fault: Fault) throws {
    var graph = try smallNetwork()
    try fault.plant(&graph)
    let error = #expect(throws: CNNError.self) { try graph.verify() }
    #expect(error?.code == .internalFault)
    #expect(error?.message.hasPrefix(fault.message) == true, "\(error?.message ?? "")")
  }

  @Test func anOperandThatDoesNotFitIsNamedWithItsNode() throws {
    var graph = Graph()
    let x = try graph.addInput("x", type([1, 4, 4, 3]))
    let weight = try graph.addParameter(
      Parameter(name: "w", shape: [2, 5, 3, 3], role: .weight, initializer: .zeros))
    let error = #expect(throws: CNNError.self) { try graph.add(Convolution2D(), [x, weight], name: "stem") }
    #expect(error?.message.hasPrefix("conv2d 'stem': the input [1, 4, 4, 3] has 3 channels") == true)
    #expect(throws: CNNError.self) { try graph.add(Softmax(), [Value(index: 99)]) }
    #expect(throws: CNNError.self) { try graph.add(Softmax(), [Value(index: -1)]) }
    #expect(throws: CNNError.self) { try graph.addOutput("y", Value(index: 99)) }
    #expect(throws: CNNError.self) { try graph.addInput("x", type([1])) }
    #expect(throws: CNNError.self) { try graph.addInput("", type([1])) }
  }

  @Test func namesAreMadeUnique() throws {
    var graph = Graph()
    let x = try graph.addInput("x", type([1, 2]))
    for _ in 0..<3 { try graph.add(Softmax(), [x]) }
    #expect(graph.nodes.map(\.name) == ["softmax", "softmax_1", "softmax_2"])
    #expect(graph.uniqueName("y") == "y")
  }
}
