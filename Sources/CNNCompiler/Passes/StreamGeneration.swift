import CNNCore
import CNNGraph
import CNNKernels

extension Graph {
  /// Generates the code of all steps that are passes over blocks of channels.
  func generatingStreams(_ library: KernelLibrary) throws(CNNError) -> Graph {
    try rewriting { rewriter, node throws(CNNError) in
      guard let placed = node.operation as? Placed, let step = placed.lowered.stream else { return false }
      try rewriter.copy(node, as: placed.with(lowered: placed.lowered.generating(step, placed, library)))
      return true
    }
  }
}

extension LoweredOperation {
  /// The same with code for its passes, whose ports are the operands and the results.
  fileprivate func generating(_ step: StreamStep, _ placed: Placed, _ library: KernelLibrary) -> LoweredOperation {
    let step = step.with(elements: (placed.operandTypes + placed.types).map(\.element))
    let kernels = StreamStepKernels(step, library: library)
    let operands = placed.operandTypes.count, results = placed.types.count
    var lowered = self
    lowered.stream = nil
    lowered.workspaceByteCount = kernels.workspaceByteCount
    lowered.overwritableOperands = (0..<results).map { step.overwritable(by: operands + $0, of: 0..<operands) }
    lowered.kernel = { arguments in
      var ports = StreamStep.Ports(arguments.workspace)
      for index in 0..<operands { ports[index] = UnsafeRawPointer(arguments.bytes(index)) }
      for index in 0..<results { ports[operands + index] = UnsafeRawPointer(arguments.result(index)) }
      kernels.run(
        ports, workspace: arguments.workspace, randomness: arguments.randomness, workers: arguments.workers)
    }
    return lowered
  }
}
