import CNNCore
import CNNGraph
import CNNKernels

/// A step that is computed in floats though integers go into it and are made of what comes out.
public struct FloatIsland: Sendable, Equatable {
  /// The name of the layer.
  public let layer: String
  /// What it computes, as `softmax`.
  public let operation: String
  /// Why it is not computed in integers.
  public let reason: String

  /// A step in floats.
  public init(layer: String, operation: String, reason: String) {
    (self.layer, self.operation, self.reason) = (layer, operation, reason)
  }
}

extension Graph {
  /// The islands of floats among the integers that `quantizedForm` makes of a network with roundings, in the order in which
  /// they run.
  public func floatIslands() throws(CNNError) -> [FloatIsland] {
    let source = try inferenceForm().removingDeadNodes().foldingNormalization()
    let steps = QuantizedSteps(source), form = try source.quantizedForm()
    let isConstant = form.constants, consumers = form.consumers()
    // What integers have gone into, and what integers are made of.
    var isBehind = Array(repeating: false, count: form.valueCount), isBefore = isBehind
    for node in form.nodes where node.operation.isOfIntegers || node.operands.contains(where: { isBehind[$0.index] }) {
      node.results.forEach { isBehind[$0.index] = true }
    }
    for node in form.nodes.reversed() {
      let readers = node.results.flatMap { consumers[$0.index] }.map { form.nodes[$0] }
      if readers.contains(where: { $0.operation.isOfIntegers || isBefore[$0.results[0].index] }) {
        node.results.forEach { isBefore[$0.index] = true }
      }
    }
    var islands: [FloatIsland] = []
    for node in form.nodes {
      guard let result = node.results.first, !node.operation.isOfIntegers, !isConstant[result.index],
        isBehind[result.index], isBefore[result.index],
        let original = source.value(named: node.name).flatMap(source.node(defining:))
      else { continue }
      islands.append(
        FloatIsland(layer: node.name, operation: node.operation.kind, reason: steps.reason(original, in: source)))
    }
    return islands
  }
}

extension Operation {
  /// Whether it computes in integers, or makes floats of them or them of floats.
  var isOfIntegers: Bool { self is any QuantizedOperation || self is QuantizedConvolution2D }
}

extension QuantizedSteps {
  /// Why a node of the network is computed in floats.
  fileprivate func reason(_ node: Node, in graph: Graph) -> String {
    if node.operation is Convolution2D || node.operation is Dense { return reasonOfLayer(node, graph) }
    let isKnown =
      switch node.operation {
      case is Add, is Multiply, is Concatenate, is Reshape, is Pooling2D, is GlobalPooling2D, is Activation: true
      default: false
      }
    guard isKnown else { return "there is no '\(node.operation.kind)' of integers" }
    if !graph.nodes.contains(where: { $0.operation is FakeQuantize && $0.operands[0] == node.results[0] }) {
      return "what reads its result does so in floats"
    }
    if let operand = node.operands.first(where: { levels(of: $0) == nil }) {
      return "it reads '\(graph.name(of: operand))', which is not rounded to levels"
    }
    let shapes = node.operands.map { graph.type(of: $0).shape }
    if shapes.count == 2, shapes[0] != shapes[1], !(node.operation is Concatenate) {
      return "it broadcasts \(describe(shapes[1])) over \(describe(shapes[0]))"
    }
    return "its result is not rounded to levels of a byte"
  }

  private func reasonOfLayer(_ node: Node, _ graph: Graph) -> String {
    guard let weight = node.operands.dropFirst().first, let rounding = graph.node(defining: weight),
      (rounding.operation as? FakeQuantize)?.weightLevels != nil
    else { return "its weight is not rounded to signed bytes" }
    let depth = graph.type(of: weight).shape.dropFirst().reduce(1, *)
    if depth > QuantizedFilter.largestDepth {
      return "it sums up \(depth) products; 32 bits hold \(QuantizedFilter.largestDepth)"
    }
    if levels(of: node.operands[0]) == nil {
      return "it reads '\(graph.name(of: node.operands[0]))', which is not rounded to levels"
    }
    if !graph.nodes.contains(where: { $0.operation is FakeQuantize && $0.operands[0] == node.results[0] }) {
      return "what reads its result does so in floats, and sums of single channels are floats then"
    }
    return "its weight, or what it adds, is computed, or lies in another order"
  }
}
