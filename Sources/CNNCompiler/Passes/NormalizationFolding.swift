import CNNCore
import CNNGraph
import Glibc

extension Graph {
  /// A batch normalisation with running statistics that follows a convolution becomes a factor for each of the filter's
  /// output channels and a bias: `gamma / sqrt(variance + epsilon)` and `beta - mean * factor` (Ioffe and Szegedy 2015,
  /// section 3.1). Both depend on parameters alone, so a plan computes them once.
  func foldingNormalization() throws(CNNError) -> Graph {
    let consumers = consumers()
    var folded: [Int: Int] = [:]  // The convolution by the position of the normalisation.
    for (position, node) in nodes.enumerated() where node.operation is BatchNormalization {
      guard case .node(let before, _) = definition(of: node.operands[0]), nodes[before].operation is Convolution2D,
        consumers[node.operands[0].index].count == 1, !isKept(node.operands[0])
      else { continue }
      folded[position] = before
    }
    let absorbed = Set(folded.values)
    return try rewriting { rewriter, node throws(CNNError) in
      guard case .node(let position, _) = definition(of: node.results[0]) else { return false }
      guard let before = folded[position], let normalization = node.operation as? BatchNormalization else {
        return absorbed.contains(position)
      }
      let convolution = nodes[before]
      var statistics: [Value] = []
      for operand in node.operands.dropFirst() + convolution.operands.dropFirst(2) {
        statistics.append(try rewriter.image(of: operand))
      }
      let factors = try rewriter.result.add(
        NormalizationFactors(epsilon: normalization.epsilon), statistics,
        name: rewriter.result.uniqueName("\(node.name).factors"))
      let weight = try rewriter.result.addSingle(
        ScaledFilter(), [rewriter.image(of: convolution.operands[1]), factors[0]],
        name: rewriter.result.uniqueName("\(convolution.name).scaled"))
      let result = try rewriter.result.addSingle(
        convolution.operation, [rewriter.image(of: convolution.operands[0]), weight, factors[1]],
        name: node.name)
      rewriter.map(node.results[0], to: result)
      return true
    }
  }
}

/// An operation that only compiled graphs have.
protocol CompiledOperation: Lowerable {}

extension CompiledOperation {
  init(_ attributes: inout Attributes) throws(CNNError) {
    throw CNNError(.internalFault, "operation '\(Self.name)' is made by the compiler and is in no file")
  }
}

/// What a batch normalisation multiplies by and adds. Operands: gamma, beta, running mean, running variance, and the bias
/// of the convolution before it, if any, each `[C]`; results: factor and offset, `[C]`.
struct NormalizationFactors: CompiledOperation {
  static let name = "normalization_factors"
  let epsilon: Double

  init(epsilon: Double) { self.epsilon = epsilon }

  var attributes: Attributes { ["epsilon": .number(epsilon)] }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0], operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.operands[0].count, hasBias = types.operands.count == 5, epsilon = epsilon
    return LoweredOperation(kernel: { arguments in
      let (gamma, beta, mean) = (arguments.operand(0), arguments.operand(1), arguments.operand(2))
      let variance = arguments.operand(3), bias = hasBias ? arguments.operand(4) : nil
      for channel in 0..<channels {
        let factor = Double(gamma[channel]) / (Double(variance[channel]) + epsilon).squareRoot()
        let center = Double(mean[channel]) - Double(bias?[channel] ?? 0)
        arguments.result(0)[channel] = Float(factor)
        arguments.result(1)[channel] = Float(Double(beta[channel]) - center * factor)
      }
    })
  }
}

/// A filter `[O, I, h, w]` times a factor for each output channel `[O]`.
struct ScaledFilter: CompiledOperation {
  static let name = "scaled_filter"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.operands[1].count, count = types.operands[0].count / channels
    return LoweredOperation(kernel: { arguments in
      let (weight, factor, result) = (arguments.operand(0), arguments.operand(1), arguments.result())
      for channel in 0..<channels {
        for index in channel * count..<(channel + 1) * count { result[index] = weight[index] * factor[channel] }
      }
    })
  }
}
