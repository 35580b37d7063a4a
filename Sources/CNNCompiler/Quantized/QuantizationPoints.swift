import CNNCore
import CNNGraph
import CNNKernels

/// Where a network of floats is rounded so that `quantizedForm` computes it in integers: at the end of every step that an
/// integer one reads, and what goes into the first.
public struct QuantizationPoints {
  /// The values that are rounded to levels.
  public private(set) var values: [Value] = []
  /// The positions of the convolutions and dense layers whose weights are.
  public private(set) var layers: [Int] = []

  private let graph: Graph
  private let consumers: [[Int]]
  private var isInteger: [Bool]
  private var isLayer: [Bool]

  /// - Parameter isSkipped: whether a layer of that name stays in floats.
  public init(_ graph: Graph, skipping isSkipped: (String) -> Bool = { _ in false }) {
    self.graph = graph
    consumers = graph.consumers()
    isInteger = Array(repeating: false, count: graph.nodes.count)
    isLayer = Array(repeating: false, count: graph.nodes.count)
    for (position, node) in graph.nodes.enumerated() {
      if isSkipped(node.name) { continue }
      isLayer[position] = Self.isQuantizable(node, graph)
      isInteger[position] = isLayer[position] || isCombination(node)
    }
    layers = isLayer.indices.filter { isLayer[$0] }
    findValues()
  }

  /// Whether a node is a layer with a weight of its own that signed bytes can hold.
  private static func isQuantizable(_ node: Node, _ graph: Graph) -> Bool {
    guard node.operation is Convolution2D || node.operation is Dense,
      node.operands.dropFirst().allSatisfy({ graph.parameter(defining: $0) != nil })
    else { return false }
    return graph.type(of: node.operands[1]).shape.dropFirst().reduce(1, *) <= QuantizedFilter.largestDepth
  }

  /// Whether a node combines only what is computed in integers, and can do so as well.
  private func isCombination(_ node: Node) -> Bool {
    guard
      node.operands.allSatisfy({
        if case .node(let before, _) = graph.definition(of: $0) { isInteger[before] } else { false }
      })
    else { return false }
    let shapes = node.operands.map { graph.type(of: $0).shape }
    switch node.operation {
    case is Add: return shapes[0] == shapes[1]
    case is Multiply:
      return shapes[0] == shapes[1] || isSpatialBroadcast(shapes[0], over: shapes[1])
        || isSpatialBroadcast(shapes[1], over: shapes[0])
    case is Activation, is Pooling2D, is GlobalPooling2D, is Concatenate: return true
    default: return node.operation.movesElements
    }
  }

  private mutating func findValues() {
    // The sums that are made where a layer's own result is; of two layers that are added, by the later one.
    var layerOfSum: [Int: Int] = [:]
    for position in layers {
      if let reader = onlyReader(graph.nodes[position].results[0]), isInteger[reader],
        graph.nodes[reader].operation is Add
      {
        layerOfSum[reader] = position
      }
    }
    var rounded = Set(layers.map { source(of: graph.nodes[$0].operands[0]) })
    for (position, node) in graph.nodes.enumerated() where isInteger[position] {
      if !node.operation.movesElements, !isInside(position, layerOfSum) { rounded.insert(node.results[0]) }
    }
    values = (0..<graph.valueCount).map { Value(index: $0) }.filter { rounded.contains($0) && isReadAsLevels($0) }
  }

  /// Whether a node's result stays within a step.
  private func isInside(_ position: Int, _ layerOfSum: [Int: Int]) -> Bool {
    let node = graph.nodes[position]
    guard let reader = onlyReader(node.results[0]), isInteger[reader] else { return false }
    if layerOfSum[reader] == position { return true }
    guard let activation = graph.nodes[reader].operation as? Activation else { return false }
    if activation.onlyLimits { return true }
    return (isLayer[position] || layerOfSum[position] != nil)
      && ExactActivation(activation.function, constants: activation.constants) != nil
  }

  /// The value whose levels are those of this one.
  private func source(of value: Value) -> Value {
    guard case .node(let position, _) = graph.definition(of: value), isInteger[position],
      graph.nodes[position].operation.movesElements
    else { return value }
    return source(of: graph.nodes[position].operands[0])
  }

  /// Whether an integer step reads a value, or what only moves its levels does.
  private func isReadAsLevels(_ value: Value) -> Bool {
    consumers[value.index].contains { reader in
      guard isInteger[reader] else { return false }
      return graph.nodes[reader].operation.movesElements
        ? isReadAsLevels(graph.nodes[reader].results[0]) : true
    }
  }

  private func onlyReader(_ value: Value) -> Int? {
    consumers[value.index].count == 1 && !graph.isKept(value) ? consumers[value.index][0] : nil
  }
}
