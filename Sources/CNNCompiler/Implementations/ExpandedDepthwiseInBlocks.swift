import CNNCore
import CNNGraph
import CNNKernels

/// A depthwise convolution with the pointwise one before it, of whose result only a few rows are ever there. Reads the
/// image, then packed filter and bias of each; the mean over the pixels is a second result where it is asked for.
struct ExpandedDepthwiseInBlocks: Implementation {
  let name = "expanded_depthwise"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let expansion = candidate.fusion.expansion else {
      return .refused(candidate.fusion.separation ?? "no pointwise convolution leads to it alone")
    }
    let first = placement.source.nodes[expansion.node]
    guard let type = placement.blockedType(first.operands[0]) else {
      return .withoutBlocks()
    }
    let cycles = try ExpandedDepthwise.cycles(
      placement.geometry(of: first), depthwise: placement.geometry(of: candidate.node), workers: placement.workers)
    return .offered(Offer(reads: [Offer.Read(value: first.operands[0], type: type)], cycles: cycles))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library, let expansion = candidate.fusion.expansion else { return }
    let first = placement.source.nodes[expansion.node], second = candidate.node
    let hasBiases = [first, second].map { $0.operands.count == 3 }
    let mean = try candidate.fusion.mean?.with(layout: .blocked()), hasMean = mean != nil
    let pair = try ExpandedDepthwise(
      placement.geometry(of: first), epilogue: Epilogue(hasBias: hasBiases[0], activation: expansion.activation),
      depthwise: placement.geometry(of: second),
      epilogue: Epilogue(hasBias: hasBiases[1], activation: candidate.fusion.activation),
      accumulatesSum: hasMean, workers: placement.workers, library: library)
    var cost = StepCost()
    cost.algorithm = "pointwise+depthwise"
    cost.shape =
      "\(pair.input.height)x\(pair.input.width)x\(pair.input.channels) -> \(pair.output.height)x\(pair.output.width)x"
      + "\(pair.output.channels)"
    cost.operations = pair.operations
    var operands = images
    operands += try placement.weights(
      of: first,
      FilterPackingStep(name: "expansion \(cost.shape)", count: pair.expansionFilterCount) {
        pair.packExpansion($1, scale: $2, into: $0.result(), workers: $0.workers)
      }, named: "\(candidate.name).expansion")
    operands += try placement.weights(
      of: second,
      FilterPackingStep(name: "depthwise \(cost.shape)", count: pair.depthwiseFilterCount) {
        pair.packDepthwise($1, scale: $2, into: $0.result())
      }, named: candidate.name)
    let position = hasBiases[0] ? 3 : 2
    let results = try placement.add(
      candidate, operands,
      results: [placement.blockedResult(of: candidate)] + (mean.map { [$0] } ?? []),
      LoweredOperation(
        workspaceByteCount: pair.workspaceByteCount, cost: cost,
        kernel: {
          pair.run(
            $0.operand(0), expansion: .init(filter: $0.operand(1), bias: hasBiases[0] ? $0.operand(2) : nil),
            depthwise: .init(
              filter: $0.operand(position), bias: hasBiases[1] ? $0.operand(position + 1) : nil),
            into: $0.result(), mean: hasMean ? $0.result(1) : nil, workspace: $0.workspace, workers: $0.workers)
        }))
    if hasMean { placement.defineMean(of: candidate.result, results[1]) }
  }
}
