import CNNCore
import CNNGraph
import CNNKernels

extension Graph {
  /// The convolutions that batch normalisations with running statistics can become part of, by the positions of these.
  public func normalizedConvolutions() -> [Int: Int] {
    let consumers = consumers()
    var result: [Int: Int] = [:]
    for (position, node) in nodes.enumerated() where node.operation is BatchNormalization {
      guard case .node(let before, _) = definition(of: node.operands[0]), nodes[before].operation is Convolution2D,
        consumers[node.operands[0].index].count == 1, !isKept(node.operands[0])
      else { continue }
      result[position] = before
    }
    return result
  }

  /// A batch normalisation with running statistics that follows a convolution becomes a factor for each of the filter's
  /// output channels and a bias: `gamma / sqrt(variance + epsilon)` and `beta - mean * factor` (Ioffe and Szegedy 2015,
  /// section 3.1). Both depend on parameters alone, so a plan that predicts computes them once.
  ///
  /// Before differentiation it serves frozen layers: factor and filter have gradients. Since the factor's is made of the
  /// filter's, a learned gamma is not folded into a filter that does not learn.
  /// - Parameter learned: the parameters that are differentiated by.
  func foldingNormalization(learned: [Value] = []) throws(CNNError) -> Graph {
    let isLearned = dependents(of: learned)
    let folded = normalizedConvolutions().filter { position, convolution in
      !isLearned[nodes[position].operands[1].index] || isLearned[nodes[convolution].operands[1].index]
    }
    let absorbed = Set(folded.values)
    return try rewriting { rewriter, node throws(CNNError) in
      guard case .node(let position, _) = definition(of: node.results[0]) else { return false }
      guard let before = folded[position], let normalization = node.operation as? BatchNormalization else {
        return absorbed.contains(position)
      }
      let convolution = nodes[before]
      let (factor, offset) = try rewriter.affineForm(
        of: normalization, node, bias: convolution.operands.dropFirst(2).first)
      let weight = try rewriter.add(
        ScaledFilter(), rewriter.image(of: convolution.operands[1]), factor, name: "\(convolution.name).scaled")
      let result = try rewriter.result.addSingle(
        convolution.operation, [rewriter.image(of: convolution.operands[0]), weight, offset], name: node.name)
      rewriter.map(node.results[0], to: result)
      return true
    }
  }

  /// A batch normalisation with running statistics that stands by itself becomes a convolution of one pixel with a filter
  /// for each channel, so that all that is there for convolutions serves it too: what follows it in the same pass, and
  /// gradients. A picture's few channels stay as they are: the first convolution reads them so.
  func normalizingByConvolution() throws(CNNError) -> Graph {
    try rewriting { rewriter, node throws(CNNError) in
      let shape = type(of: node.results[0]).shape
      guard let normalization = node.operation as? BatchNormalization, shape.count == 4, shape[3] >= 8 else {
        return false
      }
      let (factor, offset) = try rewriter.affineForm(of: normalization, node, bias: nil)
      let filter = try rewriter.add(Reshape([1, 1, 1]), factor, name: "\(node.name).filter")
      let result = try rewriter.result.addSingle(
        Convolution2D(groups: shape[3]), [rewriter.image(of: node.operands[0]), filter, offset], name: node.name)
      rewriter.map(node.results[0], to: result)
      return true
    }
  }
}

extension GraphRewriter {
  /// What a normalisation, after a `bias` where there is one, multiplies each channel by and then adds.
  fileprivate mutating func affineForm(
    of normalization: BatchNormalization, _ node: Node, bias: Value?
  ) throws(CNNError) -> (factor: Value, offset: Value) {
    let gamma = try image(of: node.operands[1]), beta = try image(of: node.operands[2])
    let mean = try image(of: node.operands[3]), variance = try image(of: node.operands[4])
    let factor = try add(
      NormalizationFactor(epsilon: normalization.epsilon), gamma, variance, name: "\(node.name).factor")
    var center = try add(Rescaling(scale: [-1]), mean, name: "\(node.name).center")
    if let bias { center = try add(Add(), center, image(of: bias), name: "\(node.name).center") }
    let product = try add(Multiply(), center, factor, name: "\(node.name).product")
    return (factor, try add(Add(), product, beta, name: "\(node.name).offset"))
  }

  fileprivate mutating func add(
    _ operation: any Operation, _ operands: Value..., name: String
  ) throws(CNNError) -> Value {
    try result.addSingle(operation, operands, name: result.uniqueName(name))
  }
}

/// What a batch normalisation multiplies by, `gamma / sqrt(variance + epsilon)`. Operands: gamma and running variance, `[C]`.
struct NormalizationFactor: CompiledOperation, PortableOperation {
  static let name = "normalization_factor"
  let epsilon: Double

  init(epsilon: Double) { self.epsilon = epsilon }

  var attributes: Attributes { ["epsilon": .number(epsilon)] }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(self, context.upstream, context.operand(1)), nil]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.operands[0].count, epsilon = epsilon
    return LoweredOperation(kernel: {
      let (gamma, variance, result) = ($0.operand(0), $0.operand(1), $0.result())
      for channel in 0..<channels {
        result[channel] = BatchNormalization.factor(
          gamma: gamma[channel], variance: variance[channel], epsilon: epsilon)
      }
    })
  }
}

/// A filter `[O, I, h, w]` times a factor for each output channel `[O]`.
struct ScaledFilter: CompiledOperation, PortableOperation {
  static let name = "scaled_filter"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let (filter, factor) = (context.operand(0), context.operand(1))
    return [
      context.needsGradient(0) ? try context.emit(self, context.upstream, factor) : nil,
      context.needsGradient(1) ? try context.emit(ScaledFilterFactorGradient(), filter, context.upstream) : nil,
    ]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.operands[1].count, size = types.operands[0].count / channels
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        FilterScaling.scale(
          $0.operand(0), by: $0.operand(1), into: $0.result(), channels: channels, size: size, workers: $0.workers)
      })
  }
}

/// The gradient of `ScaledFilter`'s factors. Operands: the filter and the gradient of the scaled one.
struct ScaledFilterFactorGradient: CompiledOperation, PortableOperation {
  static let name = "scaled_filter_factor_gradient"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [try TensorType(.float32, [operands[0].shape[0]])]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.results[0].count, size = types.operands[0].count / channels
    return LoweredOperation(kernel: {
      FilterScaling.factorGradient(
        $0.operand(0), $0.operand(1), into: $0.result(), channels: channels, size: size, workers: $0.workers)
    })
  }
}
