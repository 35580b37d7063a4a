import CNNCompiler
import CNNCore
import CNNGraph

/// A network that predicts, whose batch normalisations are parts of the weights and biases of the convolutions before them
/// (Ioffe and Szegedy 2015, section 3.1).
struct FoldedNetwork {
  private(set) var graph: Graph
  /// The value that is pixels less one of each channel, and their levels; nil where there is none.
  private(set) var pixels: (name: String, levels: PixelLevels)?
  /// By the name of a convolution, that of the batch normalisation that is part of it.
  let normalizations: [String: String]
  private let value: (String) -> UnsafeMutableBufferPointer<Float>?
  /// The parameters that are not as they were.
  var values: [String: [Float]] = [:]

  /// - Parameter value: the numbers of a parameter of that name.
  init(_ network: Graph, _ value: @escaping (String) -> UnsafeMutableBufferPointer<Float>?) throws(CNNError) {
    let source = try network.inferenceForm().removingDeadNodes()
    let consumers = source.consumers()
    let folded = source.normalizedConvolutions().filter { position, convolution in
      // Numbers that nobody else reads.
      [position, convolution].flatMap { source.nodes[$0].operands.dropFirst() }.allSatisfy {
        source.parameter(defining: $0) != nil && consumers[$0.index].count == 1
      }
    }
    let absorbed = Set(folded.values)
    normalizations = Dictionary(
      folded.map { (source.nodes[$1].name, source.nodes[$0].name) }, uniquingKeysWith: { first, _ in first })
    var values: [String: [Float]] = [:]
    let rewritten = try source.rewriting { rewriter, node throws(CNNError) in
      guard case .node(let position, _) = source.definition(of: node.results[0]) else { return false }
      guard let convolved = folded[position], let normalization = node.operation as? BatchNormalization else {
        return absorbed.contains(position)
      }
      let convolution = source.nodes[convolved]
      func numbers(_ operand: Value) -> UnsafeMutableBufferPointer<Float> {
        source.parameter(defining: operand).flatMap { value($0.name) } ?? .init(start: nil, count: 0)
      }
      let weight = numbers(convolution.operands[1]), given = convolution.operands.dropFirst(2).first
      let (gamma, beta) = (numbers(node.operands[1]), numbers(node.operands[2]))
      let (mean, variance) = (numbers(node.operands[3]), numbers(node.operands[4]))
      let channels = gamma.count, size = weight.count / max(1, channels)
      let factors = zip(gamma, variance).map {
        BatchNormalization.factor(gamma: $0, variance: $1, epsilon: normalization.epsilon)
      }
      let before = given.map { Array(numbers($0)) } ?? Array(repeating: 0, count: channels)
      let bias: [Float] = (0..<channels).map { channel in
        beta[channel] + (before[channel] - mean[channel]) * factors[channel]
      }
      values[source.name(of: convolution.operands[1])] = weight.indices.map { weight[$0] * factors[$0 / size] }
      let name: String
      if let given {
        name = source.name(of: given)
      } else {
        name = rewriter.result.uniqueName("\(convolution.name).bias")
        _ = try rewriter.result.addParameter(
          Parameter(name: name, shape: [channels], role: .bias, initializer: .zeros))
      }
      values[name] = bias
      guard let biasValue = rewriter.result.value(named: name) else {
        throw CNNError(.internalFault, "there is no parameter '\(name)'")
      }
      let operands = [try rewriter.image(of: convolution.operands[0]), try rewriter.image(of: convolution.operands[1])]
      let result = try rewriter.result.addSingle(
        convolution.operation, operands + [biasValue], name: convolution.name)
      rewriter.map(node.results[0], to: result)
      return true
    }
    graph = try rewritten.removingDeadParameters()
    (self.values, self.value) = (values, value)
  }

  /// The numbers of a parameter, as they are here.
  func numbers(_ name: String) -> [Float] { values[name] ?? value(name).map { Array($0) } ?? [] }

  /// Makes the layers that read pixels read them as they come; see `Graph.readingPixels`.
  /// - Parameters:
  ///   - step: how far pixels are to lie apart.
  ///   - isLayer: whether a node's weight is quantised.
  mutating func takePixels(
    _ normalization: (mean: [Double], deviation: [Double]), step: Double = 1, isLayer: (Node) -> Bool
  ) throws(CNNError) {
    guard let reading = try graph.readingPixels(normalization, step: step, numbers: numbers, isLayer: isLayer) else {
      return
    }
    (graph, pixels) = (reading.graph, (reading.name, reading.levels))
    values.merge(reading.values) { _, new in new }
  }
}
