import CNNCore
import Testing

@testable import CNNGraph

@Suite struct SerializationTests {
  private func roundTrip(_ graph: Graph) throws -> Graph {
    try Graph(json: JSON(parsing: graph.json.serialized()))
  }

  @Test func aNetworkComesBackEqual() throws {
    var graph = try smallNetwork(softmax: true)
    graph.setTrainable { !$0.name.hasPrefix("bn") }
    let copy = try roundTrip(graph)
    #expect(copy.text == graph.text)
    #expect(copy.parameters == graph.parameters)
    try copy.verify()
  }

  /// Every operation with attributes that are not the defaults.
  @Test(arguments: ShapeRuleTests.accepted) func anOperationComesBackEqual(_ example: ShapeCase) throws {
    var graph = Graph()
    var operands: [Value] = []
    for (index, type) in try example.types().enumerated() {
      operands.append(try graph.addInput("x\(index)", type))
    }
    let results = try graph.add(example.operation, operands, name: "node")
    for (index, result) in results.enumerated() { try graph.addOutput("y\(index)", result) }
    let copy = try roundTrip(graph)
    #expect(copy.text == graph.text)
    #expect(copy.nodes[0].operation.isEqual(to: example.operation))
  }

  @Test func numbersKeepTheirBits() throws {
    for value in [0.1, 1e-5, 1e-300, 0, 1, 0.30000000000000004] {
      var graph = Graph()
      let x = try graph.addInput("x", type([2, 2]))
      let operands = try ["g", "b", "m", "v"].map {
        try graph.addParameter(Parameter(name: $0, shape: [2], role: .weight, initializer: .ones))
      }
      try graph.add(BatchNormalization(epsilon: value, momentum: value), [x] + operands, name: "bn")
      let layer = try roundTrip(graph).nodes[0].operation as? BatchNormalization
      #expect(layer?.epsilon == value && layer?.momentum == value)
    }
  }

  @Test func operationsAreInTheTableOnce() {
    let names = OperationTable.all.map { $0.name }
    #expect(Set(names).count == names.count)
  }

  /// The table and the shape cases together hold every operation that the library has.
  @Test func everyForwardOperationHasAShapeCase() {
    let tried = Set((ShapeRuleTests.accepted + ShapeRuleTests.refused).map { type(of: $0.operation).name })
    #expect(Set(OperationTable.all.map { $0.name }).subtracting(tried) == [])
  }
}
