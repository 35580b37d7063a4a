import CNNCore
import CNNGraph
import Testing

@testable import CNNCompiler

/// A graph of few operations with operands of given shapes, to be compared and differentiated.
struct OperationCase: Sendable, CustomTestStringConvertible {
  /// What an operand is.
  enum Kind: Sendable, Equatable {
    case input
    case parameter(Parameter.Role)
    /// An input without gradient.
    case constant(ElementType)
  }

  struct Operand: Sendable {
    let name: String
    let shape: [Int]
    var kind = Kind.input
    /// The values; nil for random ones.
    var values: (@Sendable (Int) -> [Float])?

    func makeValues(_ example: String) -> [Float] {
      let count = shape.reduce(1, *)
      return values?(count) ?? randomValues("\(example)/\(name)", count)
    }

    var hasGradient: Bool {
      switch kind {
      case .input: true
      case .parameter(let role): role.isLearned
      case .constant: false
      }
    }
  }

  let name: String
  let operands: [Operand]
  /// Whether batch normalisation measures the batch.
  var trains = false
  /// The distance of finite differences, and how far they may be from the gradient, relative to its largest element.
  var step: Float = 0.01, tolerance: Float = 2e-3
  let build: @Sendable (inout Graph, [Value]) throws -> Value

  var testDescription: String { name }

  /// The graph with the output `y` alone.
  func forwardGraph() throws -> Graph {
    var graph = Graph()
    var values: [Value] = []
    for operand in operands {
      switch operand.kind {
      case .input: values.append(try graph.addInput(operand.name, TensorType(.float32, operand.shape)))
      case .constant(let element): values.append(try graph.addInput(operand.name, TensorType(element, operand.shape)))
      case .parameter(let role):
        values.append(
          try graph.addParameter(
            Parameter(name: operand.name, shape: operand.shape, role: role, initializer: .zeros)))
      }
    }
    try graph.addOutput("y", build(&graph, values))
    return trains ? try graph.trainingForm() : graph
  }

  /// The graph with the outputs `y`, `sum` (that of `y * dy`) and `gradient:NAME` for an upstream gradient given as the input `dy`.
  func gradientGraph() throws -> Graph {
    var graph = try forwardGraph()
    let y = graph.outputs[0].value, type = graph.type(of: y)
    let differentiated = operands.filter(\.hasGradient)
    if differentiated.isEmpty { return graph }
    let upstream = try graph.addInput("dy", type)
    let product = try graph.addSingle(Multiply(), [y, upstream], name: "product")
    var sum = product
    if let batch = type.shape.first {
      // With the number of elements as weight the mean is a sum, and the gradient of the product is dy exactly.
      let weights = try graph.addInput("weights", TensorType(.float32, [batch]))
      sum = try graph.addSingle(WeightedMean(), [product, weights], name: "sum")
    }
    let values = try differentiated.map { try #require(graph.value(named: $0.name)) }
    var (result, gradients, _) = try graph.differentiating(sum, withRespectTo: values)
    try result.addOutput("sum", sum)
    for (operand, gradient) in zip(differentiated, gradients) {
      try result.addOutput("gradient:\(operand.name)", try #require(gradient, "\(operand.name) has no gradient"))
    }
    return result
  }

  /// A runner with all operands set.
  func runner(_ graph: Graph, threads: Int) throws -> GraphRunner {
    let runner = try GraphRunner(graph, threads: threads)
    for operand in operands { try runner.set(operand.name, operand.makeValues(name)) }
    return runner
  }

  /// A runner of the gradient graph with `dy` set.
  func gradientRunner(upstream: [Float]? = nil, threads: Int) throws -> (runner: GraphRunner, upstream: [Float]) {
    let graph = try gradientGraph()
    let runner = try runner(graph, threads: threads)
    let type = graph.type(of: graph.outputs[0].value)
    let dy = upstream ?? randomValues("\(name)/dy", type.count)
    if graph.inputs.contains(where: { $0.name == "dy" }) {
      try runner.set("dy", dy)
      if let batch = type.shape.first {
        try runner.set("weights", Array(repeating: Float(type.count), count: batch))
      }
    }
    return (runner, dy)
  }
}
