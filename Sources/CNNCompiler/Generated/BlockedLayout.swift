import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// What generated code a graph is compiled to: where its kernels are collected, and what its work is divided by.
struct CodeGeneration {
  let library: KernelLibrary
  let workers: Workers
}

extension Graph {
  /// Whatever generated kernels can do is done by them, on blocked tensors; the rest stays as it is. Tensors change their
  /// layout only where the two meet: at the first convolution, say, and behind the classifier.
  func usingGeneratedKernels(_ generation: CodeGeneration) throws(CNNError) -> Graph {
    var pass = try BlockedLayoutPass(self, generation)
    for (position, node) in nodes.enumerated() { try pass.rewrite(node, at: position) }
    return try pass.finished()
  }
}

/// The rewriting: every value of the source has an image in one of the two layouts, or in both.
struct BlockedLayoutPass {
  let source: Graph
  let generation: CodeGeneration
  let fusions: ConvolutionFusions
  var rewriter: GraphRewriter
  var isRowMajor: [Bool]
  var blocked: [(value: Value, tensor: BlockedTensor)?]
  /// The means that depthwise convolutions give beside their results, by the value that is averaged.
  var means: [Value: (value: Value, tensor: BlockedTensor)] = [:]

  init(_ source: Graph, _ generation: CodeGeneration) throws(CNNError) {
    (self.source, self.generation) = (source, generation)
    fusions = ConvolutionFusions(source, generation)
    rewriter = try GraphRewriter(source)
    isRowMajor = (0..<source.valueCount).map { source.node(defining: Value(index: $0)) == nil }
    blocked = Array(repeating: nil, count: source.valueCount)
  }

  mutating func finished() throws(CNNError) -> Graph {
    for output in source.outputs { _ = try rowMajor(output.value) }
    for update in source.updates { _ = try rowMajor(update.value) }
    return try rewriter.finished()
  }

  // MARK: - Layouts

  /// The value as row-major, converted if need be.
  mutating func rowMajor(_ value: Value) throws(CNNError) -> Value {
    if !isRowMajor[value.index], let (image, tensor) = blocked[value.index] {
      let converted = try rewriter.result.addSingle(
        LeaveBlocks(tensor: tensor, shape: source.type(of: value).shape), [image],
        name: rewriter.result.uniqueName("\(source.name(of: value)).row_major"))
      rewriter.map(value, to: converted)
      isRowMajor[value.index] = true
    }
    return try rewriter.image(of: value)
  }

  /// The value as blocked, converted if need be; nil where it is no image.
  mutating func inBlocks(_ value: Value) throws(CNNError) -> (value: Value, tensor: BlockedTensor)? {
    if let known = blocked[value.index] { return known }
    guard let tensor = Self.tensor(source.type(of: value)) else { return nil }
    let converted = try rewriter.result.addSingle(
      EnterBlocks(tensor: tensor), [rewriter.image(of: value)],
      name: rewriter.result.uniqueName("\(source.name(of: value)).blocked"))
    blocked[value.index] = (converted, tensor)
    return blocked[value.index]
  }

  /// How `[N, H, W, C]`, `[N, L, C]` or `[N, C]` lies in blocks.
  static func tensor(_ type: TensorType) -> BlockedTensor? {
    guard type.element == .float32 else { return nil }
    let shape = type.shape
    switch shape.count {
    case 4: return BlockedTensor(images: shape[0], height: shape[1], width: shape[2], channels: shape[3])
    case 3: return BlockedTensor(images: shape[0], height: 1, width: shape[1], channels: shape[2])
    case 2: return BlockedTensor(images: shape[0], height: 1, width: 1, channels: shape[1])
    default: return nil
    }
  }

  mutating func define(_ value: Value, _ image: Value, _ tensor: BlockedTensor) {
    blocked[value.index] = (image, tensor)
  }

  func isInBlocks(_ value: Value) -> Bool { blocked[value.index] != nil }

  /// Says what a value has become where it stays row-major.
  mutating func defineRowMajor(_ value: Value, _ image: Value) {
    rewriter.map(value, to: image)
    isRowMajor[value.index] = true
  }

  // MARK: - Nodes

  mutating func rewrite(_ node: Node, at position: Int) throws(CNNError) {
    if fusions.absorbed.contains(position) { return }
    if try rewriteToBlocks(node, at: position) { return }
    for operand in node.operands { _ = try rowMajor(operand) }
    try rewriter.copy(node)
    for result in node.results { isRowMajor[result.index] = true }
  }

  /// Rewrites a node for which there are generated kernels, or which does not care where its numbers lie.
  private mutating func rewriteToBlocks(_ node: Node, at position: Int) throws(CNNError) -> Bool {
    let result = node.results[0]
    if let fusion = fusions.byLastNode[position] { return try convolve(fusion, named: node.name, as: result) }
    switch node.operation {
    case let pooling as Pooling2D:
      guard let (x, _) = try inBlocks(node.operands[0]) else { return false }
      let geometry = try pooling.geometry(input: source.type(of: node.operands[0]).shape)
      guard
        let blockedPooling = BlockedPooling(
          geometry, isMaximum: pooling.kind == .max, countsPadding: pooling.countsPadding,
          library: generation.library)
      else { return false }
      define(
        result, try rewriter.result.addSingle(PoolBlocks(pooling: blockedPooling), [x], name: node.name),
        blockedPooling.output)
    case let pooling as GlobalPooling2D where pooling.kind == .average:
      if let mean = means[node.operands[0]] {
        define(result, mean.value, mean.tensor)
        return true
      }
      guard isInBlocks(node.operands[0]), let (x, tensor) = try inBlocks(node.operands[0]) else { return false }
      let operation = AverageBlocks(input: tensor)
      define(result, try rewriter.result.addSingle(operation, [x], name: node.name), operation.output)
    case let activation as Activation where isInBlocks(node.operands[0]):
      guard let (x, tensor) = try inBlocks(node.operands[0]) else { return false }
      let operation: any Operation =
        VectorActivation(activation).map {
          ActivateBlocks(activation: BlockedActivation($0, tensor, library: generation.library), tensor: tensor)
        } ?? activation
      define(result, try rewriter.result.addSingle(operation, [x], name: node.name), tensor)
    case is Add
    where node.operands.allSatisfy(isInBlocks) && source.type(of: node.operands[0]) == source.type(of: node.operands[1]):
      guard let (a, tensor) = try inBlocks(node.operands[0]), let (b, _) = try inBlocks(node.operands[1]) else {
        return false
      }
      define(result, try rewriter.result.addSingle(node.operation, [a, b], name: node.name), tensor)
    case is Multiply:
      let shape = source.type(of: result).shape
      guard shape.count == 4, let image = node.operands.first(where: { source.type(of: $0).shape == shape }),
        let scale = node.operands.first(where: { source.type(of: $0).shape == [shape[0], 1, 1, shape[3]] }),
        shape[1] * shape[2] > 1, isInBlocks(image), let (x, tensor) = try inBlocks(image),
        let (s, _) = try inBlocks(scale)
      else { return false }
      define(result, try rewriter.result.addSingle(ScaleBlocks(tensor: tensor), [x, s], name: node.name), tensor)
    case is Reshape:
      // From an image of one pixel to a row and back nothing moves.
      guard let (x, tensor) = blocked[node.operands[0].index], tensor.height == 1, tensor.width == 1,
        Self.tensor(source.type(of: result)) == tensor
      else { return false }
      define(result, x, tensor)
    default: return try rewriteGradientToBlocks(node)
    }
    return true
  }

  /// Rewrites a convolution or dense layer with what follows it.
  private mutating func convolve(
    _ fusion: ConvolutionFusions.Fusion, named name: String, as result: Value
  ) throws(CNNError) -> Bool {
    if let expansion = fusion.expansion { return try convolve(expansion, then: fusion, named: name, as: result) }
    let node = source.nodes[fusion.convolution]
    if node.operation is Convolution2DInputGradient {
      return try inputGradient(node, adding: fusion.residual, named: name, as: result)
    }
    let geometry = try geometry(of: node)
    guard let (input, layout) = try image(node.operands[0], geometry) else { return false }
    let epilogue = Epilogue(
      hasBias: node.operands.count == 3, addsResidual: fusion.residual != nil, activation: fusion.activation)
    let hasMean = geometry.isChannelwise && fusion.isAveraged
    let convolution = try ConvolutionAlgorithms.plan(
      ConvolutionRequest(
        geometry, input: layout, epilogue: epilogue, accumulatesSum: hasMean, workers: generation.workers),
      library: generation.library)
    var operands = [input]
    operands += try weights(of: node, PackFilter(convolution), biasCount: convolution.biasCount, name)
    if let residual = fusion.residual {
      guard let (value, _) = try inBlocks(residual) else { return false }
      operands.append(value)
    }
    let results = try rewriter.result.add(
      ConvolveBlocks(convolution: convolution, epilogue: epilogue, hasMean: hasMean), operands, name: name)
    define(result, results[0], convolution.output)
    if hasMean { means[result] = (results[1], convolution.mean) }
    return true
  }

  /// What a convolution reads: a blocked tensor, or the few channels of a picture as they come.
  mutating func image(
    _ x: Value, _ geometry: ConvolutionGeometry
  ) throws(CNNError) -> (value: Value, layout: ConvolutionInput)? {
    guard !isInBlocks(x), geometry.inputChannels < 8, geometry.groups == 1 else {
      return try inBlocks(x).map { ($0.value, .blocked) }
    }
    // Pixels are normalised where they are copied.
    if let before = source.node(defining: x), let pixels = before.operation as? NormalizePixels {
      return (
        try rowMajor(before.operands[0]), .picture(.pixel(mean: pixels.pixelMean, deviation: pixels.pixelDeviation))
      )
    }
    return (try rowMajor(x), .picture(.number))
  }

  /// Rewrites a pointwise convolution and the depthwise one that alone reads its result.
  private mutating func convolve(
    _ expansion: ConvolutionFusions.Expansion, then fusion: ConvolutionFusions.Fusion, named name: String,
    as result: Value
  ) throws(CNNError) -> Bool {
    let first = source.nodes[expansion.convolution], second = source.nodes[fusion.convolution]
    guard let (input, _) = try inBlocks(first.operands[0]) else { return false }
    let pair = try ExpandedDepthwise(
      geometry(of: first), epilogue: Epilogue(hasBias: first.operands.count == 3, activation: expansion.activation),
      depthwise: geometry(of: second),
      epilogue: Epilogue(hasBias: second.operands.count == 3, activation: fusion.activation),
      accumulatesSum: fusion.isAveraged, workers: generation.workers, library: generation.library)
    var operands = [input]
    operands += try weights(of: first, PackFilter(expansionOf: pair), biasCount: pair.biasCount, "\(name).expansion")
    operands += try weights(of: second, PackFilter(depthwiseOf: pair), biasCount: pair.biasCount, name)
    let operation = ExpandBlocks(
      pair: pair, hasBiases: [first.operands.count == 3, second.operands.count == 3], hasMean: fusion.isAveraged)
    let results = try rewriter.result.add(operation, operands, name: name)
    define(result, results[0], pair.output)
    if fusion.isAveraged { means[result] = (results[1], pair.mean) }
    return true
  }

  /// The sizes of a convolution, or of a dense layer as one of pixels by themselves.
  func geometry(of node: Node) throws(CNNError) -> ConvolutionGeometry {
    let x = source.type(of: node.operands[0]), weight = source.type(of: node.operands[1]).shape
    if let convolution = node.operation as? Convolution2D { return try convolution.geometry(x.shape, oihw: weight) }
    return try .dense(x, outputs: weight[0])
  }

  /// The packed filter of a convolution, and its packed bias if it has one. A factor of the filter is applied where the
  /// filter is packed.
  private mutating func weights(
    of node: Node, _ packing: PackFilter, biasCount: Int, _ name: String
  ) throws(CNNError) -> [Value] {
    var operands: [Value] = []
    if let scaled = source.node(defining: node.operands[1]), scaled.operation is ScaledFilter {
      for operand in scaled.operands { operands.append(try rowMajor(operand)) }
    } else {
      operands.append(try rowMajor(node.operands[1]))
    }
    var result = [
      try rewriter.result.addSingle(packing, operands, name: rewriter.result.uniqueName("\(name).filter"))
    ]
    if node.operands.count == 3 {
      result.append(
        try rewriter.result.addSingle(
          PackBias(count: biasCount), [rowMajor(node.operands[2])],
          name: rewriter.result.uniqueName("\(name).packed_bias")))
    }
    return result
  }
}

extension Convolution2D {
  /// The kernels' view of the convolution, for a weight in the layout of parameters.
  func geometry(_ input: [Int], oihw weight: [Int]) throws(CNNError) -> ConvolutionGeometry {
    var convolution = self
    convolution.filterLayout = .hwio
    return try convolution.geometry(input: input, weight: FilterLayout.toHWIO.map { weight[$0] })
  }
}

extension ConvolutionGeometry {
  /// A dense layer on rows of this type, which has a `BlockedLayoutPass.tensor`, as a pointwise convolution.
  static func dense(_ x: TensorType, outputs: Int) throws(CNNError) -> ConvolutionGeometry {
    guard let image = BlockedLayoutPass.tensor(x) else {
      throw CNNError(.internalFault, "rows of shape \(describe(x.shape)) have no blocks")
    }
    return try ConvolutionGeometry(
      batch: image.images, inputHeight: image.height, inputWidth: image.width, inputChannels: image.channels,
      outputChannels: outputs, kernelHeight: 1, kernelWidth: 1)
  }
}
