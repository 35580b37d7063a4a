import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// In which element type values lie between steps.
extension Placement {
  /// The element type in which what makes a value writes it, if it can: bfloat16 where that is computed in and one that reads
  /// the value takes it so.
  func storedElement(of value: Value) -> ElementType { storedElements[value.index] }

  /// Finds out for every value, last ones first: what only passes its operand on reads bfloat16 where its result is that.
  mutating func findStoredElements() {
    // Where no product reads bfloat16, what passes would save was measured to be nothing.
    guard precision == .bfloat16, let library,
      library.target.bfloat16Refusal == nil
        || TileConvolution.isPossible(on: library.target) && TilePermission.refusal == nil
    else { return }
    for node in source.nodes.reversed() { node.results.forEach { findStoredElement(of: $0) } }
    for index in 0..<source.valueCount where source.node(defining: Value(index: index)) == nil {
      findStoredElement(of: Value(index: index))
    }
  }

  private mutating func findStoredElement(of value: Value) {
    guard let type = blockedType(value), readers(of: value).contains(where: { readsBFloat16(value, $0) }) else {
      return
    }
    // In training what is stored is most of the time: of few channels half of each block would be empty.
    if source.isOfTraining, let rounded = try? type.with(element: .bfloat16, layout: .blocked()),
      rounded.byteCount >= type.byteCount
    {
      return
    }
    storedElements[value.index] = .bfloat16
  }

  /// The type in blocks in which a value lies, or if it does not yet, in which it will: float32 where it lies row by row, as
  /// the copy into blocks is; nil where it has no blocks.
  func storedType(_ value: Value) throws(CNNError) -> TensorType? {
    if let type = placedTypeInBlocks(value) { return type }
    let element = isPlaced(value) ? .float32 : storedElement(of: value)
    return try blockedType(value)?.with(element: element, layout: .blocked())
  }

  /// The type in blocks of a step's result, in the element type in which it is stored.
  func storedResult(of candidate: Candidate) throws(CNNError) -> TensorType { try storedResult(candidate.result) }

  /// The type in blocks of one of a step's results, in the element type in which it is stored.
  func storedResult(_ result: Value) throws(CNNError) -> TensorType {
    try type(of: result).with(element: storedElement(of: result), layout: .blocked())
  }

  /// Whether one of a node's results is stored as bfloat16: what only passes numbers on then reads them so too.
  func storesBFloat16(anyOf node: Node) -> Bool { node.results.contains { storedElement(of: $0) == .bfloat16 } }

  /// These values in blocks of channels, each as it is stored; nil where one has no blocks.
  func storedReads(_ values: [Value]) throws(CNNError) -> [Offer.Read]? {
    var reads: [Offer.Read] = []
    for value in values {
      guard let type = try storedType(value) else { return nil }
      reads.append(Offer.Read(value: value, type: type))
    }
    return reads
  }

  /// A pass over memory that reads and writes these.
  func pass(_ reads: [Offer.Read], results: [TensorType] = []) -> Offer {
    let byteCount = (reads.map(\.type) + results).reduce(0) { $0 + $1.byteCount }
    return Offer(reads: reads, cycles: CycleModel.pass(byteCount, workers))
  }

  private func readsBFloat16(_ value: Value, _ node: Node) -> Bool {
    let (reader, implementations) = reader(node)
    return implementations.contains { $0.readsBFloat16(value, of: reader, in: self) }
  }

  /// The node in whose step a node reads its operands, and what could compute it from blocks of bfloat16.
  func reader(_ node: Node) -> (node: Node, implementations: [any Implementation]) {
    // A sum that is made in the pass of a convolution is read by that.
    let reader = fusedNode(ofSum: node) ?? node
    // With the depthwise convolution after it a pointwise one is of float32.
    guard !isExpansion(reader), let operation = reader.operation as? any Placeable else { return (reader, []) }
    return (reader, Swift.type(of: operation).implementations)
  }
}
