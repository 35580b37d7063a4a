import CNNCore
import CNNGraph
import CNNKernels

/// A pooling by generated code. Reads the image as it is stored, and writes the result as those read it who read that, with
/// the border that they want.
struct PoolingInBlocks: Implementation {
  let name = "window"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard let type = try placement.storedType(x), let operation = candidate.node.operation as? Pooling2D else {
      return .withoutBlocks()
    }
    let refusal = BlockedPooling.refusal(
      try operation.geometry(input: type.shape), input: type.element,
      output: resultElement(operation, candidate, type.element, placement), library.target)
    if let refusal { return .refused(refusal) }
    let taps = operation.window.kernel[0] * operation.window.kernel[1]
    let result = placement.type(of: candidate.result).byteCount
    return .offered(
      Offer(
        reads: [Offer.Read(value: x, type: type)],
        cycles: CycleModel.pass(type.byteCount + result * taps / 2, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library, let operation = candidate.node.operation as? Pooling2D else { return }
    let type = placement.imageType(images[0]), border = placement.storedBorder(of: candidate.result)
    let result = try placement.blockedResult(of: candidate).with(
      element: resultElement(operation, candidate, type.element, placement), layout: .blocked(border: border))
    let pooling = try BlockedPooling(
      operation.geometry(input: type.shape), isMaximum: operation.kind == .max,
      countsPadding: operation.countsPadding, input: type.element, output: result.element, border: border,
      library: library)
    try placement.add(
      candidate, images, results: [result],
      recomputation: .again(isCheap: false),
      LoweredOperation(
        cost: StepCost(of: pooling.output),
        kernel: { pooling.run($0.operand(0), into: $0.result(), workers: $0.workers) }))
  }

  /// A maximum of float32 stays that: its gradient looks for it among the numbers of the image.
  private func resultElement(
    _ operation: Pooling2D, _ candidate: Candidate, _ input: ElementType, _ placement: Placement
  ) -> ElementType {
    let isFound = placement.readers(of: candidate.result).contains { $0.operation is Pooling2DGradient }
    return isFound && input == .float32 ? .float32 : placement.storedElement(of: candidate.result)
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    guard let library = placement.library, let operation = node.operation as? Pooling2D,
      let geometry = try? operation.geometry(input: placement.type(of: value).shape)
    else { return false }
    return BlockedPooling.refusal(geometry, input: .bfloat16, library.target) == nil
  }
}

/// The gradient of a pooling. Reads the gradient of the result, and for a maximum the input and the result.
struct PoolingGradientInBlocks: Implementation {
  let name = "window"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let reads = placement.blockedReads(of: candidate.node) else {
      return .withoutBlocks("an operand")
    }
    let byteCount = reads.reduce(placement.type(of: candidate.result).byteCount) { $0 + $1.type.byteCount }
    return .offered(Offer(reads: reads, cycles: 4 * CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? Pooling2DGradient else { return }
    let gradient = try Self.kernel(operation), isMaximum = images.count == 3
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)],
      LoweredOperation(
        cost: StepCost(of: gradient.input),
        kernel: {
          gradient.run(
            $0.operand(0), input: isMaximum ? $0.operand(1) : nil, result: isMaximum ? $0.operand(2) : nil,
            into: $0.result(), workers: $0.workers)
        }))
  }

  /// The kernel of a gradient.
  static func kernel(_ operation: Pooling2DGradient) throws(CNNError) -> BlockedPoolingGradient {
    let pooling = operation.pooling
    return BlockedPoolingGradient(
      try pooling.geometry(input: operation.inputShape), isMaximum: pooling.kind == .max,
      countsPadding: pooling.countsPadding)
  }
}

/// The mean over the pixels that the step before has made beside its result.
struct MeanOfStepBefore: Implementation {
  let name = "step_before"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard (candidate.node.operation as? GlobalPooling2D)?.kind == .average else { return .refused("it is no mean") }
    guard placement.means[candidate.node.operands[0]] != nil else {
      return .refused("what it reads comes without a mean")
    }
    return .offered(Offer(reads: [], cycles: 0))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let mean = placement.means[candidate.node.operands[0]] else { return }
    let type = try placement.blockedResult(of: candidate)
    if placement.imageType(mean) == type { return placement.define(candidate.result, mean) }
    try placement.add(candidate, [mean], results: [type], LoweredOperation(aliasedOperand: 0))
  }
}

/// The mean over the pixels, in float32, of an image as it is stored.
struct GlobalAverageInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard isMean(candidate.node) else { return .refused("it is no mean") }
    guard let type = placement.placedTypeInBlocks(x) else { return .rowMajor() }
    return .offered(
      Offer(reads: [Offer.Read(value: x, type: type)], cycles: CycleModel.pass(type.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let tensor = placement.imageType(images[0]).blocks else { return }
    try placement.add(
      candidate, images, results: [placement.blockedResult(of: candidate)], recomputation: .again(isCheap: false),
      LoweredOperation(cost: StepCost(of: tensor), stream: .sum(.means, of: tensor)))
  }

  func readsBFloat16(_ value: Value, of node: Node, in placement: Placement) -> Bool {
    isMean(node)
  }

  private func isMean(_ node: Node) -> Bool { (node.operation as? GlobalPooling2D)?.kind == .average }
}

/// The gradient of a mean over the pixels: every pixel gets its share.
struct GlobalAverageGradientInBlocks: Implementation {
  let name = "stream"

  let takesEitherElement = true

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard (candidate.node.operation as? GlobalPooling2DGradient)?.pooling.kind == .average else {
      return .refused("it is no mean")
    }
    guard let type = placement.blockedType(candidate.node.operands[0]), placement.blockedType(candidate.result) != nil
    else { return .withoutBlocks("its result") }
    let result = try placement.storedResult(of: candidate)
    return .offered(
      Offer(
        reads: [Offer.Read(value: candidate.node.operands[0], type: type)],
        cycles: CycleModel.pass(result.byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.storedResult(of: candidate)
    guard let tensor = type.blocks else { return }
    try placement.add(
      candidate, images, results: [type],
      LoweredOperation(cost: StepCost(of: tensor), stream: .spreading(over: tensor)))
  }
}

extension Pooling2D {
  static var implementations: [any Implementation] { [PoolingInBlocks(), PortableImplementation()] }
}
extension Pooling2DGradient {
  static var implementations: [any Implementation] { [PoolingGradientInBlocks(), PortableImplementation()] }
}
extension GlobalPooling2D {
  static var implementations: [any Implementation] {
    [MeanOfStepBefore(), GlobalAverageInBlocks(), PortableImplementation()]
  }
}
extension GlobalPooling2DGradient {
  static var implementations: [any Implementation] { [GlobalAverageGradientInBlocks(), PortableImplementation()] }
}
