import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// What a graph is placed on: where generated kernels are collected, and what work is divided by.
struct CodeGeneration {
  /// nil where only portable kernels run.
  var library: KernelLibrary?
  let workers: Workers
  /// What is computed in where an implementation is no slower for it.
  var precision = Precision.float32
  /// What is told how each node was placed; nil where nobody asks.
  var report = PlacementLog.printing
}

extension Graph {
  /// Chooses an implementation for every node, and with it layout and element type of every value. Where what reads a value
  /// wants another than what makes it gives, a `Reorder` stands between them.
  func placed(_ generation: CodeGeneration) throws(CNNError) -> Graph {
    var placement = try Placement(self, generation)
    for position in nodes.indices { try placement.place(at: position) }
    return try placement.finished()
  }
}

/// The rewriting: every value of the source has an image in one or several types.
struct Placement {
  let source: Graph
  /// nil where only portable kernels run.
  let library: KernelLibrary?
  let workers: Workers
  let precision: Precision
  let fusions: EpilogueFusions
  private(set) var rewriter: GraphRewriter
  private let consumers: [[Int]]
  /// The images of each value; the first is the one that was made.
  private var images: [[Value]]
  /// The means over the pixels that some implementations give beside their result, by the value that is averaged.
  private(set) var means: [Value: Value] = [:]
  /// The element type in which each value is to be written, if what makes it can.
  var storedElements: [ElementType]
  /// The border of zeros with which each value is to be written, if what makes it can.
  var storedBorders: [BlockedTensor.Border]
  /// The products that masks leave, by the weight that a layer reads.
  let sparseFilters: [Value: SparseFilter]
  private let log: PlacementLog

  init(_ source: Graph, _ generation: CodeGeneration) throws(CNNError) {
    (self.source, library, workers) = (source, generation.library, generation.workers)
    precision = generation.precision
    log = PlacementLog(generation.report)
    let consumers = source.consumers()
    self.consumers = consumers
    let sparseFilters = library.map { source.sparseFilters($0.target) } ?? [:]
    self.sparseFilters = sparseFilters
    fusions = library.map { EpilogueFusions(source, consumers, $0, generation, sparseFilters) } ?? EpilogueFusions()
    rewriter = try GraphRewriter(source)
    images = Array(repeating: [], count: source.valueCount)
    storedElements = Array(repeating: .float32, count: source.valueCount)
    storedBorders = Array(repeating: .none, count: source.valueCount)
    for index in 0..<source.valueCount where source.node(defining: Value(index: index)) == nil {
      images[index] = [try rewriter.image(of: Value(index: index))]
    }
    findStoredElements()
    findStoredBorders()
  }

  mutating func finished() throws(CNNError) -> Graph {
    for value in source.outputs.map(\.value) + source.updates.map(\.value) {
      rewriter.map(value, to: try image(of: value, as: source.type(of: value)))
    }
    return try rewriter.finished()
  }

  // MARK: - Nodes

  /// Places the node at a position, and what precedes it if it is the last of a step.
  mutating func place(at position: Int) throws(CNNError) {
    // These wait until they are computed with what follows them, or somebody reads them after all.
    if fusions.absorbed.contains(position) { return }
    let node = source.nodes[position]
    if let fusion = fusions.byLastNode[position] {
      let candidate = Candidate(source.nodes[fusion.node], fusion, last: node)
      if try place(candidate) { return }
    }
    try placeAlone(node)
  }

  private mutating func placeAlone(_ node: Node) throws(CNNError) {
    guard try place(Candidate(node)) else {
      throw CNNError(.internalFault, "operation '\(node.operation.kind)' ('\(node.name)') has no kernel")
    }
  }

  /// Places a step by the implementation that takes the least time, reorders included; false where all refuse.
  private mutating func place(_ candidate: Candidate) throws(CNNError) -> Bool {
    var candidate = candidate
    do throws(CNNError) {
      guard let operation = candidate.node.operation as? any Placeable else { return false }
      var best: (implementation: any Implementation, offer: Offer)?, lowest = Double.infinity
      var isPossible = false  // In the precision that is asked for.
      log.begin(candidate)
      for implementation in Swift.type(of: operation).implementations {
        switch try implementation.consider(candidate, in: self) {
        case .refused(let reason): log.refused(implementation, reason)
        case .offered(let offer):
          let cycles = offer.cycles + reorderCycles(offer)
          log.offered(implementation, offer.cycles, reorders: cycles - offer.cycles)
          if implementation.precision == precision { isPossible = true }
          if cycles < lowest { (best, lowest) = ((implementation, offer), cycles) }
        }
      }
      guard let (implementation, offer) = best else { return false }
      candidate.choice = Candidate.Choice(
        implementation: implementation.name, cycles: offer.cycles, precision: implementation.precision,
        instruction: implementation.instruction(on: library?.target),
        reason: reason(implementation, lowest, isPossible: isPossible),
        isFaster: isPossible && implementation.precision != precision)
      let text = log.chose(implementation.name)
      var images: [Value] = []
      for read in offer.reads { images.append(try image(of: read.value, as: read.type)) }
      try implementation.place(candidate, reading: images, in: &self)
      log.placed(text, imageTypes(of: candidate.result).first)
      return true
    } catch {
      throw error.prefixed("'\(candidate.node.name)'")
    }
  }

  /// Why an implementation does not compute in the precision that is asked for; empty where it does.
  private func reason(_ implementation: any Implementation, _ cycles: Double, isPossible: Bool) -> String {
    if implementation.precision == precision { return "" }
    guard implementation.takesEitherElement, !isPossible, let target = library?.target else {
      return log.reason(against: precision, chosen: implementation.name, cycles)
    }
    return BFloat16Reorder.isPossible(on: target)
      ? "no layer beside it computes in bfloat16" : "\(target.instructionSet) has no instructions on bfloat16"
  }

  private func reorderCycles(_ offer: Offer) -> Double {
    offer.reads.reduce(0) { sum, read in
      hasImage(of: read.value, as: read.type)
        ? sum
        : sum
          + CycleModel.reorder(
            source.type(of: read.value).byteCount + read.type.byteCount,
            changesElement: isConverted(read.value, to: read.type.element), workers)
    }
  }

  /// Adds the node of a step.
  /// - Parameters:
  ///   - results: the types of the results: first the candidate's, then further ones of its node, then any beside these.
  @discardableResult
  mutating func add(
    _ candidate: Candidate, _ operands: [Value], results: [TensorType], recomputation: Recomputation = .never,
    _ lowered: LoweredOperation
  ) throws(CNNError) -> [Value] {
    var lowered = lowered
    let choice = candidate.choice
    lowered.cost.implementation = choice.implementation
    lowered.cost.cycles = choice.cycles
    (lowered.cost.precision, lowered.cost.instruction) = (choice.precision, choice.instruction)
    lowered.cost.reason = choice.reason
    if choice.precision == .float32, !choice.isFaster,
      operands.contains(where: { imageType($0).element == .bfloat16 })
        || results.contains(where: { $0.element == .bfloat16 })
    {
      // In float32, on images of bfloat16.
      (lowered.cost.precision, lowered.cost.instruction, lowered.cost.reason) = (.bfloat16, "avx512_bf16", "")
    }
    let images = try add(
      candidate.node.operation, by: choice.implementation, operands, results: results,
      recomputation: recomputation.with(lowered.cost), lowered, name: candidate.name)
    define(candidate.result, images[0])
    for (result, image) in zip(candidate.node.results, images).dropFirst() { define(result, image) }
    return images
  }

  /// Adds a node that makes something for a step.
  mutating func add(
    _ operation: any Operation, by implementation: String, _ operands: [Value], results: [TensorType],
    recomputation: Recomputation = .never, _ lowered: LoweredOperation, name: String
  ) throws(CNNError) -> [Value] {
    var lowered = lowered
    if lowered.cost.precision != precision, lowered.cost.reason.isEmpty {
      lowered.cost.reason = "it has no arithmetic of its own"
    }
    return try rewriter.result.add(
      placed(operation, by: implementation, operands, results: results, recomputation: recomputation, lowered),
      operands, name: name)
  }

  /// An operation on operands of the placed graph, of whose types it will be.
  func placed(
    _ operation: any Operation, by implementation: String, _ operands: [Value], results: [TensorType],
    recomputation: Recomputation = .never, _ lowered: LoweredOperation
  ) -> Placed {
    Placed(
      operation: operation, implementation: implementation, operandTypes: operands.map { imageType($0) },
      types: results, lowered: lowered, recomputation: recomputation)
  }

  // MARK: - Values

  /// Says what a value has become.
  mutating func define(_ value: Value, _ image: Value) { images[value.index].insert(image, at: 0) }

  /// Says where the mean over the pixels of a value is.
  mutating func defineMean(of value: Value, _ image: Value) { means[value] = image }

  /// The type of a value of the source.
  func type(of value: Value) -> TensorType { source.type(of: value) }

  /// The type of a value of the placed graph.
  func imageType(_ image: Value) -> TensorType { rewriter.result.type(of: image) }

  /// The type of a value in blocks of channels; nil where it has none.
  func blockedType(_ value: Value) -> TensorType? {
    let type = source.type(of: value)
    let isStored = type.element == .float32 || type.element == .uint8 && type.quantization != nil
    return type.rank >= 2 && isStored ? try? type.with(layout: .blocked()) : nil
  }

  /// All that a node reads in blocks of channels; nil where something has none.
  func blockedReads(of node: Node) -> [Offer.Read]? {
    let types = node.operands.compactMap { blockedType($0) }
    return types.count == node.operands.count
      ? zip(node.operands, types).map { Offer.Read(value: $0, type: $1) } : nil
  }

  /// The types of what a value has become, in the order in which it is looked for.
  func imageTypes(of value: Value) -> [TensorType] { images[value.index].map { imageType($0) } }

  /// The type in blocks of channels in which a value lies already, without the border that it may have; nil where it does
  /// not.
  func placedTypeInBlocks(_ value: Value) -> TensorType? {
    for image in images[value.index] {
      let type = imageType(image)
      if type.layout.border != nil && type.rank >= 2 { return try? type.with(layout: .blocked()) }
    }
    return nil
  }

  /// Whether a value lies in blocks of channels already, of whatever element type.
  func isInBlocks(_ value: Value) -> Bool { placedTypeInBlocks(value) != nil }

  /// The type in blocks of a value that lies in blocks already; nil where it does not.
  func typeInBlocks(_ value: Value) -> TensorType? { isInBlocks(value) ? blockedType(value) : nil }

  /// The type in blocks of a step's result.
  func blockedResult(of candidate: Candidate) throws(CNNError) -> TensorType {
    try source.type(of: candidate.result).with(layout: .blocked())
  }

  /// The nodes of the source that read a value.
  func readers(of value: Value) -> [Node] { consumers[value.index].map { source.nodes[$0] } }

  /// The convolution in whose pass a sum could be made; nil where there is none.
  func fusedNode(ofSum node: Node) -> Node? {
    guard case .node(let position, _) = source.definition(of: node.results[0]) else { return nil }
    return fusions.nodeOfSum[position].map { source.nodes[$0] }
  }

  /// Whether a convolution is made in the pass of the depthwise one that reads it.
  func isExpansion(_ node: Node) -> Bool {
    guard case .node(let position, _) = source.definition(of: node.results[0]) else { return false }
    return fusions.expansions.contains(position)
  }

  /// Whether a value has been computed.
  func isPlaced(_ value: Value) -> Bool { !images[value.index].isEmpty }

  private func hasImage(of value: Value, as type: TensorType) -> Bool { image(value, type) != nil }

  /// Whether a value must be rounded to bfloat16, or widened from it, to be read in an element type.
  private func isConverted(_ value: Value, to element: ElementType) -> Bool {
    let known = images[value.index].map { imageType($0).element }
    let given = known.isEmpty ? [storedElement(of: value)] : known
    return !given.contains(element) && (given + [element]).contains(.bfloat16)
  }

  private func image(_ value: Value, _ type: TensorType) -> Value? {
    images[value.index].first { imageType($0) == type }
  }

  /// What a value has become in this type, reordered if need be.
  mutating func image(of value: Value, as type: TensorType) throws(CNNError) -> Value {
    if let known = image(value, type) { return known }
    if images[value.index].isEmpty, case .node(let position, _) = source.definition(of: value) {
      // It was to be computed with what follows it.
      try placeAlone(source.nodes[position])
      return try image(of: value, as: type)
    }
    let given = images[value.index].map { (image: $0, type: imageType($0)) }
    // What cannot be copied at once becomes something else between.
    guard let start = given.first(where: { Reorder.isPossible(from: $0.type, to: type, library?.target) }) else {
      let own = source.type(of: value)
      let between = [own] + (blockedType(value).map { [$0] } ?? [])
      guard
        let step = between.first(where: { step in
          step != type && Reorder.isPossible(from: step, to: type, library?.target) && !hasImage(of: value, as: step)
            && given.contains { Reorder.isPossible(from: $0.type, to: step, library?.target) || step == own }
        })
      else { throw CNNError(.internalFault, "'\(source.name(of: value))' cannot become \(type)") }
      _ = try image(of: value, as: step)
      return try image(of: value, as: type)
    }
    let name = rewriter.result.uniqueName("\(source.name(of: value)).\(Reorder.suffix(type))")
    var lowered = try Reorder.lower(from: start.type, to: type, library)
    lowered.cost.cycles = CycleModel.reorder(
      start.type.byteCount + type.byteCount, changesElement: start.type.element != type.element, workers)
    // Both forms of an image are not kept until the backward part.
    let image = try add(
      Reorder(to: type), by: "copy", [start.image], results: [type],
      recomputation: .again(isCheap: start.type.element != type.element), lowered, name: name)[0]
    images[value.index].append(image)
    return image
  }

  /// A value as it is in the source.
  mutating func rowMajor(_ value: Value) throws(CNNError) -> Value {
    try image(of: value, as: source.type(of: value))
  }

  /// A name that no node of the placed graph has.
  mutating func uniqueName(_ stem: String) -> String { rewriter.result.uniqueName(stem) }
}
