import CNNCompiler
import CNNCore
import CNNGraph

/// Builds a network of layers and of other models, which it shares parameters with.
///
/// A backbone with a new head, a part of a model, one layer in two networks: each is a graph of its own over the same
/// numbers, so that what is learned through one is there in the other.
public struct NetworkBuilder {
  /// The layers.
  public var builder = GraphBuilder()
  /// The other models' parameters, by their names here.
  private(set) var shared: [String: ParameterTensor] = [:]
  /// What the last of the models that were applied computes in of which that is not float32.
  private(set) var precision = PrecisionPolicy.float32
  private var known: [ObjectIdentifier: String] = [:]

  /// A network that begins with these layers.
  public init(_ graph: Graph = Graph()) { builder.graph = graph }

  /// Adds all layers of a model up to its output, or up to the tensor of that name.
  ///
  /// What is made of the network computes in the model's precision where that is not float32, unless it is told otherwise.
  ///
  /// Adding a model twice, or two that share parameters, gives layers that share them here too; added to the same input
  /// again, under the same prefix, what is there is used again.
  /// - Parameters:
  ///   - model: the model, whose parameters the network shares.
  ///   - input: what the layers are applied to.
  ///   - prefix: before the names of its layers and parameters, as in `backbone.`.
  ///   - tensor: one of the model's `tensorNames`; nil for its output.
  ///   - inference: whether the layers do in training what they do in inference.
  /// - Throws: `.shapeMismatch` naming the layer where `input` does not fit, `.unknownName` for the tensor.
  public mutating func apply(
    _ model: Model, to input: Value, prefix: String = "", tensor: String? = nil, inference: Bool = false
  ) throws(CNNError) -> Value {
    try apply(model, to: [input], prefix: prefix, tensor: tensor, inference: inference)
  }

  /// As `apply(_:to:prefix:tensor:inference:)`, with a value for each of the model's inputs.
  public mutating func apply(
    _ model: Model, to inputs: [Value], prefix: String = "", tensor: String? = nil, inference: Bool = false
  ) throws(CNNError) -> Value {
    for input in inputs where !(0..<builder.graph.valueCount).contains(input.index) {
      throw CNNError(.invalidArgument, "the input \(input.index) is not a value of this graph")
    }
    let (graph, tensors, precision) = try model.lock.reading { () throws(CNNError) in
      var graph = model.networkWithFlags
      guard inputs.count == graph.inputs.count else {
        throw CNNError(
          .invalidArgument, "the model is applied to \(inputs.count) values; it has \(listed(graph.inputs.map(\.name)))"
        )
      }
      if let tensor {
        graph = try graph.selectingOutputs([tensor]).removingDeadNodes().removingDeadParameters()
        if let value = graph.outputs.first?.value, graph.parameter(defining: value) != nil {
          throw CNNError(.invalidArgument, "'\(tensor)' is a parameter, not a result")
        }
      }
      if inference {
        // Where the middle of an image is, which a random crop takes, depends on its size here.
        var types: [String: TensorType] = [:], variableAxes: [String: [Int]] = [:]
        for (input, value) in zip(graph.inputs, inputs) {
          let shape = builder.graph.shape(of: value)
          types[input.name] = builder.graph.type(of: value)
          variableAxes[input.name] = shape.indices.filter { shape[$0] == nil }
        }
        graph = try graph.rebound(types, variableAxes: variableAxes).frozenForm()
      }
      var tensors: [String: ParameterTensor] = [:]
      for parameter in graph.parameters {
        tensors[parameter.name] = model.parameters.tensors[try model.position(of: parameter.name)]
      }
      return (graph, tensors, model.chosenPrecision)
    }
    var here: [String: Value] = [:]
    for (name, tensor) in tensors {
      here[name] = known[ObjectIdentifier(tensor)].flatMap { builder.graph.value(named: $0) }
    }
    let (output, names) = try builder.graph.inline(graph, prefix: prefix, inputs: inputs, known: here)
    for (name, newName) in names {
      guard let tensor = tensors[name] else { continue }
      shared[newName] = tensor
      known[ObjectIdentifier(tensor)] = newName
    }
    if precision != .float32 { self.precision = precision }
    return output
  }
}
