import CNNCore
import CNNGraph
import Glibc

extension FoldedNetwork {
  /// Cross-layer equalisation (Nagel et al. 2019, section 4.1): where a layer's channels go into the next layer alone, each
  /// is divided by a factor in the first and multiplied by it in the second, so that both weights have ranges of one size in
  /// it (equation 11). The network computes what it did.
  ///
  /// Between the two may be what multiplies its result by a factor that its operand is multiplied by: ReLU, leaky ReLU and
  /// poolings. ReLU6 does not, since its upper limit would be another for each channel; nor do SiLU and sigmoid.
  mutating func equalize() {
    let pairs = LayerPair.all(of: graph)
    var filters: [String: Filter] = [:], biases: [String: [Float]] = [:]
    for layer in pairs.flatMap({ [$0.first, $0.second] }) where filters[layer.name] == nil {
      let weight = layer.operands[1]
      filters[layer.name] = Filter(numbers(graph.name(of: weight)), graph.type(of: weight).shape, layer)
      biases[layer.name] = layer.operands.dropFirst(2).first.map { numbers(graph.name(of: $0)) }
    }
    // One pair changes what its neighbours have.
    for _ in 0..<Self.mostSweeps {
      var change: Float = 0
      for pair in pairs {
        guard let first = filters[pair.first.name], let second = filters[pair.second.name] else { continue }
        let factors = zip(first.outputRanges(), second.inputRanges()).map { a, b in
          let factor = sqrtf(a / b)
          // A channel that is nothing, or that nobody reads, stays as it is.
          return factor.isNormal && (1 / factor).isNormal ? factor : 1
        }
        change = max(change, factors.reduce(0) { max($0, abs(logf($1))) })
        filters[pair.first.name]?.multiplyOutputs(by: factors.map { 1 / $0 })
        filters[pair.second.name]?.multiplyInputs(by: factors)
        biases[pair.first.name] = biases[pair.first.name].map { zip($0, factors).map { $0 / $1 } }
      }
      if change < Self.negligibleChange { break }
    }
    for layer in pairs.flatMap({ [$0.first, $0.second] }) {
      values[graph.name(of: layer.operands[1])] = filters[layer.name]?.values
      if let bias = layer.operands.dropFirst(2).first { values[graph.name(of: bias)] = biases[layer.name] }
    }
  }

  /// When factors have converged: none differs from 1 by more than this; and how often all pairs are gone over at most.
  private static let negligibleChange: Float = 1e-3, mostSweeps = 40
}

/// Two layers of which the second alone reads the first's channels.
private struct LayerPair {
  let first, second: Node

  /// Those of a network, in the order in which they run.
  static func all(of graph: Graph) -> [LayerPair] {
    let consumers = graph.consumers()
    /// Whether a node is a layer with parameters that no other node reads.
    func isLayer(_ node: Node) -> Bool {
      (node.operation is Convolution2D || node.operation is Dense)
        && node.operands.dropFirst().allSatisfy {
          graph.parameter(defining: $0) != nil && consumers[$0.index].count == 1 && !graph.isKept($0)
        }
    }
    /// The layer that alone reads a value's channels, behind what keeps factors.
    func reader(_ value: Value) -> Node? {
      guard consumers[value.index].count == 1, !graph.isKept(value) else { return nil }
      let node = graph.nodes[consumers[value.index][0]]
      if isLayer(node) { return node.operands[0] == value ? node : nil }
      return graph.keepsFactors(node) ? reader(node.results[0]) : nil
    }
    return graph.nodes.compactMap { node in
      isLayer(node) ? reader(node.results[0]).map { LayerPair(first: node, second: $0) } : nil
    }
  }
}

extension Graph {
  /// Whether a channel of a node's result is multiplied by what that of its operand is multiplied by, if that is positive.
  fileprivate func keepsFactors(_ node: Node) -> Bool {
    switch node.operation {
    case let activation as Activation:
      switch activation.function {
      case .relu: true
      // alpha, threshold and maximum.
      case .leakyRelu: activation.constants.dropFirst() == [0, .infinity]
      default: false
      }
    case is Pooling2D, is GlobalPooling2D: true
    // Channels stay the last axis, each in its place.
    case is Reshape: type(of: node.operands[0]).shape.last == type(of: node.results[0]).shape.last
    default: false
    }
  }
}

/// A layer's weight, `[outputs, inputs of a group, taps]`.
private struct Filter {
  private(set) var values: [Float]
  private let outputs, groupInputs, groups, taps: Int

  init(_ values: [Float], _ shape: [Int], _ layer: Node) {
    self.values = values
    (outputs, groupInputs) = (shape[0], shape[1])
    groups = (layer.operation as? Convolution2D)?.groups ?? 1
    taps = shape.dropFirst(2).reduce(1, *)
  }

  /// Calls `body` with each output and input channel, and the places of the taps between them.
  private func forEachChannelPair(_ body: (_ output: Int, _ input: Int, _ taps: Range<Int>) -> Void) {
    for output in 0..<outputs {
      let firstInput = output / (outputs / groups) * groupInputs
      for input in 0..<groupInputs {
        let place = (output * groupInputs + input) * taps
        body(output, firstInput + input, place..<place + taps)
      }
    }
  }

  /// The largest magnitude of each output channel.
  func outputRanges() -> [Float] {
    var result = [Float](repeating: 0, count: outputs)
    forEachChannelPair { output, _, taps in
      for place in taps { result[output] = max(result[output], values[place].magnitude) }
    }
    return result
  }

  /// The largest magnitude of each input channel.
  func inputRanges() -> [Float] {
    var result = [Float](repeating: 0, count: groups * groupInputs)
    forEachChannelPair { _, input, taps in
      for place in taps { result[input] = max(result[input], values[place].magnitude) }
    }
    return result
  }

  mutating func multiplyOutputs(by factors: [Float]) {
    var values = values
    forEachChannelPair { output, _, taps in
      for place in taps { values[place] *= factors[output] }
    }
    self.values = values
  }

  mutating func multiplyInputs(by factors: [Float]) {
    var values = values
    forEachChannelPair { _, input, taps in
      for place in taps { values[place] *= factors[input] }
    }
    self.values = values
  }
}
