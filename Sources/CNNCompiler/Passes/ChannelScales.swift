import CNNCore
import CNNGraph
import CNNKernels

extension Graph {
  /// Takes the scales out of roundings that have one for each channel and are read by depthwise convolutions alone, as NNCF
  /// writes them: levels are then one apart in all channels, and are the same levels.
  ///
  /// A filter that sees one channel takes that channel's scale in. What gives the channels is divided by their scales: a
  /// convolution in its filter and bias where no more than a limit at 0 lies between, else by a `Rescaling`.
  func withoutScalesOfChannels() throws(CNNError) -> Graph {
    let scales = ChannelScales(self)
    if scales.roundings.isEmpty { return self }
    return try rewriting { rewriter, node throws(CNNError) in try scales.rewrite(node, in: &rewriter) }
  }
}

/// What becomes of the nodes.
private struct ChannelScales {
  private let graph: Graph
  private let consumers: [[Int]]
  private let isConstant: [Bool]
  /// By the name of a rounding, the one in its place and what its operand is multiplied by; nothing where what computes that
  /// has it in its filter.
  private(set) var roundings: [String: (rounding: FakeQuantize, inverses: [Double]?)] = [:]
  /// By the name of a convolution, what each output channel's filter and bias is multiplied by.
  private var filters: [String: [Double]] = [:], biases: [String: [Double]] = [:]
  /// The names of activations whose upper limit no level is above.
  private var unlimited: Set<String> = []

  init(_ graph: Graph) {
    (self.graph, consumers, isConstant) = (graph, graph.consumers(), graph.constants)
    for node in graph.nodes { find(node) }
  }

  private mutating func find(_ node: Node) {
    guard let old = node.operation as? FakeQuantize, old.scale.count > 1, old.axis == -1,
      !graph.isKept(node.results[0]), !isConstant[node.results[0].index]
    else { return }
    let isUniform = old.zeroPoint.allSatisfy { $0 == old.zeroPoint.first }
    // Different zero points are those of unsigned bytes.
    let shift: Double = isUniform || old.minimum >= 0 ? 0 : 128
    let rounding = FakeQuantize(
      scale: [1], zeroPoint: isUniform ? Array(old.zeroPoint.prefix(1)) : old.zeroPoint.map { $0 + shift },
      minimum: old.minimum + shift, maximum: old.maximum + shift)
    let readers = consumers[node.results[0].index].map { graph.nodes[$0] }, inverses = old.scale.map { 1 / $0 }
    guard isUniform ? rounding.byteLevels != nil : rounding.pixelLevels != nil, !readers.isEmpty,
      readers.allSatisfy({ isDepthwise($0, old.scale) })
    else { return }
    for reader in readers { multiply(&filters, reader, old.scale) }
    roundings[node.name] = (rounding, inverses)
    guard let (convolution, activation) = source(of: node.operands[0], old, inverses) else { return }
    if let activation { unlimited.insert(activation.name) }
    if isUniform {
      multiply(&filters, convolution, inverses)
      multiply(&biases, convolution, inverses)
      roundings[node.name]?.inverses = nil
    }
  }

  /// Whether a node is a convolution of these channels, one by one, that can be computed in integers.
  private func isDepthwise(_ node: Node, _ scale: [Double]) -> Bool {
    guard let convolution = node.operation as? Convolution2D, convolution.groups == scale.count,
      convolution.filterLayout == .oihw, isConstant[node.operands[1].index],
      let rounding = graph.node(defining: node.operands[1])?.operation as? FakeQuantize, rounding.weightLevels != nil
    else { return false }
    return isPossible(node, scale)
  }

  /// The convolution that gives a value, which nothing else reads, and the activation between; nil where there is more.
  private func source(of value: Value, _ rounding: FakeQuantize, _ inverses: [Double]) -> (Node, Node?)? {
    func before(_ value: Value) -> Node? {
      consumers[value.index].count == 1 && !graph.isKept(value) ? graph.node(defining: value) : nil
    }
    guard var node = before(value) else { return nil }
    var activation: Node?
    if let limits = (node.operation as? Activation)?.limits {
      // A limit that is not 0 is another one in each channel.
      guard limits.lowest == 0,
        rounding.scale.indices.allSatisfy({
          (limits.highest / rounding.scale[$0]).rounded(.toNearestOrEven) + rounding.zeroPoint(at: $0)
            >= rounding.maximum
        }),
        let convolution = before(node.operands[0])
      else { return nil }
      (node, activation) = (convolution, node)
    }
    guard let convolution = node.operation as? Convolution2D, convolution.filterLayout == .oihw,
      node.operands.dropFirst().allSatisfy({ isConstant[$0.index] }), isPossible(node, inverses)
    else { return nil }
    return (node, activation)
  }

  /// Whether a filter times these factors is still made of ordinary numbers.
  private func isPossible(_ convolution: Node, _ factors: [Double]) -> Bool {
    let scales = (graph.node(defining: convolution.operands[1])?.operation as? FakeQuantize)?.scale ?? [1]
    let known = filters[convolution.name] ?? [1], outputs = graph.type(of: convolution.operands[1]).shape[0]
    return outputs % factors.count == 0
      && (0..<outputs).allSatisfy { output in
        let factor = Float(
          scales[scales.count == 1 ? 0 : output] * known[known.count == 1 ? 0 : output]
            * factors[output * factors.count / outputs])
        return factor.isNormal && (1 / factor).isNormal
      }
  }

  /// Multiplies the factors of a convolution by those of its channels.
  private func multiply(_ factors: inout [String: [Double]], _ convolution: Node, _ others: [Double]) {
    let outputs = graph.type(of: convolution.operands[1]).shape[0]
    let known = factors[convolution.name] ?? Array(repeating: 1, count: outputs)
    factors[convolution.name] = known.enumerated().map { $1 * others[$0 * others.count / outputs] }
  }

  /// Writes a node that becomes another one.
  func rewrite(_ node: Node, in rewriter: inout GraphRewriter) throws(CNNError) -> Bool {
    let name = node.name
    if let (rounding, inverses) = roundings[name] {
      var x = try rewriter.image(of: node.operands[0])
      if let inverses {
        x = try rewriter.result.addSingle(
          Rescaling(scale: inverses), [x], name: rewriter.uniqueName("\(name).scaled"))
      }
      rewriter.map(node.results[0], to: try rewriter.result.addSingle(rounding, [x], name: name))
    } else if unlimited.contains(name) {
      try rewriter.copy(node, as: Activation(.relu))
    } else if let factors = filters[name] {
      try scale(node, by: factors, in: &rewriter)
    } else {
      return false
    }
    return true
  }

  private func scale(_ node: Node, by factors: [Double], in rewriter: inout GraphRewriter) throws(CNNError) {
    func add(_ operation: any Operation, _ x: Value, _ suffix: String) throws(CNNError) -> Value {
      try rewriter.result.addSingle(operation, [x], name: rewriter.uniqueName("\(node.name).\(suffix)"))
    }
    var operands: [Value] = []
    for operand in node.operands { operands.append(try rewriter.image(of: operand)) }
    if let rounding = graph.node(defining: node.operands[1]), let levels = rounding.operation as? FakeQuantize {
      let scales = factors.enumerated().map { $1 * levels.scale[levels.scale.count == 1 ? 0 : $0] }
      let filter = try add(RescaledFilter(factors: factors), rewriter.image(of: rounding.operands[0]), "scaled")
      operands[1] = try add(
        FakeQuantize(scale: scales, axis: 0, minimum: levels.minimum, maximum: levels.maximum), filter, "levels")
    } else {
      operands[1] = try add(RescaledFilter(factors: factors), operands[1], "scaled")
    }
    if operands.count > 2, let factors = biases[node.name] {
      operands[2] = try add(Rescaling(scale: factors), operands[2], "bias")
    }
    rewriter.map(node.results[0], to: try rewriter.result.addSingle(node.operation, operands, name: node.name))
  }
}

extension FakeQuantize {
  /// The level of a channel that stands for 0.
  fileprivate func zeroPoint(at channel: Int) -> Double { zeroPoint[zeroPoint.count == 1 ? 0 : channel] }
}

/// A filter `[O, I, h, w]` times a number for each output channel.
private struct RescaledFilter: CompiledOperation, PortableOperation {
  static let name = "rescaled_filter"
  let factors: [Double]

  init(factors: [Double]) { self.factors = factors }

  var attributes: Attributes { ["factors": .numbers(factors)] }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let factors = factors.map { Float($0) }, size = types.operands[0].count / factors.count
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: { arguments in
        factors.withUnsafeBufferPointer {
          guard let start = $0.baseAddress else { return }
          FilterScaling.scale(
            arguments.operand(0), by: start, into: arguments.result(), channels: factors.count, size: size,
            workers: arguments.workers)
        }
      })
  }
}
