import CNNCore
import CNNGraph
import CNNKernels

/// Tensors of levels one behind the other along an axis, each as `result`.
struct QuantizedConcatenate: QuantizedOperation {
  static let name = "quantized_concat"
  let concatenate: Concatenate
  let inputs: [ByteLevels]
  let result: ByteLevels

  static var implementations: [any Implementation] { [QuantizedConcatenateInBlocks(), PortableImplementation()] }

  var attributes: Attributes { concatenate.attributes }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: inputs.count...inputs.count)
    for (position, operand) in operands.enumerated() {
      try operand.require(inputs[position], as: "operand \(position)")
    }
    return [try TensorType(result, concatenate.resultTypes(floats(operands))[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let concatenation = QuantizedConcatenation(inputs, result)
    let whole = AxisSplit(types.results[0], axis: concatenate.axis)
    let parts = types.operands.map { AxisSplit($0, axis: concatenate.axis).rowLength }
    return LoweredOperation(kernel: { arguments in
      var offset = 0
      for (index, count) in parts.enumerated() {
        concatenation.write(
          index, arguments.bytes(index), count: count, into: arguments.byteResult(), length: whole.rowLength,
          offset: offset, rows: whole.rows, workers: arguments.workers)
        offset += count
      }
    })
  }
}

/// A concatenation of channels, in blocks of these.
struct QuantizedConcatenateInBlocks: Implementation {
  let name = "blocked"

  func instruction(on target: CodeTarget?) -> String { "portable" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let operation = candidate.node.operation as? QuantizedConcatenate else { return .refused("it has no levels") }
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    let rank = placement.type(of: candidate.result).rank
    guard [-1, rank - 1].contains(operation.concatenate.axis) else { return .refused("it joins no channels") }
    guard let reads = placement.blockedReads(of: candidate.node) else {
      return .withoutBlocks("an operand")
    }
    let byteCount = reads.reduce(0) { $0 + $1.type.byteCount }
    return .offered(Offer(reads: reads, cycles: 8 * CycleModel.pass(byteCount, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? QuantizedConcatenate else { return }
    let concatenation = QuantizedConcatenation(operation.inputs, operation.result)
    let result = try placement.blockedResult(of: candidate),
      sources = images.compactMap { placement.imageType($0).blocks }
    guard let whole = result.blocks else { return }
    try placement.add(
      candidate, images, results: [result],
      LoweredOperation(
        cost: StepCost(of: whole),
        kernel: { arguments in
          var offset = 0
          for (index, source) in sources.enumerated() {
            concatenation.write(
              index, arguments.bytes(index), source, into: arguments.result(), whole, offset: offset,
              workers: arguments.workers)
            offset += source.channels
          }
        }))
  }
}
