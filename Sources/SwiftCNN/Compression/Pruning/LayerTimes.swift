import CNNCompiler
import CNNCore
import CNNGraph

/// How long the layers of a network take as their widths change, by the cost models that placement chooses implementations
/// by (as the table of latencies of Shen et al. 2022, section 3.2, which is measured there).
final class LayerTimes {
  private let groups: ChannelGroups
  private let normalization: Compiler.PixelNormalization
  private let precision: Precision
  private let layers: [Layer]
  /// By group the layers whose time it changes.
  private let layersOfGroup: [[Int]]
  private var known: [Shape: Double] = [:]

  /// A convolution or a dense layer.
  private struct Layer {
    let node: Node
    var operation: any Operation { node.operation }
    /// What it reads, but for the channels; and its weight's axes.
    let image: [Int]
    let read: ChannelCount
    let weight: [ChannelCount]
    let hasBias: Bool
    /// The first layer that is alike.
    let kind: Int
  }

  private struct Shape: Hashable {
    let kind: Int
    let read: Int
    let weight: [Int]
  }

  init(_ groups: ChannelGroups, _ normalization: Compiler.PixelNormalization, _ precision: Precision) {
    (self.groups, self.normalization, self.precision) = (groups, normalization, precision)
    let graph = groups.graph
    var layers: [Layer] = [], ofGroup = Array(repeating: [Int](), count: groups.groups.count)
    for node in graph.nodes where node.operation.filterAxis != nil && node.operands.count > 1 {
      let image = graph.type(of: node.operands[0]).shape
      guard let last = image.indices.last else { continue }
      let read = groups.size(of: node.operands[0], axis: last)
      let weight = graph.type(of: node.operands[1]).shape.indices.map { groups.size(of: node.operands[1], axis: $0) }
      let hasBias = node.operands.count == 3
      let kind = layers.firstIndex {
        // The number of groups follows from the widths.
        $0.image == image && $0.hasBias == hasBias
          && $0.operation.isEqual(to: node.operation) && $0.weight.map(\.fixed) == weight.map(\.fixed)
      }
      for group in Set((weight + [read]).flatMap { $0.perChannel.map(\.group) }) { ofGroup[group].append(layers.count) }
      layers.append(
        Layer(
          node: node, image: Array(image.dropLast()), read: read, weight: weight,
          hasBias: hasBias, kind: kind ?? layers.count))
    }
    (self.layers, layersOfGroup) = (layers, ofGroup)
  }

  /// Cycles of all layers where groups keep so many channels each.
  func cycles(_ kept: [Int]) throws(CNNError) -> Double { try cycles(Array(layers.indices), kept) }

  /// Cycles of the layers whose time a group changes.
  func cycles(of group: Int, _ kept: [Int]) throws(CNNError) -> Double { try cycles(layersOfGroup[group], kept) }

  private func cycles(_ positions: [Int], _ kept: [Int]) throws(CNNError) -> Double {
    var sum = 0.0
    for position in positions { sum += try cycles(layers[position], kept) }
    return sum
  }

  private func cycles(_ layer: Layer, _ kept: [Int]) throws(CNNError) -> Double {
    let shape = Shape(
      kind: layer.kind, read: Int(layer.read(kept).rounded()), weight: layer.weight.map { Int($0(kept).rounded()) })
    if let known = known[shape] { return known }
    let cycles = try predicted(layer, shape)
    known[shape] = cycles
    return cycles
  }

  /// The layer alone, placed.
  private func predicted(_ layer: Layer, _ shape: Shape) throws(CNNError) -> Double {
    var graph = Graph()
    let image = [1] + layer.image.dropFirst() + [shape.read]
    let x = try graph.addInput("x", TensorType(.float32, image))
    let weight = Parameter(name: "weight", shape: shape.weight, role: .weight, initializer: .zeros)
    var operands = [x, try graph.addParameter(weight)]
    if layer.hasBias, let axis = layer.operation.filterAxis {
      let bias = Parameter(name: "bias", shape: [shape.weight[axis]], role: .bias, initializer: .zeros)
      operands.append(try graph.addParameter(bias))
    }
    let types = operands.map { graph.type(of: $0) }
    let operation = try layer.operation.keeping(KeptChannels.all(of: layer.node), types)
    try graph.addOutput("y", try graph.addSingle(operation, operands, name: "layer"))
    let steps = try Compiler.predictedCycles(
      of: graph, inputs: [types[0]], normalization: normalization, threads: Threads.count, precision: precision)
    return steps.reduce(0) { $0 + $1.cycles }
  }
}
