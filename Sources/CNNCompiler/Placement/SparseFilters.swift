import CNNCore
import CNNGraph
import CNNKernels

extension Graph {
  /// By the weight that a convolution or dense layer reads, the products that its mask leaves. Not in training, where masks may
  /// change from step to step, nor where so few are left out that nothing could be gained.
  func sparseFilters(_ target: CodeTarget) -> [Value: SparseFilter] {
    if isOfTraining { return [:] }
    var filters: [Value: SparseFilter] = [:]
    for node in nodes where node.operation is Convolution2D || node.operation is Dense {
      let weight = node.operands[1], shape = type(of: weight).shape
      // With a factor for each output channel, where a batch normalisation is part of it.
      var value = weight
      if let scaled = self.node(defining: weight), scaled.operation is ScaledFilter { value = scaled.operands[0] }
      guard filters[weight] == nil, let mask = parameter(defining: value)?.mask, mask.sparsity >= 0.5, shape.count >= 2,
        (node.operation as? Convolution2D).map({ $0.groups == 1 && $0.filterLayout == .oihw }) ?? true
      else { continue }
      filters[weight] = SparseFilter(
        mask, outputs: shape[0], inputs: shape[1], taps: shape.dropFirst(2).reduce(1, *), target)
    }
    return filters
  }

  /// Whether it computes gradients.
  var isOfTraining: Bool { outputs.contains { $0.name.starts(with: Compiler.gradientName("")) } }
}

extension Placement {
  /// The products that the mask of a layer's weight leaves; nil where it has none that helps.
  func sparseFilter(of node: Node) -> SparseFilter? { sparseFilters[node.operands[1]] }
}
