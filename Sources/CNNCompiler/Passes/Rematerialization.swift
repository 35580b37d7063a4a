import CNNCore
import CNNGraph

extension Graph {
  /// Of a training graph with generated kernels not everything is kept from the forward to the backward pass: there it is
  /// computed again, shortly before it is read (Chen et al., "Training deep nets with sublinear memory cost", 2016).
  /// - Parameter plan: what becomes of the rewritten graph; where memory is short, several are tried out.
  func rematerializing(
    _ memory: TrainingMemory, plan: (Graph) throws(CNNError) -> Plan
  ) throws(CNNError) -> Graph {
    guard let seed = gradientSeed else { return self }
    let normal = try rematerializing(keeping: valuesKept(before: seed), from: seed)
    guard memory == .low else { return normal }
    // Gradients of parameters, which the optimizer reads, are there in any case.
    let fixed = outputs.reduce(0) { $0 + type(of: $1.value).byteCount }
    let limit = try (plan(normal).arenaByteCount - fixed) / 2
    var best = normal, lowest = Int.max
    for isKept in checkpointings(before: seed) {
      let graph = try rematerializing(keeping: isKept, from: seed)
      let byteCount = try plan(graph).arenaByteCount - fixed
      if byteCount < lowest { (best, lowest) = (graph, byteCount) }
      if lowest <= limit { break }
    }
    return best
  }

  /// What is not kept is computed again in the backward part, which begins at `seed`.
  private func rematerializing(keeping isKept: [Bool], from seed: Int) throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(self)
    let isLasting = valuesKept(before: seed)
    /// What stands for a value of the forward part in the backward one, and how many nodes there were before it.
    var again: [Value: (value: Value, position: Int)] = [:]

    func image(_ value: Value) throws(CNNError) -> Value {
      let position = rewriter.result.nodes.count
      // What is cheap does not wait long for its next reader either.
      if let known = again[value], isLasting[value.index] || position - known.position < Self.longestWait {
        return known.value
      }
      guard !isKept[value.index], let (recomputed, operands) = recomputation(of: value) else {
        return try rewriter.image(of: value)
      }
      var images: [Value] = []
      for operand in operands { images.append(try image(operand)) }
      var operation = recomputed
      operation.again = name(of: value)
      let result = try rewriter.result.addSingle(
        operation, images, name: rewriter.result.uniqueName("\(name(of: value)).again"))
      again[value] = (result, rewriter.result.nodes.count)
      return result
    }
    for (position, node) in nodes.enumerated() {
      guard position > seed else {
        try rewriter.copy(node)
        continue
      }
      var operands: [Value] = []
      for operand in node.operands { operands.append(try image(operand)) }
      let results = try rewriter.result.add(node.operation, operands, name: node.name)
      for (old, new) in zip(node.results, results) { rewriter.map(old, to: new) }
    }
    return try rewriter.finished()
  }

  /// In nodes: about as many as the backward part has for a residual block.
  private static let longestWait = 16

  /// The position of the node with which the backward pass begins: the gradient of the loss with respect to itself.
  private var gradientSeed: Int? {
    nodes.firstIndex { (($0.operation as? Placed)?.operation as? Fill)?.shape.isEmpty ?? false }
  }

  /// What computes a value again, and from what; nil where it cannot be.
  func recomputation(of value: Value) -> (operation: Placed, operands: [Value])? {
    guard case .node(let position, let index) = definition(of: value) else { return nil }
    return nodes[position].recomputation(of: index)
  }

  /// For each value whether it is kept: all but those that a few cheap operations, one after the other, make of kept ones.
  ///
  /// A residual block's result needs that of the block before. So that not all of a chain has to be there at once, every
  /// fourth is kept.
  private func valuesKept(before end: Int, chainLength: Int = 3) -> [Bool] {
    var lengths = Array(repeating: 0, count: valueCount)
    for node in nodes[..<end] where node.isCheap {
      for result in node.results {
        guard let (_, operands) = recomputation(of: result) else { continue }
        let length = 1 + (operands.map { lengths[$0.index] }.max() ?? 0)
        lengths[result.index] = length <= chainLength ? length : 0
      }
    }
    return lengths.map { $0 == 0 }
  }
}
