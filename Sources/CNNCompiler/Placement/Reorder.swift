import CNNCore
import CNNGraph
import CNNKernels

/// The same tensor in another layout, of another element type, or both in one trip. Weights in the order of one implementation are reordered too: by what packs them.
struct Reorder: CompiledOperation, MemoryOperation {
  static let name = "reorder"
  /// What it becomes.
  let type: TensorType

  init(to type: TensorType) { self.type = type }

  var attributes: Attributes { ["to": .text("\(type.element.rawValue) \(type.layout)")] }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...2)
    guard operands[0].shape == type.shape else {
      throw CNNError(
        .shapeMismatch, "the operand has shape \(describe(operands[0].shape)); expected \(describe(type.shape))")
    }
    return [type]
  }

  /// Whether there is a copy from one type to the other.
  static func isPossible(from: TensorType, to: TensorType, _ target: CodeTarget?) -> Bool {
    guard from.shape == to.shape else { return false }
    guard from.element == to.element else {
      guard let direction = direction(from, to), target.map({ BFloat16Reorder.isPossible(on: $0) }) ?? false else {
        return false
      }
      // A border have only the blocks of bfloat16.
      let (floats, rounded) = direction == .rounding ? (from.layout, to.layout) : (to.layout, from.layout)
      switch floats {
      case .rowMajor, .blocked(.none): return rounded.border != nil
      default: return false
      }
    }
    switch (from.layout, to.layout) {
    case (.rowMajor, .blocked(.none)), (.blocked(.none), .rowMajor):
      return from.element == .float32 || from.element == .uint8 && from.quantization == to.quantization
    case (.blocked, .blocked): return from.element != .uint8
    case (.rowMajor, .permuted), (.permuted, .rowMajor): return true
    default: return false
    }
  }

  private static func direction(_ from: TensorType, _ to: TensorType) -> BFloat16Reorder.Direction? {
    switch (from.element, to.element) {
    case (.float32, .bfloat16): .rounding
    case (.bfloat16, .float32): .widening
    default: nil
    }
  }

  /// The copy.
  static func lower(
    from: TensorType, to: TensorType, _ library: KernelLibrary?
  ) throws(CNNError) -> LoweredOperation {
    if let direction = direction(from, to), let library,
      let tensor = try (from.element == .float32 ? from : to).with(layout: .blocked()).blocks
    {
      var cost = StepCost(of: tensor)
      cost.algorithm = direction == .rounding ? "reorder to bfloat16" : "reorder to float32"
      (cost.instruction, cost.precision) = ("avx512_bf16", .bfloat16)
      let border = (direction == .rounding ? to : from).layout.border ?? .none
      let reorder = try BFloat16Reorder(
        direction, tensor, isRowMajor: from.layout == .rowMajor || to.layout == .rowMajor, border: border,
        library: library)
      return LoweredOperation(
        cost: cost, kernel: { reorder.run($0.operand(0), into: $0.result(), workers: $0.workers) })
    }
    switch (from.layout, to.layout) {
    case (.rowMajor, .blocked(.none)) where to.element == .uint8:
      guard let tensor = to.blocks else { break }
      return LoweredOperation(
        cost: StepCost(of: tensor),
        kernel: { BlockedCopies.packBytes($0.bytes(0), into: $0.result(), tensor, workers: $0.workers) })
    case (.blocked(.none), .rowMajor) where from.element == .uint8:
      guard let tensor = from.blocks else { break }
      return LoweredOperation(
        cost: StepCost(of: tensor),
        kernel: { BlockedCopies.unpackBytes($0.operand(0), tensor, into: $0.byteResult(), workers: $0.workers) })
    case (.rowMajor, .blocked(.none)):
      guard let tensor = to.blocks else { break }
      return LoweredOperation(
        cost: StepCost(of: tensor),
        kernel: { BlockedCopies.pack($0.operand(0), into: $0.result(), tensor, workers: $0.workers) })
    case (.blocked(.none), .rowMajor):
      guard let tensor = from.blocks else { break }
      return LoweredOperation(
        cost: StepCost(of: tensor),
        kernel: { BlockedCopies.unpack($0.operand(0), tensor, into: $0.result(), workers: $0.workers) })
    case (.blocked, .blocked):
      guard let source = from.blocks, let target = to.blocks else { break }
      return LoweredOperation(
        cost: StepCost(of: target),
        kernel: { BlockedCopies.copy($0.operand(0), source, into: $0.result(), target, workers: $0.workers) })
    case (.rowMajor, .permuted(let order)):
      return try Permute(order).portable(
        LoweringTypes(operands: [from], results: [try TensorType(to.element, order.map { to.shape[$0] })]))
    case (.permuted(let order), .rowMajor):
      let stored = try TensorType(from.element, order.map { from.shape[$0] })
      let inverse = order.indices.map { axis in order.firstIndex(of: axis) ?? axis }
      return try Permute(inverse).portable(LoweringTypes(operands: [stored], results: [to]))
    default: break
    }
    throw CNNError(.internalFault, "\(from) cannot become \(to)")
  }

  /// How a value's image in such a type is called, behind the value's name.
  static func suffix(_ type: TensorType) -> String {
    switch type.layout {
    case .rowMajor: "row_major"
    case .permuted: "permuted"
    case .blocked: type.element == .float32 ? "blocked" : "blocked_\(type.element.rawValue)"
    case .packed: "packed"
    }
  }
}
