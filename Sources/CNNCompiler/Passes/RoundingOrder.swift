import CNNCore
import CNNGraph

extension Graph {
  /// Rounds before elements are moved, not afterwards, so that the step that computes them rounds: a reshape and the largest
  /// of a window give the same levels either way.
  func roundingBeforeMoves() throws(CNNError) -> Graph {
    let consumers = consumers()
    func onlyReader(_ value: Value) -> Bool { consumers[value.index].count == 1 && !isKept(value) }
    /// The moves between what is computed and a rounding, the first one first.
    func moves(before rounding: Node) -> [Int] {
      var result: [Int] = [], value = rounding.operands[0]
      while onlyReader(value), case .node(let position, _) = definition(of: value),
        nodes[position].operation.movesElements,
        onlyReader(nodes[position].operands[0])
      {
        result.append(position)
        value = nodes[position].operands[0]
      }
      return result.reversed()
    }
    var chains: [Int: [Int]] = [:]
    for (position, node) in nodes.enumerated() {
      guard let rounding = node.operation as? FakeQuantize, rounding.byteLevels != nil else { continue }
      let chain = moves(before: node)
      if !chain.isEmpty { chains[position] = chain }
    }
    if chains.isEmpty { return self }
    let moved = Set(chains.values.joined())
    var rewriter = try GraphRewriter(self)
    for (position, node) in nodes.enumerated() where !moved.contains(position) {
      guard let chain = chains[position], let first = chain.first else {
        try rewriter.copy(node)
        continue
      }
      var image = try rewriter.result.addSingle(
        node.operation, [rewriter.image(of: nodes[first].operands[0])], name: node.name)
      for move in chain {
        image = try rewriter.result.addSingle(nodes[move].operation, [image], name: nodes[move].name)
      }
      rewriter.map(node.results[0], to: image)
    }
    return try rewriter.finished()
  }
}
