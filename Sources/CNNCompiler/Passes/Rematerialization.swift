import CNNCore
import CNNGraph

/// An operation whose results the backward pass can compute once more from its operands, so that they need not be kept
/// until then.
protocol Recomputable: Operation {
  /// Whether that takes no more than a pass over memory.
  var isCheap: Bool { get }

  /// The node that computes result `index` again; nil where it cannot be.
  /// - Parameter node: the node that computed it.
  func again(_ index: Int, of node: Node) -> (operation: any Operation, operands: [Value])?
}

extension Recomputable {
  var isCheap: Bool { true }

  func again(_ index: Int, of node: Node) -> (operation: any Operation, operands: [Value])? {
    node.results.count == 1 ? (self, node.operands) : nil
  }
}

extension CNNGraph.Activation: Recomputable {}
extension ScaleBlocks: Recomputable {}

extension NormalizeBatch: Recomputable {
  func again(_ index: Int, of node: Node) -> (operation: any Operation, operands: [Value])? {
    // Statistics are small: they are kept.
    guard index == 0 else { return nil }
    let operation = NormalizeAgain(normalization: normalization, original: original)
    return (
      operation,
      [node.operands[0], node.operands[1], node.operands[2]] + node.results[1...2] + node.operands.dropFirst(5)
    )
  }
}

extension Graph {
  /// What is cheap to compute is not kept from the forward to the backward pass of a training graph: there it is computed
  /// again, shortly before it is read (Chen et al., "Training deep nets with sublinear memory cost", 2016).
  ///
  /// A residual block's result needs that of the block before. So that not all of a chain has to be there at once, every
  /// fourth is kept.
  func rematerializing(chainLength: Int = 3) throws(CNNError) -> Graph {
    guard let seed = gradientSeed else { return self }
    var rewriter = try GraphRewriter(self)
    let isKept = keptValues(before: seed, chainLength: chainLength)
    /// What stands for a value of the forward part in the backward one.
    var again: [Value: Value] = [:]

    func image(_ value: Value) throws(CNNError) -> Value {
      if let known = again[value] { return known }
      guard !isKept[value.index], case .node(let position, let index) = definition(of: value),
        let operation = nodes[position].operation as? any Recomputable,
        let (recomputation, operands) = operation.again(index, of: nodes[position])
      else { return try rewriter.image(of: value) }
      var images: [Value] = []
      for operand in operands { images.append(try image(operand)) }
      let result = try rewriter.result.addSingle(
        recomputation, images, name: rewriter.result.uniqueName("\(name(of: value)).again"))
      again[value] = result
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

  /// For each value whether it is kept: all but those that at most `chainLength` cheap operations, one after the other,
  /// make of kept ones.
  private func keptValues(before end: Int, chainLength: Int) -> [Bool] {
    var lengths = Array(repeating: 0, count: valueCount)
    for node in nodes[..<end] {
      guard let operation = node.operation as? any Recomputable, operation.isCheap else { continue }
      for (index, result) in node.results.enumerated() {
        guard let (_, operands) = operation.again(index, of: node) else { continue }
        let length = 1 + (operands.map { lengths[$0.index] }.max() ?? 0)
        lengths[result.index] = length <= chainLength ? length : 0
      }
    }
    return lengths.map { $0 == 0 }
  }

  /// The position of the node with which the backward pass begins: the gradient of the loss with respect to itself.
  private var gradientSeed: Int? {
    nodes.firstIndex { ($0.operation as? Fill)?.shape.isEmpty ?? false }
  }
}
