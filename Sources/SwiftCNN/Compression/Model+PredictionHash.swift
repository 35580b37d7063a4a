import CNNCore
import CNNGraph

extension Model {
  /// Of all that predictions depend on: the network but for what its parts are called, its numbers, how pixels are read and
  /// what is computed in. The caller has the model.
  func predictionHash() throws(CNNError) -> ContentHash {
    var hash = ContentHash()
    for input in network.inputs { hash.add("\(network.shape(of: input.value).map { $0 ?? -1 })") }
    for node in network.nodes {
      hash.add(node.operation.kind)
      hash.add(try JSON.object(node.operation.attributes.json).serialized())
      for operand in node.operands { hash.add(network.place(of: operand)) }
    }
    for output in network.outputs { hash.add(network.place(of: output.value)) }
    hash.add(try JSON.numbers(pixelNormalization.mean + pixelNormalization.deviation).serialized())
    hash.add(chosenPrecision.prediction.rawValue)
    for (position, parameter) in parameters.parameters.enumerated() {
      hash.add("\(parameter.shape)")
      hash.add(UnsafeRawBufferPointer(parameters.values(at: position)))
    }
    return hash
  }
}

extension Graph {
  /// Where a value comes from, by position: the same whatever it is called, as where a network is built twice.
  func place(of value: Value) -> String {
    switch definition(of: value) {
    case .input(let index): "input \(index)"
    case .parameter(let index): "parameter \(index)"
    case .node(let index, let result): "node \(index) \(result)"
    }
  }
}
