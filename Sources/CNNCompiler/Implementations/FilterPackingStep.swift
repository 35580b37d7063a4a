import CNNCore
import CNNGraph
import CNNKernels

/// The reordering of a filter into the order in which one implementation reads it.
struct FilterPackingStep {
  /// What tells the order from others.
  let name: String
  /// The type of its numbers, and how many there are.
  var element = ElementType.float32
  let count: Int
  var workspaceByteCount = 0
  /// Packs a weight, each output channel times its `scale`.
  let pack: @Sendable (StepArguments, _ weight: UnsafePointer<Float>, _ scale: UnsafePointer<Float>?) -> Void

  func lowered(isScaled: Bool) -> LoweredOperation {
    let pack = pack
    var cost = StepCost()
    cost.algorithm = "pack"
    return LoweredOperation(
      workspaceByteCount: workspaceByteCount, cost: cost,
      kernel: { pack($0, $0.operand(0), isScaled ? $0.operand(1) : nil) })
  }
}

extension Placement {
  /// The packed filter of a convolution, and its bias with room for the lanes behind the last channel if it has one. A
  /// factor of the filter is applied where the filter is packed.
  mutating func weights(
    of node: Node, _ packing: FilterPackingStep, named name: String
  ) throws(CNNError) -> [Value] {
    var operands: [Value] = []
    if let scaled = source.node(defining: node.operands[1]), scaled.operation is ScaledFilter {
      for operand in scaled.operands { operands.append(try rowMajor(operand)) }
    } else {
      operands.append(try rowMajor(node.operands[1]))
    }
    var result = [
      try packed(packing, operands, shape: type(of: node.operands[1]).shape, named: uniqueName("\(name).filter"))
    ]
    if node.operands.count == 3 {
      let bias = node.operands[2]
      result.append(try image(of: bias, as: type(of: bias).with(layout: .blocked())))
    }
    return result
  }

  /// A packed filter: of a weight, and optionally a factor for each of its output channels.
  mutating func packed(
    _ packing: FilterPackingStep, _ operands: [Value], shape: [Int], named name: String
  ) throws(CNNError) -> Value {
    let type = try TensorType(
      packing.element, shape,
      layout: .packed(name: packing.name, byteCount: packing.count * packing.element.byteCount))
    return try add(
      Reorder(to: type), by: "pack", operands, results: [type], recomputation: .again(isCheap: false),
      packing.lowered(isScaled: operands.count == 2), name: name)[0]
  }
}
