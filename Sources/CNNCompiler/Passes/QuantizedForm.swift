import CNNCore
import CNNGraph
import CNNKernels

extension Graph {
  /// Computes in integers what lies between roundings to levels: a network in which tensors and weights pass through
  /// `FakeQuantize` becomes one of bytes. Whether something does depends on the network alone, so the integers are the same on
  /// every processor.
  ///
  /// A step is a convolution or dense layer with the addition, the activation and the rounding that follow it, a sum, a
  /// product, a pooling or a function by itself. What stands between such steps and is none stays in floats: an island.
  func quantizedForm() throws(CNNError) -> Graph {
    guard nodes.contains(where: { $0.operation is FakeQuantize }) else { return self }
    let source = try withoutScalesOfChannels().roundingBeforeMoves()
    guard source.nodes.contains(where: { ($0.operation as? FakeQuantize)?.byteLevels != nil }) else { return self }
    var form = try QuantizedForm(source)
    for position in source.nodes.indices { try form.add(position) }
    return try form.finished().removingDeadNodes()
  }
}

/// The rewriting.
private struct QuantizedForm {
  let source: Graph
  private let steps: QuantizedSteps
  private var rewriter: GraphRewriter
  /// The levels that a value of the source has become; what is computed in floats has none.
  private var integers: [Value?]

  init(_ source: Graph) throws(CNNError) {
    self.source = source
    steps = QuantizedSteps(source)
    rewriter = try GraphRewriter(source)
    integers = Array(repeating: nil, count: source.valueCount)
    for index in 0..<source.valueCount where source.node(defining: Value(index: index)) == nil {
      floats.insert(index)
    }
  }

  /// The values that have become floats.
  private var floats: Set<Int> = []

  mutating func add(_ position: Int) throws(CNNError) {
    if steps.absorbed.contains(position) { return }
    let node = source.nodes[position]
    guard let step = steps.byLastNode[position] else {
      for operand in node.operands { try makeFloat(operand) }
      try rewriter.copy(node)
      node.results.forEach { floats.insert($0.index) }
      return
    }
    let result = node.results[0]
    switch step {
    case .same(let operand): integers[result.index] = integers[operand.index]
    case .pixels(let levels):
      if let pixels = source.pixels(behind: node.operands[0], levels) {
        integers[result.index] = try add(QuantizedPixels(levels: levels), [rewriter.image(of: pixels)], node)
      } else {
        try makeFloat(node.operands[0])
        integers[result.index] = try add(
          QuantizePixels(levels: levels), [rewriter.image(of: node.operands[0])], node)
      }
    case .quantized(let levels):
      try makeFloat(node.operands[0])
      integers[result.index] = try add(Quantize(levels), [rewriter.image(of: node.operands[0])], node)
    case .operation(let operation, let operands, let constants):
      var images: [Value] = []
      for operand in operands {
        if constants.contains(operand) {
          try makeFloat(operand)
          images.append(try rewriter.image(of: operand))
        } else if let levels = integers[operand.index] {
          images.append(levels)
        } else {
          throw CNNError(.internalFault, "'\(source.name(of: operand))' has no levels")
        }
      }
      let image = try add(operation, images, node)
      if rewriter.result.type(of: image).element == .float32 {
        rewriter.map(result, to: image)
        floats.insert(result.index)
      } else {
        integers[result.index] = image
      }
    }
  }

  private mutating func add(
    _ operation: any Operation, _ operands: [Value], _ node: Node
  ) throws(CNNError) -> Value {
    try rewriter.result.addSingle(operation, operands, name: node.name)
  }

  /// Makes floats of a value where it has levels alone.
  private mutating func makeFloat(_ value: Value) throws(CNNError) {
    guard !floats.contains(value.index), let image = integers[value.index] else { return }
    let name = rewriter.result.uniqueName("\(source.name(of: value)).float")
    if let levels = steps.levels(of: value) {
      rewriter.map(value, to: try rewriter.result.addSingle(Dequantize(levels), [image], name: name))
    } else if let levels = steps.pixels[value] {
      rewriter.map(value, to: try rewriter.result.addSingle(DequantizePixels(levels: levels), [image], name: name))
    }
    floats.insert(value.index)
  }

  consuming func finished() throws(CNNError) -> Graph {
    for value in source.outputs.map(\.value) + source.updates.map(\.value) { try makeFloat(value) }
    return try rewriter.finished()
  }
}

/// What is computed in integers.
struct QuantizedSteps {
  /// One step, by the position of its last node.
  enum Step {
    /// The operand's levels as they are.
    case same(Value)
    /// The levels of floats.
    case quantized(ByteLevels)
    /// The pixels of a picture.
    case pixels(PixelLevels)
    /// An operation on levels; those of its operands that are `constants` are floats.
    case operation(any Operation, [Value], constants: [Value])
  }

  private let graph: Graph
  private let consumers: [[Int]]
  private(set) var byLastNode: [Int: Step] = [:]
  /// The nodes before the last one of a step.
  private(set) var absorbed: Set<Int> = []
  /// The levels that values have.
  private var levels: [ByteLevels?]
  /// The levels of pixels.
  private(set) var pixels: [Value: PixelLevels] = [:]
  /// Whether a value depends on parameters alone.
  private var isConstant: [Bool]

  init(_ graph: Graph) {
    self.graph = graph
    consumers = graph.consumers()
    levels = Array(repeating: nil, count: graph.valueCount)
    isConstant = (0..<graph.valueCount).map { graph.parameter(defining: Value(index: $0)) != nil }
    // First what is known of every value, so that a residual that is computed later is known as well.
    for node in graph.nodes {
      if !node.operands.isEmpty, node.operands.allSatisfy({ isConstant[$0.index] }) {
        node.results.forEach { isConstant[$0.index] = true }
      } else {
        levels[node.results[0].index] = knownLevels(node)
      }
    }
    findPixels()
    for position in graph.nodes.indices { find(position) }
    // What is left gives floats that nobody rounds, as the network's scores.
    for (position, node) in graph.nodes.enumerated() where !absorbed.contains(position) {
      if byLastNode[position] == nil, let step = product(node, nil, nil, nil) ?? mean(node) {
        byLastNode[position] = step
      }
    }
  }

  /// The levels that a value has; nil where it is floats.
  func levels(of value: Value) -> ByteLevels? { levels[value.index] }

  private func knownLevels(_ node: Node) -> ByteLevels? {
    switch node.operation {
    case let rounding as FakeQuantize: rounding.byteLevels
    case let operation where operation.movesElements: levels[node.operands[0].index]
    default: nil
    }
  }

  private mutating func find(_ position: Int) {
    let node = graph.nodes[position]
    guard let levels = levels[node.results[0].index] else { return }
    byLastNode[position] = node.operation is FakeQuantize ? rounding(position, levels) : moved(node, levels)
  }

  /// Finds pictures, and images that are rounded like these, that convolutions alone read.
  private mutating func findPixels() {
    for (position, node) in graph.nodes.enumerated() {
      guard let levels = (node.operation as? FakeQuantize)?.pixelLevels else { continue }
      let result = node.results[0]
      pixels[result] = levels
      let readers = consumers[result.index].map { graph.nodes[$0] }
      guard !graph.isKept(result), graph.type(of: result).rank == 4,
        readers.allSatisfy({ readsPixels($0, levels) })
      else {
        pixels[result] = nil
        continue
      }
      byLastNode[position] = .pixels(levels)
      if let (step, chain) = ofChannels(node.operands[0], levels) {
        absorbed.formUnion(chain)
        byLastNode[position] = step
      }
    }
  }

  /// Whether a node is a convolution of levels with a zero point for each channel, of all of them or of each by itself.
  private func readsPixels(_ node: Node, _ levels: PixelLevels) -> Bool {
    guard let convolution = node.operation as? Convolution2D else { return false }
    let isDepthwise = convolution.groups == levels.zeroPoints.count && convolution.groups > 1
    return (isDepthwise || convolution.groups == 1)
      && product(node, nil, nil, isDepthwise ? ByteLevels(scale: 1, zeroPoint: 0) : nil) != nil
  }

  /// The step that ends in a rounding with a zero point for each channel, behind a scale for each.
  private func ofChannels(_ value: Value, _ levels: PixelLevels) -> (Step, [Int])? {
    guard let last = nodeBefore(value), let scale = (graph.nodes[last].operation as? Rescaling)?.scaleOfChannels,
      let before = nodeBefore(graph.nodes[last].operands[0]), scale.count == levels.zeroPoints.count
    else { return nil }
    let activation = graph.nodes[before].operation as? Activation
    // What the limits of levels are else, and nothing, as functions.
    let function: ExactActivation? =
      switch activation?.function {
      case nil: .leakyRelu(alpha: 1)
      case .relu: .leakyRelu(alpha: 0)
      case let other?: ExactActivation(other, constants: activation?.constants ?? [])
      }
    guard let function,
      let convolution = activation == nil ? before : nodeBefore(graph.nodes[before].operands[0]),
      let step = product(
        graph.nodes[convolution], nil, function, ByteLevels(scale: levels.scale, zeroPoint: 0),
        scale.map { Float($0) / levels.scale }, levels)
    else { return nil }
    return (step, [convolution, before, last])
  }

  /// What only moves levels.
  private func moved(_ node: Node, _ levels: ByteLevels) -> Step? {
    let operands = node.operands
    if node.operation is Reshape || node.operation is Permute {
      return .operation(QuantizedMove(operation: node.operation, levels: levels), operands, constants: [])
    }
    return .operation(
      QuantizedPooling2D(pooling: node.operation, input: levels, result: nil), operands, constants: [])
  }

  /// What a rounding ends.
  private mutating func rounding(_ position: Int, _ levels: ByteLevels) -> Step {
    let operand = graph.nodes[position].operands[0]
    if let known = self.levels[operand.index] {
      if known == levels { return .same(operand) }
      return .operation(QuantizedFunction(nil, known, levels), [operand], constants: [])
    }
    guard let before = nodeBefore(operand) else { return .quantized(levels) }
    if let (step, chain) = self.step(before, levels) {
      absorbed.formUnion(chain)
      return step
    }
    return .quantized(levels)
  }

  /// The step whose last node before the rounding is the one at a position, and its nodes.
  private func step(_ last: Int, _ levels: ByteLevels, inverses: [Float] = []) -> (Step, [Int])? {
    let node = graph.nodes[last]
    if let scale = (node.operation as? Rescaling)?.scaleOfChannels, inverses.isEmpty {
      guard let before = nodeBefore(node.operands[0]), graph.nodes[before].operation is Activation,
        let (step, chain) = self.step(before, levels, inverses: scale.map { Float($0) * levels.inverse })
      else { return nil }
      return (step, chain + [last])
    }
    guard let activation = node.operation as? Activation else {
      return plain(last, nil, levels)
    }
    if let known = self.levels[node.operands[0].index], inverses.isEmpty {
      return (.operation(QuantizedFunction(activation, known, levels), node.operands, constants: []), [last])
    }
    guard let before = nodeBefore(node.operands[0]), let (step, chain) = plain(before, activation, levels, inverses)
    else {
      return nil
    }
    return (step, chain + [last])
  }

  /// A step without its activation.
  private func plain(
    _ last: Int, _ activation: Activation?, _ levels: ByteLevels, _ inverses: [Float] = []
  ) -> (Step, [Int])? {
    let node = graph.nodes[last]
    var limited = levels, function: ExactActivation?
    if let activation {
      if let limits = levels.limited(by: activation) {
        limited = limits
      } else {
        guard let exact = ExactActivation(activation.function, constants: activation.constants) else { return nil }
        function = exact
      }
    }
    // Limits of the levels would be others in each channel.
    if function == nil && !inverses.isEmpty { return nil }
    if let step = product(node, nil, function, limited, inverses) { return (step, [last]) }
    if node.operation is Add {
      for (index, operand) in node.operands.enumerated().reversed() {
        let other = node.operands[1 - index]
        guard other != operand, self.levels[other.index] != nil,
          graph.type(of: other).shape == graph.type(of: operand).shape, let before = nodeBefore(operand),
          let step = product(graph.nodes[before], other, function, limited, inverses)
        else { continue }
        return (step, [before, last])
      }
    }
    guard function == nil else { return nil }
    return combination(node, limited).map { ($0, [last]) }
  }

  /// A convolution or dense layer.
  private func product(
    _ node: Node, _ residual: Value?, _ function: ExactActivation?, _ result: ByteLevels?, _ inverses: [Float] = [],
    _ resultPixels: PixelLevels? = nil
  ) -> Step? {
    guard node.operation is Convolution2D || node.operation is Dense, node.operands.count >= 2,
      let input = levels[node.operands[0].index]
        ?? pixels[node.operands[0]].flatMap({ ByteLevels(scale: $0.scale, zeroPoint: 0) }),
      let rounding = graph.node(defining: node.operands[1]),
      let weight = (rounding.operation as? FakeQuantize)?.weightLevels, isConstant[node.operands[1].index],
      node.operands.dropFirst(2).allSatisfy({ isConstant[$0.index] })
    else { return nil }
    let shape = graph.type(of: node.operands[1]).shape
    guard shape.dropFirst().reduce(1, *) <= QuantizedFilter.largestDepth,
      (node.operation as? Convolution2D)?.filterLayout ?? .oihw == .oihw
    else { return nil }
    // There is code for integer sums of single channels where these become levels alone.
    if result == nil, let convolution = node.operation as? Convolution2D,
      convolution.groups == shape[0] && shape[1] == 1
    {
      return nil
    }
    let constants = [rounding.operands[0]] + node.operands.dropFirst(2)
    return .operation(
      QuantizedConvolution2D(
        operation: node.operation, input: input, pixels: pixels[node.operands[0]], weight: weight,
        hasBias: node.operands.count == 3,
        residual: residual.flatMap(levels(of:)), function: function, result: result,
        inverses: inverses, resultPixels: resultPixels),
      [node.operands[0]] + constants + (residual.map { [$0] } ?? []), constants: constants)
  }

  /// A sum, a product or a mean.
  private func combination(_ node: Node, _ result: ByteLevels) -> Step? {
    var known: [ByteLevels] = []
    for operand in node.operands {
      guard let levels = levels[operand.index] else { return nil }
      known.append(levels)
    }
    let types = node.operands.map(graph.type)
    switch node.operation {
    case is Add where types[0].shape == types[1].shape:
      return .operation(QuantizedAdd(a: known[0], b: known[1], result: result), node.operands, constants: [])
    case is Multiply where types[0].shape == types[1].shape || isSpatialBroadcast(types[1].shape, over: types[0].shape):
      return .operation(QuantizedMultiply(a: known[0], b: known[1], result: result), node.operands, constants: [])
    case is Multiply where isSpatialBroadcast(types[0].shape, over: types[1].shape):
      return .operation(
        QuantizedMultiply(a: known[1], b: known[0], result: result), node.operands.reversed(), constants: [])
    case let concatenate as Concatenate:
      return .operation(
        QuantizedConcatenate(concatenate: concatenate, inputs: known, result: result), node.operands, constants: [])
    case let pooling as Pooling2D where pooling.kind == .average && pooling.window.kernel.reduce(1, *) <= largestCount:
      return .operation(
        QuantizedPooling2D(pooling: pooling, input: known[0], result: result), node.operands, constants: [])
    case let pooling as GlobalPooling2D
    where pooling.kind == .average && types[0].shape[1] * types[0].shape[2] <= largestCount:
      return .operation(
        QuantizedPooling2D(pooling: pooling, input: known[0], result: result), node.operands, constants: [])
    default: return nil
    }
  }

  /// The mean of all levels of a channel, as a float.
  private func mean(_ node: Node) -> Step? {
    guard let pooling = node.operation as? GlobalPooling2D, pooling.kind == .average,
      let levels = levels[node.operands[0].index],
      graph.type(of: node.operands[0]).shape[1...2].reduce(1, *) <= largestCount
    else { return nil }
    return .operation(
      QuantizedPooling2D(pooling: pooling, input: levels, result: nil, givesFloats: true), node.operands, constants: [])
  }

  private var largestCount: Int { QuantizedMean.largestCount }

  /// The node that makes a value which one node alone reads and nobody sees.
  private func nodeBefore(_ value: Value) -> Int? {
    guard onlyReader(value) != nil, case .node(let position, _) = graph.definition(of: value),
      !absorbed.contains(position)
    else { return nil }
    return position
  }

  private func onlyReader(_ value: Value) -> Int? {
    consumers[value.index].count == 1 && !graph.isKept(value) ? consumers[value.index][0] : nil
  }
}

extension Activation {
  /// Whether it only limits what it is given.
  var onlyLimits: Bool { limits != nil }

  /// Its limits, where it only limits.
  var limits: (lowest: Double, highest: Double)? {
    switch function {
    case .relu: (0, .infinity)
    case .relu6: (0, 6)
    case .clip: (constants[0], constants[1])
    default: nil
    }
  }
}

extension Rescaling {
  /// What each channel is multiplied by, where nothing is added.
  fileprivate var scaleOfChannels: [Double]? { scale.count > 1 && offset == [0] ? scale : nil }
}

extension ByteLevels {
  /// The levels that are left where an activation only limits what it is given; nil for others.
  fileprivate func limited(by activation: Activation) -> ByteLevels? {
    activation.limits.flatMap { limits in
      ByteLevels(
        scale: scale, zeroPoint: zeroPoint, minimum: max(minimum, level(of: Float(limits.lowest))),
        maximum: min(maximum, level(of: Float(limits.highest))))
    }
  }
}
