import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// The gradient of a convolution's or dense layer's input by generated kernels. Reads the gradient of the result, the packed
/// filter, and another gradient of the input where one is added. Depthwise ones read and write their images as they are
/// stored; products read them as what they are of, and write as it is read by those who read that.
struct InputGradientInBlocks: Implementation {
  /// What it multiplies.
  var precision = Precision.float32
  /// Whether by tiles.
  var usesTiles = false

  var name: String { usesTiles ? "tiles" : precision == .float32 ? "blocks" : "blocks_\(precision.rawValue)" }

  func instruction(on target: CodeTarget?) -> String {
    usesTiles ? "amx_bf16" : precision == .bfloat16 ? "avx512_bf16" : target?.vectorName ?? "portable"
  }

  /// Products of bfloat16 first.
  static let all: [any Implementation] = [
    InputGradientInBlocks(precision: .bfloat16, usesTiles: true), InputGradientInBlocks(precision: .bfloat16),
    InputGradientInBlocks(), PortableImplementation(),
  ]

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    if precision == .bfloat16, placement.precision != precision { return .refused("the model computes in float32") }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    if let refusal = filterRefusal(candidate.node) { return .refused(refusal) }
    let dy = candidate.node.operands[0]
    guard let type = placement.blockedType(dy), placement.blockedType(candidate.node.results[0]) != nil
    else { return .withoutBlocks("its result") }
    let geometry = try geometry(candidate.node, placement)
    if let refusal = refusal(candidate.node, geometry, library.target) { return .refused(refusal) }
    let options = try options(candidate, geometry, placement)
    guard let cycles = cycles(geometry, options, placement) else {
      return .refused("there is no kernel for a window of this size")
    }
    var reads = [Offer.Read(value: dy, type: try type.with(element: options.gradient, layout: .blocked()))]
    if let other = candidate.fusion.residual {
      guard let type = placement.blockedType(other) else { return .withoutBlocks("what is added") }
      reads.append(Offer.Read(value: other, type: try type.with(element: options.result, layout: .blocked())))
    }
    return .offered(Offer(reads: reads, cycles: cycles))
  }

  /// What is read and written.
  private func options(
    _ candidate: Candidate, _ geometry: ConvolutionGeometry, _ placement: Placement
  ) throws(CNNError) -> BlockedInputGradient.Options {
    let stored = placement.storedElement(of: candidate.result)
    if precision == .bfloat16 { return .init(gradient: .bfloat16, result: stored, arithmetic: arithmetic) }
    // Not all that computes in float32 reads bfloat16, or writes it.
    let given = try placement.storedType(candidate.node.operands[0])?.element ?? .float32
    let ways = [given, .float32].flatMap { gradient in
      [stored, .float32].map { BlockedInputGradient.Options(gradient: gradient, result: $0) }
    }
    let costs = ways.map { cycles(geometry, $0, placement) ?? .infinity }
    return zip(ways, costs).min { $0.1 < $1.1 }?.0 ?? .init()
  }

  private var arithmetic: BlockedInputGradient.Options.Arithmetic {
    usesTiles ? .tiles : precision == .bfloat16 ? .bfloat16 : .float32
  }

  private func cycles(
    _ geometry: ConvolutionGeometry, _ options: BlockedInputGradient.Options, _ placement: Placement
  ) -> Double? {
    guard let target = placement.library?.target else { return nil }
    return try? BlockedInputGradient.cycles(geometry, options, workers: placement.workers, target)
  }

  /// Of depthwise ones where the result is that too, and of others where that is no slower than what reads float32, as they do
  /// for another gradient that is added.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let target = placement.library?.target, node.operands[1] != value, filterRefusal(node) == nil,
      let geometry = try? geometry(node, placement)
    else { return false }
    if precision == .float32, geometry.isChannelwise {
      return node.operands[0] == value && placement.storesBFloat16(anyOf: node)
    }
    if node.operands[0] != value {
      let sums = placement.readers(of: value).filter { placement.fusedNode(ofSum: $0)?.results == node.results }
      guard sums.contains(where: placement.storesBFloat16) else { return false }
    }
    guard refusal(node, geometry, target) == nil,
      let rounded = cycles(geometry, .init(gradient: .bfloat16, arithmetic: arithmetic), placement)
    else { return false }
    return rounded <= cycles(geometry, .init(), placement) ?? .infinity
  }

  private func refusal(_ node: Node, _ geometry: ConvolutionGeometry, _ target: CodeTarget) -> String? {
    guard precision == .bfloat16 else { return nil }
    if geometry.isChannelwise { return "every channel has a filter of its own, which is no product" }
    return bfloat16Refusal(node, geometry, target, usesTiles: usesTiles) ?? (usesTiles ? TilePermission.refusal : nil)
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let node = candidate.node, geometry = try geometry(node, placement)
    let options = BlockedInputGradient.Options(
      gradient: placement.imageType(images[0]).element,
      result: try self.options(candidate, geometry, placement).result, arithmetic: arithmetic)
    guard let library = placement.library,
      let gradient = try BlockedInputGradient(
        geometry, options, addsResidual: images.count == 2, workers: placement.workers, library: library)
    else { throw CNNError(.internalFault, "the gradient of an input has no kernels") }
    var cost = StepCost(of: geometry)
    let isRounded = precision == .bfloat16
    if usesTiles { cost.unit = .tiles } else if isRounded { cost.rate = 2 * library.target.bfloat16Rate }
    let packing = FilterPackingStep(
      name: "input gradient\(isRounded ? " \(name)" : "") \(cost.shape)",
      element: isRounded ? .bfloat16 : .float32, count: gradient.filterCount * (isRounded ? 2 : 1),
      workspaceByteCount: gradient.packingByteCount
    ) { arguments, weight, _ in
      gradient.pack(weight, into: arguments.result(), workspace: arguments.workspace, workers: arguments.workers)
    }
    let filter = try placement.packed(
      packing, [filter(node.operands[1], for: node, &placement)], shape: placement.type(of: node.operands[1]).shape,
      named: placement.uniqueName("\(node.name).filter"))
    cost.algorithm = "input gradient" + (gradient.algorithm.map { " \($0)" } ?? "")
    if gradient.addsResidual { cost.algorithm += "+add" }
    cost.operations = gradient.operations
    try placement.add(
      candidate, [images[0], filter] + images.dropFirst(),
      results: [placement.blockedResult(of: candidate).with(element: options.result, layout: .blocked())],
      LoweredOperation(
        workspaceByteCount: gradient.workspaceByteCount, overwritableOperands: gradient.addsResidual ? [[2]] : [],
        cost: cost,
        kernel: {
          gradient.run(
            $0.operand(0), filter: $0.operand(1),
            residual: gradient.addsResidual ? UnsafeRawPointer($0.operand(2)) : nil, into: $0.result(),
            workspace: $0.workspace, workers: $0.workers)
        }))
  }

  private func geometry(_ node: Node, _ placement: Placement) throws(CNNError) -> ConvolutionGeometry {
    let weight = placement.type(of: node.operands[1]).shape
    if let operation = node.operation as? Convolution2DInputGradient {
      return try operation.convolution.geometry(operation.inputShape, weight: weight)
    }
    return try .dense(placement.type(of: node.results[0]), outputs: weight[0])
  }

  /// The filter that a gradient reads. One with a factor is made again, rather than kept from the forward pass, which packs
  /// it at once.
  private func filter(_ filter: Value, for node: Node, _ placement: inout Placement) throws(CNNError) -> Value {
    guard let scaled = placement.source.node(defining: filter), let operation = scaled.operation as? ScaledFilter else {
      return try placement.rowMajor(filter)
    }
    let types = LoweringTypes(
      operands: scaled.operands.map { placement.type(of: $0) }, results: [placement.type(of: filter)])
    var operands: [Value] = []
    for operand in scaled.operands { operands.append(try placement.rowMajor(operand)) }
    return try placement.add(
      operation, by: "portable", operands, results: types.results, operation.portable(types),
      name: placement.uniqueName("\(node.name).scaled"))[0]
  }
}

/// The gradient of a convolution's or dense layer's filter by one of the algorithms, row-major as the parameter. Reads the
/// image, and the gradient of the result: those that can read either type as they are stored, products as what they are of.
struct WeightGradientInBlocks: Implementation {
  let algorithm: any WeightGradientAlgorithm
  /// What it multiplies.
  var precision = Precision.float32

  var name: String {
    precision == .float32 || algorithm.usesTiles ? algorithm.name : "\(algorithm.name)_\(precision.rawValue)"
  }

  var takesEitherElement: Bool { algorithm.readsBFloat16 }

  func instruction(on target: CodeTarget?) -> String {
    if precision == .bfloat16 { return algorithm.usesTiles ? "amx_bf16" : "avx512_bf16" }
    return target?.vectorName ?? "portable"
  }

  /// All algorithms, in their order, products of bfloat16 before all others.
  static let all: [any Implementation] =
    WeightGradientAlgorithms.ofBFloat16.map { WeightGradientInBlocks(algorithm: $0, precision: .bfloat16) }
    + WeightGradientAlgorithms.all.map { WeightGradientInBlocks(algorithm: $0) }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    if precision == .bfloat16, placement.precision != precision { return .refused("the model computes in float32") }
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    if let refusal = filterRefusal(candidate.node) { return .refused(refusal) }
    let operands = candidate.node.operands, geometry = try geometry(candidate.node, placement)
    guard placement.blockedType(operands[0]) != nil, let (given, layout) = placement.image(operands[0], geometry),
      let gradient = try read(operands[1], placement)
    else { return .withoutBlocks() }
    let image = layout == .blocked ? try read(given.value, placement) ?? given : given
    let request = request(geometry, layout, reading: [image.type, gradient.type], placement)
    if let refusal = refusal(candidate.node, request, library.target) { return .refused(refusal) }
    return .offered(Offer(reads: [image, gradient], cycles: algorithm.cycles(request, library.target)))
  }

  /// How a value in blocks is read; nil where it has none.
  private func read(_ value: Value, _ placement: Placement) throws(CNNError) -> Offer.Read? {
    let stored = algorithm.readsBFloat16 ? try placement.storedType(value) : placement.blockedType(value)
    guard let stored else { return nil }
    let element = precision == .bfloat16 ? .bfloat16 : stored.element
    return Offer.Read(value: value, type: try stored.with(element: element, layout: .blocked()))
  }

  /// What the algorithm is asked for where it reads these types.
  private func request(
    _ geometry: ConvolutionGeometry, _ layout: ConvolutionInput, reading types: [TensorType], _ placement: Placement
  ) -> WeightGradientRequest {
    WeightGradientRequest(
      geometry, input: layout, inputElement: layout == .blocked ? types[0].element : .float32,
      gradientElement: types[1].element, workers: placement.workers)
  }

  private func refusal(_ node: Node, _ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    if precision == .bfloat16,
      let refusal = bfloat16Refusal(node, request.geometry, target, usesTiles: algorithm.usesTiles)
    {
      return refusal
    }
    // The system is asked for tiles where they would be used.
    return algorithm.refusal(request, target) ?? (algorithm.usesTiles ? TilePermission.refusal : nil)
  }

  /// Where that is possible and no slower than what reads float32.
  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let library = placement.library, algorithm.readsBFloat16 || precision == .bfloat16,
      filterRefusal(node) == nil, let geometry = try? geometry(node, placement),
      let (_, layout) = placement.image(node.operands[0], geometry), layout == .blocked || value == node.operands[1]
    else { return false }
    var request = WeightGradientRequest(geometry, input: layout, workers: placement.workers)
    let others =
      WeightGradientAlgorithms.best(request, library.target)?.cycles(request, library.target) ?? .infinity
    if layout == .blocked { request.inputElement = .bfloat16 }
    request.gradientElement = .bfloat16
    return refusal(node, request, library.target) == nil && algorithm.cycles(request, library.target) <= others
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let geometry = try geometry(candidate.node, placement)
    guard let library = placement.library,
      let (_, layout) = placement.image(
        candidate.node.operands[0], geometry, as: placement.imageType(images[0]))
    else { return }
    let request = request(geometry, layout, reading: images.map { placement.imageType($0) }, placement)
    let gradient = try algorithm.plan(request, library: library)
    var cost = StepCost(of: geometry)
    cost.algorithm = "weight gradient \(name)"
    if algorithm.usesTiles {
      cost.unit = .tiles
    } else if precision == .bfloat16 {
      cost.rate = 2 * library.target.bfloat16Rate
    }
    cost.operations = gradient.operations
    try placement.add(
      candidate, images, results: [placement.type(of: candidate.result)],
      LoweredOperation(
        workspaceByteCount: gradient.workspaceByteCount, cost: cost,
        kernel: {
          gradient.run(
            $0.operand(0), gradient: $0.operand(1), into: $0.result(), workspace: $0.workspace, workers: $0.workers)
        }))
  }

  private func geometry(_ node: Node, _ placement: Placement) throws(CNNError) -> ConvolutionGeometry {
    let x = placement.type(of: node.operands[0])
    if let operation = node.operation as? Convolution2DWeightGradient {
      return try operation.convolution.geometry(x.shape, weight: operation.weightShape)
    }
    return try .dense(x, outputs: placement.type(of: node.results[0]).shape[0])
  }
}

extension Convolution2DInputGradient {
  static var implementations: [any Implementation] { InputGradientInBlocks.all }
}
extension DenseInputGradient {
  static var implementations: [any Implementation] { InputGradientInBlocks.all }
}
extension Convolution2DWeightGradient {
  static var implementations: [any Implementation] { WeightGradientInBlocks.all + [PortableImplementation()] }
}
extension DenseWeightGradient {
  static var implementations: [any Implementation] { WeightGradientInBlocks.all + [PortableImplementation()] }
}
