import CNNCore
import CNNGraph

extension Graph {
  /// Batch normalisation in training takes the addition of a residual and an activation that follow it into its own pass
  /// over memory. Done before differentiation, so that the gradients are fused too.
  /// - Parameter isFused: whether the kernels can apply an activation to a tensor of that type; ReLU all can.
  func fusingNormalization(
    where isFused: (Activation, TensorType) -> Bool = { activation, _ in activation.function == .relu }
  ) throws(CNNError) -> Graph {
    let fusions = normalizationFusions(where: isFused)
    let absorbed = Set(fusions.values.flatMap { [$0.normalization] + ($0.addition.map { [$0] } ?? []) })
    return try rewriting { rewriter, node throws(CNNError) in
      guard case .node(let position, _) = definition(of: node.results[0]) else { return false }
      if let fusion = fusions[position] {
        let normalization = nodes[fusion.normalization]
        guard var operation = normalization.operation as? BatchNormalizationTraining else { return false }
        operation.addsResidual = fusion.residual != nil
        operation.activation = fusion.activation
        var operands: [Value] = []
        for operand in normalization.operands + (fusion.residual.map { [$0] } ?? []) {
          operands.append(try rewriter.image(of: operand))
        }
        let results = try rewriter.result.add(operation, operands, name: node.name)
        rewriter.map(node.results[0], to: results[0])
        for (old, new) in zip(normalization.results, results).dropFirst() { rewriter.map(old, to: new) }
        return true
      }
      return absorbed.contains(position)
    }
  }

  /// A chain normalisation, addition, activation; both of the latter may be missing, but not both at once.
  private struct Fusion {
    let normalization: Int
    var addition: Int?
    var residual: Value?
    var activation: Activation?
  }

  /// The chains to fuse, by the position of their last node.
  private func normalizationFusions(where isFused: (Activation, TensorType) -> Bool) -> [Int: Fusion] {
    let consumers = consumers()
    /// The node that alone reads `value`, if it is not seen from outside.
    func onlyReader(_ value: Value) -> Int? {
      consumers[value.index].count == 1 && !isKept(value) ? consumers[value.index][0] : nil
    }
    func activation(_ position: Int) -> Activation? {
      let node = nodes[position]
      return (node.operation as? Activation).flatMap { isFused($0, type(of: node.results[0])) ? $0 : nil }
    }

    var result: [Int: Fusion] = [:]
    var taken: Set<Int> = []
    for (position, node) in nodes.enumerated() where node.operation is BatchNormalizationTraining {
      guard var last = onlyReader(node.results[0]), !taken.contains(last) else { continue }
      // One that shares its running statistics may read them before the end of the chain.
      guard node.results.dropFirst().allSatisfy({ consumers[$0.index].isEmpty }) else { continue }
      var fusion = Fusion(normalization: position)
      if nodes[last].operation is Add {
        let addition = nodes[last]
        let residual = addition.operands[0] == node.results[0] ? addition.operands[1] : addition.operands[0]
        guard type(of: residual) == type(of: node.results[0]), residual != node.results[0] else { continue }
        fusion.addition = last
        fusion.residual = residual
        taken.insert(last)
        // The gradient of another function would need the residual again.
        if let reader = onlyReader(addition.results[0]), let activation = activation(reader),
          activation.function == .relu
        {
          last = reader
          fusion.activation = activation
        }
      } else if let activation = activation(last) {
        fusion.activation = activation
      } else {
        continue
      }
      if fusion.addition == last { fusion.addition = nil }
      result[last] = fusion
    }
    return result
  }
}
