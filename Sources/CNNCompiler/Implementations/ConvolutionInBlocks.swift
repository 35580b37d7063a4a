import CNNCore
import CNNGraph
import CNNKernels

/// A convolution or dense layer by one of the algorithms on images in blocks of channels, with what follows it. Reads the
/// image, the packed filter, and as the epilogue says the bias and a residual; of depthwise ones, which can sum as they go,
/// the mean over the pixels is a second result. Those read the image as it is stored, too, and write the result as those
/// read it who read that; products read it as what they are of.
struct ConvolutionInBlocks: Implementation {
  let algorithm: any ConvolutionAlgorithm
  /// What it multiplies.
  var precision = Precision.float32

  var name: String { precision == .float32 ? algorithm.name : "\(algorithm.name)_\(precision.rawValue)" }

  var takesEitherElement: Bool { algorithm.readsBFloat16 }

  func instruction(on target: CodeTarget?) -> String {
    precision == .bfloat16 ? "avx512_bf16" : target?.vectorName ?? "portable"
  }

  /// All algorithms, in their order, products of bfloat16 and those with sparse weights before all others.
  static let all: [any Implementation] =
    [
      ConvolutionInBlocks(algorithm: ConvolutionAlgorithms.product, precision: .bfloat16),
      ConvolutionInBlocks(algorithm: ConvolutionAlgorithms.sparse),
    ] + ConvolutionAlgorithms.all.map { ConvolutionInBlocks(algorithm: $0) }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    if precision == .bfloat16, placement.precision != precision { return .refused("the model computes in float32") }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    if let expansion = candidate.fusion.expansion { return .refused(expansion.reason) }
    if let refusal = filterRefusal(candidate.node) { return .refused(refusal) }
    guard placement.blockedType(candidate.node.operands[0]) != nil,
      let (image, request) = try request(candidate, placement)
    else { return .withoutBlocks() }
    if let refusal = refusal(candidate.node, request, library.target) { return .refused(refusal) }
    var reads = [image]
    if let residual = candidate.fusion.residual {
      guard let type = placement.blockedType(residual) else {
        return .withoutBlocks("the residual")
      }
      reads.append(
        Offer.Read(value: residual, type: try type.with(element: request.outputElement, layout: .blocked())))
    }
    return .offered(Offer(reads: reads, cycles: algorithm.cycles(request, library.target)))
  }

  /// What is read, and what the algorithm is asked for.
  private func request(
    _ candidate: Candidate, _ placement: Placement, reading type: TensorType? = nil
  ) throws(CNNError) -> (image: Offer.Read, request: ConvolutionRequest)? {
    let node = candidate.node, geometry = try placement.geometry(of: node)
    guard let (given, layout) = placement.image(node.operands[0], geometry, as: type) else { return nil }
    var image = given
    var request = ConvolutionRequest(
      geometry, input: layout, epilogue: candidate.epilogue,
      accumulatesSum: geometry.isChannelwise && candidate.fusion.mean != nil, workers: placement.workers)
    request.sparseFilter = placement.sparseFilter(of: node)
    if layout == .blocked, precision == .bfloat16 {
      image = Offer.Read(value: image.value, type: try image.type.with(element: .bfloat16, layout: .blocked()))
    } else if layout == .blocked, algorithm.readsBFloat16 {
      let stored: TensorType? = if let type { type } else { try placement.storedType(image.value) }
      image = Offer.Read(value: image.value, type: stored ?? image.type)
    }
    if layout == .blocked { request.inputElement = image.type.element }
    if algorithm.writesBFloat16 { request.outputElement = placement.storedElement(of: candidate.result) }
    return (image, request)
  }

  /// Where that is possible and no slower than what reads float32. Outside of training little is stored, and what is
  /// multiplied in float32 is not rounded for it.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let library = placement.library, algorithm.readsBFloat16 || precision == .bfloat16, node.operands[1] != value,
      filterRefusal(node) == nil, let geometry = try? placement.geometry(of: node)
    else { return false }
    if precision == .float32, !geometry.isChannelwise, !placement.source.isOfTraining { return false }
    var request = ConvolutionRequest(geometry, workers: placement.workers)
    let others = ConvolutionAlgorithms.best(request, library.target)?.cycles(request, library.target) ?? .infinity
    request.inputElement = .bfloat16
    return refusal(node, request, library.target) == nil && algorithm.cycles(request, library.target) <= others
  }

  private func refusal(_ node: Node, _ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    if precision == .bfloat16 {
      if let refusal = bfloat16Refusal(node, request.geometry, target) { return refusal }
      if request.inputElement != .bfloat16 { return "a picture's few channels are multiplied in float32" }
    }
    return algorithm.refusal(request, target)
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library,
      let (_, request) = try request(candidate, placement, reading: placement.imageType(images[0]))
    else { return }
    let convolution = try algorithm.plan(request, library: library), epilogue = request.epilogue
    let mean = request.accumulatesSum ? try candidate.fusion.mean?.with(layout: .blocked()) : nil
    var cost = StepCost(of: request.geometry)
    cost.algorithm = name
    let isRounded = precision == .bfloat16
    if isRounded { cost.rate = 2 * library.target.bfloat16Rate }
    let packing = FilterPackingStep(
      name: "\(cost.algorithm)\(request.elementSuffix) \(cost.shape)", element: isRounded ? .bfloat16 : .float32,
      count: convolution.filterCount * (isRounded ? 2 : 1)
    ) {
      convolution.pack($1, scale: $2, into: $0.result(), workers: $0.workers)
    }
    cost.algorithm += epilogue.suffix
    cost.operations = convolution.operations
    let hasMean = mean != nil
    let results = try placement.addConvolution(
      candidate, images, packing,
      results: [placement.blockedResult(of: candidate).with(element: request.outputElement, layout: .blocked())]
        + (mean.map { [$0] } ?? []),
      workspaceByteCount: convolution.workspaceByteCount, cost: cost
    ) { arguments, bias, residual in
      convolution.run(
        arguments.operand(0), filter: arguments.operand(1), bias: bias, residual: residual, into: arguments.result(0),
        mean: hasMean ? arguments.result(1) : nil, workspace: arguments.workspace, workers: arguments.workers)
    }
    if hasMean { placement.defineMean(of: candidate.result, results[1]) }
  }
}

extension Epilogue {
  /// How profiles call a step with it, behind the step's name.
  var suffix: String { (activation.map { "+\($0)" } ?? "") + (addsResidual ? "+add" : "") }
}

/// Why nothing is generated.
let noGeneratedCode = "no code is generated here"

/// Why generated kernels do not read a node's filter; nil where they do.
func filterRefusal(_ node: Node) -> String? {
  let convolution =
    switch node.operation {
    case let convolution as Convolution2D: convolution
    case let gradient as Convolution2DInputGradient: gradient.convolution
    case let gradient as Convolution2DWeightGradient: gradient.convolution
    default: Convolution2D?.none
    }
  return convolution?.filterLayout == .hwio ? "its filter lies as HWIO" : nil
}

/// Why products of bfloat16 are not used for a node, whatever computes them; nil where they may be. There is little to gain,
/// and what scales whole channels had better be exact.
func bfloat16Refusal(_ node: Node, _ geometry: ConvolutionGeometry) -> String? {
  !node.isDense && geometry.inputHeight * geometry.inputWidth == 1
    ? "convolutions of one pixel, as in squeeze and excitation, are computed in float32" : nil
}

/// The same, or why the target's vectors do not multiply bfloat16, unless that is done by tiles.
func bfloat16Refusal(
  _ node: Node, _ geometry: ConvolutionGeometry, _ target: CodeTarget, usesTiles: Bool = false
) -> String? {
  let own = BFloat16Reorder.isPossible(on: target) ? bfloat16Refusal(node, geometry) : nil
  return own ?? (usesTiles ? nil : target.bfloat16Refusal)
}

extension Node {
  /// Whether it is a dense layer, or a gradient of one.
  fileprivate var isDense: Bool {
    operation is Dense || operation is DenseInputGradient || operation is DenseWeightGradient
  }
}

extension Placement {
  /// Adds the step of a convolution or dense layer, which reads the image, the packed filter, and as the epilogue says the bias
  /// and a residual, in whose place the result may be written.
  /// - Parameters:
  ///   - images: what the offer reads: the image, and the residual.
  ///   - results: the types of the results.
  ///   - packing: of the filter.
  ///   - workspaceByteCount: the bytes it works in.
  ///   - cost: what profiles say of it.
  ///   - run: computes it.
  @discardableResult
  mutating func addConvolution(
    _ candidate: Candidate, _ images: [Value], _ packing: FilterPackingStep, results: [TensorType],
    workspaceByteCount: Int, cost: StepCost,
    _ run:
      @escaping @Sendable (
        _ arguments: StepArguments, _ bias: UnsafePointer<Float>?, _ residual: UnsafeRawPointer?
      ) -> Void
  ) throws(CNNError) -> [Value] {
    let epilogue = candidate.epilogue, residual = epilogue.hasBias ? 3 : 2
    let operands =
      try [images[0]] + weights(of: candidate.node, packing, named: candidate.name) + images.dropFirst()
    return try add(
      candidate, operands, results: results, recomputation: .again(isCheap: false),
      LoweredOperation(
        workspaceByteCount: workspaceByteCount, overwritableOperands: epilogue.addsResidual ? [[residual]] : [],
        cost: cost,
        kernel: {
          run(
            $0, epilogue.hasBias ? $0.operand(2) : nil,
            epilogue.addsResidual ? UnsafeRawPointer($0.operand(residual)) : nil)
        }))
  }

  /// The sizes of a convolution, of floats or of levels, or of a dense layer as one of pixels by themselves.
  func geometry(of node: Node) throws(CNNError) -> ConvolutionGeometry {
    let x = source.type(of: node.operands[0]), weight = source.type(of: node.operands[1]).shape
    let operation = (node.operation as? QuantizedConvolution2D)?.operation ?? node.operation
    if let convolution = operation as? Convolution2D { return try convolution.geometry(x.shape, weight: weight) }
    return try .dense(x, outputs: weight[0])
  }

  /// What a convolution reads: an image in blocks, or the few channels of a picture as they come.
  /// - Parameter type: as what it was offered to be read; nil while it is chosen.
  func image(
    _ x: Value, _ geometry: ConvolutionGeometry, as type: TensorType? = nil
  ) -> (read: Offer.Read, layout: ConvolutionInput)? {
    let isPicture =
      type.map { $0.layout == .rowMajor } ?? (!isInBlocks(x) && geometry.inputChannels < 8 && geometry.groups == 1)
    guard isPicture else {
      return blockedType(x).map { (Offer.Read(value: x, type: $0), .blocked) }
    }
    // Pixels are normalised where they are copied.
    if let before = source.node(defining: x), let pixels = before.operation as? NormalizePixels {
      return (
        Offer.Read(value: before.operands[0], type: self.type(of: before.operands[0])),
        .picture(.pixel(mean: pixels.pixelMean, deviation: pixels.pixelDeviation))
      )
    }
    return (Offer.Read(value: x, type: self.type(of: x)), .picture(.number))
  }
}

extension ConvolutionGeometry {
  /// A dense layer on rows of this type, which has blocks, as a pointwise convolution.
  static func dense(_ x: TensorType, outputs: Int) throws(CNNError) -> ConvolutionGeometry {
    guard let image = x.blocks else {
      throw CNNError(.internalFault, "rows of shape \(describe(x.shape)) have no blocks")
    }
    return try ConvolutionGeometry(
      batch: image.images, inputHeight: image.height, inputWidth: image.width, inputChannels: image.channels,
      outputChannels: outputs, kernelHeight: 1, kernelWidth: 1)
  }
}

extension Convolution2D {
  static var implementations: [any Implementation] {
    [ExpandedDepthwiseInBlocks(), TileConvolutionInBlocks()] + ConvolutionInBlocks.all + [PortableImplementation()]
  }
}
extension Dense {
  static var implementations: [any Implementation] {
    [TileConvolutionInBlocks()] + ConvolutionInBlocks.all + [PortableImplementation()]
  }
}
