import CNNCore
import CNNGraph

/// Functions that files spell out as several nodes: one operation here, with kernels of its own.
extension GraphImporter {
  /// `x * sigmoid(x)`, `x * hard_sigmoid(x)`, `x * tanh(softplus(x))` and `x * (1 + erf(x / √2))`, the last of which is
  /// `2 gelu(x)`.
  mutating func fusedProduct(_ a: Traced, _ b: Traced) throws(CNNError) -> Traced? {
    guard rank(a) == rank(b), a.order == b.order else { return nil }
    for (x, y) in [(a, b), (b, a)] {
      guard let node = graph.node(defining: y.value) else { continue }
      if let activation = node.operation as? Activation {
        let function: ActivationFunction
        switch activation.function {
        case .sigmoid where node.operands[0] == x.value: function = .silu
        case .hardSigmoid where node.operands[0] == x.value: function = .hardSwish
        case .tanh where isActivation(node.operands[0], .softplus, of: x.value): function = .mish
        default: continue
        }
        return Traced(value: try add(Activation(function), [x.value]), order: x.order)
      }
      guard let sum = rescaled(y.value), sum.scale == 1, sum.offset == 1,
        let erf = graph.node(defining: sum.operand), (erf.operation as? Activation)?.function == .erf,
        let inner = rescaled(erf.operands[0]), inner.offset == 0, abs(inner.scale - 0.5.squareRoot()) < 1e-6
      else { continue }
      let doubled: Double
      if inner.operand == x.value {
        doubled = 2
      } else if let half = rescaled(x.value), half.operand == inner.operand, half.offset == 0 {
        doubled = 2 * half.scale
      } else {
        continue
      }
      let gelu = try add(Activation(.gelu), [inner.operand])
      if doubled == 1 { return Traced(value: gelu, order: x.order) }
      return Traced(value: try add(Rescaling(scale: [doubled]), [gelu]), order: x.order)
    }
    return nil
  }

  /// What `x` was before it was multiplied by the reciprocal of `number`, where that is exact.
  func undoing(_ number: Double, _ x: Traced) -> Traced? {
    guard let before = rescaled(x.value), before.offset == 0, before.scale * number == 1 else { return nil }
    return Traced(value: before.operand, order: x.order)
  }

  private func isActivation(_ value: Value, _ function: ActivationFunction, of x: Value) -> Bool {
    guard let node = graph.node(defining: value), let activation = node.operation as? Activation else { return false }
    return activation.function == function && node.operands[0] == x
  }

  /// The numbers of a rescaling that has one of each.
  private func rescaled(_ value: Value) -> (operand: Value, scale: Double, offset: Double)? {
    guard let node = graph.node(defining: value), let rescaling = node.operation as? Rescaling,
      rescaling.scale.count == 1, rescaling.offset.count == 1
    else { return nil }
    return (node.operands[0], rescaling.scale[0], rescaling.offset[0])
  }
}
