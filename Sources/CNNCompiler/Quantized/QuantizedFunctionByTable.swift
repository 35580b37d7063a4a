import CNNCore
import CNNGraph
import CNNKernels

/// A function of levels by the table of its results, by generated code: on tensors in blocks of channels where they lie so,
/// else in rows.
struct QuantizedFunctionByTable: Implementation {
  let name = "table"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0], type = placement.typeInBlocks(x) ?? placement.type(of: x)
    return .offered(
      Offer(
        reads: [Offer.Read(value: x, type: type)],
        cycles: ByteTable.cycles(type.byteCount, workers: placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let function = candidate.node.operation as? QuantizedFunction, let library = placement.library else { return }
    let type = placement.imageType(images[0]), count = type.byteCount
    let result = try placement.type(of: candidate.result).with(layout: type.layout)
    let table = ByteTable(function.table, library: library)
    var cost = StepCost()
    cost.algorithm = function.label
    if let tensor = result.blocks { cost.shape = StepCost(of: tensor).shape }
    try placement.add(
      candidate, images, results: [result],
      LoweredOperation(
        overwritableOperands: [[0]], cost: cost,
        kernel: { table.look(up: $0.bytes(0), into: $0.byteResult(), count: count, workers: $0.workers) }))
  }
}

extension QuantizedFunction {
  static var implementations: [any Implementation] { [QuantizedFunctionByTable(), PortableImplementation()] }
}
