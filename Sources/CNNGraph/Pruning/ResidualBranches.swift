import CNNCore

/// What a network adds to a value that it is made of (He et al. 2016, equation 1): without it the value goes on as it is, and
/// the network computes still, as its paths through the other branches do not change (Veit et al. 2016).
public struct ResidualBranch: Sendable, Equatable {
  /// The name of the addition.
  public let addition: String
  /// The names of the convolutions and dense layers that nothing else needs.
  public let layers: [String]
}

extension Graph {
  /// The branches that can be taken away, in the order of the network: each makes some layers needless, and what it is added
  /// to has the shape of the sum.
  public func residualBranches() throws(CNNError) -> [ResidualBranch] {
    func layers(_ graph: Graph) -> [String] {
      graph.nodes.filter { $0.operation.filterAxis != nil }.map(\.name)
    }
    var branches: [ResidualBranch] = []
    for node in nodes where shortcut(of: node) != nil {
      let left = Set(layers(try removingBranches([node.name])))
      let gone = layers(self).filter { !left.contains($0) }
      if !gone.isEmpty { branches.append(ResidualBranch(addition: node.name, layers: gone)) }
    }
    return branches
  }

  /// The network without the branches that end in these additions, and without what only they need.
  public func removingBranches(_ additions: Set<String>) throws(CNNError) -> Graph {
    try rewriting { (rewriter, node) throws(CNNError) in
      if additions.contains(node.name), let shortcut = shortcut(of: node) {
        rewriter.map(node.results[0], to: try rewriter.image(of: shortcut))
        return true
      }
      // What was rectified before the addition need not be again.
      guard let activation = node.operation as? Activation, activation.isIdempotent,
        let sum = self.node(defining: node.operands[0]), additions.contains(sum.name)
      else { return false }
      let image = try rewriter.image(of: node.operands[0])
      guard let before = rewriter.result.node(defining: image), before.operation.isEqual(to: activation) else {
        return false
      }
      rewriter.map(node.results[0], to: image)
      return true
    }.removingDeadNodes().removingDeadParameters()
  }

  /// What a branch is added to: of the operands of an addition the one that the other is made of; nil where neither is, or it
  /// has another shape than the sum.
  private func shortcut(of node: Node) -> Value? {
    guard node.operation is Add, node.operands.count == 2 else { return nil }
    let (first, second) = (node.operands[0], node.operands[1])
    let found = depends(first, on: second) ? second : depends(second, on: first) ? first : nil
    guard let found, shape(of: found) == shape(of: node.results[0]) else { return nil }
    return found
  }

  /// Whether a value is made of another.
  private func depends(_ value: Value, on other: Value) -> Bool {
    guard value != other, parameter(defining: other) == nil else { return false }
    var seen = Set([value]), stack = [value]
    while let next = stack.popLast() {
      for operand in node(defining: next)?.operands ?? [] where operand.index >= other.index {
        if operand == other { return true }
        if seen.insert(operand).inserted { stack.append(operand) }
      }
    }
    return false
  }
}

extension Activation {
  /// Whether to apply it twice is to apply it once.
  fileprivate var isIdempotent: Bool { function == .relu || function == .relu6 }
}
