import CNNCore

extension Graph {
  /// The dense layer that the output comes from, through activations, softmax and dropout at most.
  /// - Throws: `.invalidArgument` where there is none.
  public func classifier() throws(CNNError) -> Node {
    var value = outputs.first?.value
    while let node = value.flatMap(node(defining:)) {
      if node.operation is Dense { return node }
      guard node.operation is Softmax || node.operation is Activation || node.operation is any RandomOperation else {
        break
      }
      value = node.operands.first
    }
    throw CNNError(
      .invalidArgument, "the network does not end in a dense layer; expected one whose classes can be replaced")
  }

  /// The same network with another number of units in its last dense layer, the classifier: its weight and bias keep
  /// name, place and initialiser, and are trainable.
  /// - Throws: `.invalidArgument` for fewer units than 1, or where the network does not end in a dense layer.
  public func replacingClassifier(units: Int) throws(CNNError) -> Graph {
    guard units >= 1 else { throw CNNError(.invalidArgument, "classes is \(units); expected 1 or more") }
    let names = Set(try classifier().operands.compactMap { parameter(defining: $0)?.name })
    var rewriter = try GraphRewriter(
      self,
      newParameter: { old in
        // [units, features] and [units].
        guard names.contains(old.name) else { return old }
        return Parameter(
          name: old.name, shape: [units] + old.shape.dropFirst(), role: old.role, initializer: old.initializer)
      })
    for node in nodes { try rewriter.copy(node) }
    return try rewriter.finished()
  }
}
