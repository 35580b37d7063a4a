import CNNCore
import CNNGraph

/// In which element type values lie between steps.
extension Placement {
  /// The element type in which what makes a value writes it, if it can: bfloat16 where that is computed in and one that reads
  /// the value takes it so.
  func storedElement(of value: Value) -> ElementType {
    guard precision == .bfloat16, blockedType(value) != nil else { return .float32 }
    return readers(of: value).contains { readsBFloat16(value, $0) } ? .bfloat16 : .float32
  }

  /// The type in blocks in which a value lies, or if it does not yet, in which it will; nil where it has no blocks.
  func storedType(_ value: Value) throws(CNNError) -> TensorType? {
    if let type = placedTypeInBlocks(value) { return type }
    return try blockedType(value)?.with(element: storedElement(of: value), layout: .blocked())
  }

  /// The type in blocks of a step's result, in the element type in which it is stored.
  func storedResult(of candidate: Candidate) throws(CNNError) -> TensorType {
    try type(of: candidate.result).with(element: storedElement(of: candidate.result), layout: .blocked())
  }

  private func readsBFloat16(_ value: Value, _ node: Node) -> Bool {
    // A sum that is made in the pass of a convolution is read by that.
    let reader = fusedNode(ofSum: node) ?? node
    guard let operation = reader.operation as? any Placeable else { return false }
    return Swift.type(of: operation).implementations.contains { $0.readsBFloat16(value, of: reader, in: self) }
  }
}
