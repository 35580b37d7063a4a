import CNNCore
import CNNGraph
import CNNKernels

/// What only a training graph has: normalisation by the batch's statistics, and gradients.
extension BlockedLayoutPass {
  /// Rewrites a node of that kind for which there are generated kernels.
  mutating func rewriteGradientToBlocks(_ node: Node) throws(CNNError) -> Bool {
    switch node.operation {
    case let operation as BatchNormalizationTraining: return try normalize(node, operation)
    case let operation as BatchNormalizationTrainingGradient: return try normalizationGradient(node, operation)
    case let operation as Convolution2DInputGradient where operation.convolution.filterLayout == .oihw:
      return try inputGradient(node, named: node.name, as: node.results[0])
    case let operation as Convolution2DWeightGradient where operation.convolution.filterLayout == .oihw:
      let input = source.type(of: node.operands[0]).shape
      return try weightGradient(node, operation.convolution.geometry(input, oihw: operation.weightShape))
    case is DenseWeightGradient where Self.tensor(source.type(of: node.operands[0])) != nil:
      let outputs = source.type(of: node.results[0]).shape[0]
      return try weightGradient(node, .dense(source.type(of: node.operands[0]), outputs: outputs))
    case is DenseInputGradient where Self.tensor(source.type(of: node.operands[0])) != nil:
      return try inputGradient(node, named: node.name, as: node.results[0])
    case let operation as ActivationGradient: return try activationGradient(node, operation.activation)
    case is SpatialSum: return try sum(node)
    case let operation as SumLeadingAxes:
      guard operation.kept == 1, isInBlocks(node.operands[0]), let (x, tensor) = try inBlocks(node.operands[0]) else {
        return false
      }
      let sums = BlockedSums(tensor, perImage: false, library: generation.library)
      let image = try rewriter.result.addSingle(
        SumBlocks(sums: sums, tensor: tensor, perImage: false), [x], name: node.name)
      defineRowMajor(node.results[0], image)
      return true
    case let operation as GlobalPooling2DGradient where operation.pooling.kind == .average:
      guard let (dy, _) = try inBlocks(node.operands[0]),
        let tensor = Self.tensor(source.type(of: node.results[0]))
      else { return false }
      define(
        node.results[0], try rewriter.result.addSingle(SpreadBlocks(tensor: tensor), [dy], name: node.name), tensor)
      return true
    case let operation as Pooling2DGradient: return try poolingGradient(node, operation)
    case let operation as StochasticDepth where isInBlocks(node.operands[0]):
      guard let (x, tensor) = try inBlocks(node.operands[0]) else { return false }
      define(
        node.results[0],
        try rewriter.result.addSingle(DropImages(tensor: tensor, original: operation), [x], name: node.name), tensor)
      return true
    default: return false
    }
  }

  private mutating func normalize(
    _ node: Node, _ operation: BatchNormalizationTraining
  ) throws(CNNError) -> Bool {
    let activation = operation.activation.flatMap { VectorActivation($0) }
    guard isInBlocks(node.operands[0]) || isOnlyInBlocks(operation.activation),
      (activation == nil) == (operation.activation == nil),
      let (x, tensor) = try inBlocks(node.operands[0])
    else { return false }
    var operands = [x]
    for operand in node.operands[1...4] { operands.append(try rowMajor(operand)) }
    if operation.addsResidual {
      guard let (residual, _) = try inBlocks(node.operands[5]) else { return false }
      operands.append(residual)
    }
    let normalization = BlockedNormalization(
      tensor, activation: activation, addsResidual: operation.addsResidual, library: generation.library)
    let results = try rewriter.result.add(
      NormalizeBatch(normalization: normalization, original: operation), operands, name: node.name)
    define(node.results[0], results[0], tensor)
    for (result, image) in zip(node.results, results).dropFirst() { defineRowMajor(result, image) }
    return true
  }

  /// Whether a normalisation has no portable kernel: those apply but a ReLU.
  private func isOnlyInBlocks(_ activation: Activation?) -> Bool {
    activation.map { $0.function != .relu } ?? false
  }

  private mutating func normalizationGradient(
    _ node: Node, _ operation: BatchNormalizationTrainingGradient
  ) throws(CNNError) -> Bool {
    let activation = operation.activation.flatMap { VectorActivation($0) }
    guard isInBlocks(node.operands[0]) || isOnlyInBlocks(operation.activation),
      (activation == nil) == (operation.activation == nil),
      let (x, tensor) = try inBlocks(node.operands[0]), let (dy, _) = try inBlocks(node.operands[1])
    else { return false }
    var operands = [x, dy]
    for operand in node.operands[2...4] { operands.append(try rowMajor(operand)) }
    let kind: BlockedNormalizationGradient.Source
    if operation.addsResidual {
      guard let (y, _) = try inBlocks(node.operands[6]) else { return false }
      operands.append(y)
      kind = .result
    } else if let activation {
      // The numbers are normalised once more, which takes less than reading the result.
      operands.append(try rowMajor(node.operands[5]))
      kind = .activation(activation)
    } else {
      kind = .gradient
    }
    let gradient = BlockedNormalizationGradient(tensor, kind, library: generation.library)
    let results = try rewriter.result.add(
      NormalizationGradientBlocks(gradient: gradient, source: kind), operands, name: node.name)
    define(node.results[0], results[0], tensor)
    for position in 1...2 { defineRowMajor(node.results[position], results[position]) }
    if operation.addsResidual { define(node.results[3], results[3], tensor) }
    return true
  }

  /// Rewrites the gradient of an input, `other` added to it.
  mutating func inputGradient(
    _ node: Node, adding other: Value? = nil, named name: String, as result: Value
  ) throws(CNNError) -> Bool {
    let weight = source.type(of: node.operands[1]).shape
    let geometry =
      if let operation = node.operation as? Convolution2DInputGradient {
        try operation.convolution.geometry(operation.inputShape, oihw: weight)
      } else {
        try ConvolutionGeometry.dense(source.type(of: result), outputs: weight[0])
      }
    guard let (dy, _) = try inBlocks(node.operands[0]),
      let gradient = try BlockedInputGradient(
        geometry, addsResidual: other != nil, workers: generation.workers, library: generation.library)
    else { return false }
    let filter = try rewriter.result.addSingle(
      PackFilter(gradient), [filter(node.operands[1], for: node)],
      name: rewriter.result.uniqueName("\(node.name).filter"))
    var operands = [dy, filter]
    if let other {
      guard let (value, _) = try inBlocks(other) else { return false }
      operands.append(value)
    }
    define(
      result, try rewriter.result.addSingle(InputGradientBlocks(gradient: gradient), operands, name: name),
      gradient.result)
    return true
  }

  /// The filter that a gradient reads. One with a factor is made again, rather than kept from the forward pass, which packs
  /// it at once.
  private mutating func filter(_ filter: Value, for node: Node) throws(CNNError) -> Value {
    guard let scaled = source.node(defining: filter), scaled.operation is ScaledFilter else {
      return try rowMajor(filter)
    }
    return try rewriter.result.addSingle(
      scaled.operation, [rowMajor(scaled.operands[0]), rowMajor(scaled.operands[1])],
      name: rewriter.result.uniqueName("\(node.name).scaled"))
  }

  private mutating func weightGradient(_ node: Node, _ geometry: ConvolutionGeometry) throws(CNNError) -> Bool {
    let workers = generation.workers, library = generation.library
    guard WeightGradientAlgorithms.best(WeightGradientRequest(geometry, workers: workers), library.target) != nil,
      let (input, layout) = try image(node.operands[0], geometry), let (dy, _) = try inBlocks(node.operands[1])
    else { return false }
    let gradient = try WeightGradientAlgorithms.plan(
      WeightGradientRequest(geometry, input: layout, workers: workers), library: library)
    let operation = WeightGradientBlocks(gradient: gradient, shape: source.type(of: node.results[0]).shape)
    let result = try rewriter.result.addSingle(operation, [input, dy], name: node.name)
    defineRowMajor(node.results[0], result)
    return true
  }

  private mutating func activationGradient(
    _ node: Node, _ activation: Activation
  ) throws(CNNError) -> Bool {
    guard let activation = VectorActivation(activation), isInBlocks(node.operands[0]),
      let (x, tensor) = try inBlocks(node.operands[0]), let (dy, _) = try inBlocks(node.operands[1])
    else { return false }
    let gradient = BlockedActivationGradient(activation, tensor, library: generation.library)
    define(
      node.results[0],
      try rewriter.result.addSingle(
        ActivationGradientBlocks(gradient: gradient, tensor: tensor), [x, dy], name: node.name), tensor)
    return true
  }

  /// The sum over the pixels of each image, and where it is of a product that nobody else reads, in one pass with that.
  private mutating func sum(_ node: Node) throws(CNNError) -> Bool {
    var summed = [node.operands[0]]
    if let product = source.node(defining: summed[0]), product.operation is Multiply,
      source.type(of: product.operands[0]) == source.type(of: product.operands[1]),
      product.operands.allSatisfy(isInBlocks)
    {
      summed = product.operands
    }
    guard summed.allSatisfy(isInBlocks), let tensor = Self.tensor(source.type(of: summed[0])) else { return false }
    let images = summed.compactMap { blocked[$0.index]?.value }
    let sums = BlockedSums(tensor, ofProducts: images.count == 2, perImage: true, library: generation.library)
    define(
      node.results[0],
      try rewriter.result.addSingle(SumBlocks(sums: sums, tensor: tensor, perImage: true), images, name: node.name),
      sums.result)
    return true
  }

  private mutating func poolingGradient(
    _ node: Node, _ operation: Pooling2DGradient
  ) throws(CNNError) -> Bool {
    var operands: [Value] = []
    for operand in node.operands {
      guard let (value, _) = try inBlocks(operand) else { return false }
      operands.append(value)
    }
    let pooling = operation.pooling
    let gradient = BlockedPoolingGradient(
      try pooling.geometry(input: operation.inputShape), isMaximum: pooling.kind == .max,
      countsPadding: pooling.countsPadding)
    define(
      node.results[0],
      try rewriter.result.addSingle(PoolingGradientBlocks(gradient: gradient), operands, name: node.name),
      gradient.input)
    return true
  }
}
