import CNNCore
import CNNGraph
import CNNKernels

/// A pooling of levels by generated code, on an image in blocks of channels.
struct QuantizedPoolingInBlocks: Implementation {
  let name = "window"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let library = placement.library else { return .refused(noGeneratedCode) }
    let x = candidate.node.operands[0]
    guard let operation = candidate.node.operation as? QuantizedPooling2D, let type = placement.blockedType(x),
      let tensor = type.blocks
    else { return .withoutBlocks() }
    var cycles = QuantizedStream.cycles(tensor, workers: placement.workers)
    if let window = operation.pooling as? Pooling2D {
      let geometry = try window.geometry(input: type.shape)
      if operation.mean == nil {
        if let refusal = BlockedPooling.refusal(geometry, input: .uint8, output: .uint8, library.target) {
          return .refused(refusal)
        }
      } else {
        if let refusal = QuantizedAveragePooling.refusal(geometry, countsPadding: window.countsPadding) {
          return .refused(refusal)
        }
        cycles += QuantizedAveragePooling.cycles(geometry, library.target, workers: placement.workers)
      }
    } else if operation.mean == nil {
      return .refused("it is no mean")
    }
    return .offered(Offer(reads: [Offer.Read(value: x, type: type)], cycles: cycles))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let operation = candidate.node.operation as? QuantizedPooling2D, let library = placement.library,
      let tensor = placement.imageType(images[0]).blocks
    else { return }
    let shape = placement.imageType(images[0]).shape
    var step = LoweredOperation(cost: StepCost(of: tensor))
    switch (operation.pooling, operation.mean) {
    case (let window as Pooling2D, nil):
      let pooling = try BlockedPooling(
        window.geometry(input: shape), isMaximum: true, countsPadding: false, input: .uint8, output: .uint8,
        library: library)
      step.kernel = { pooling.run($0.bytes(0), into: $0.result(), workers: $0.workers) }
    case (let window as Pooling2D, let mean?):
      let pooling = try QuantizedAveragePooling(
        window.geometry(input: shape), mean, countsPadding: window.countsPadding, library: library)
      step.workspaceByteCount = pooling.workspaceByteCount(placement.workers)
      step.kernel = {
        pooling.run($0.bytes(0), into: $0.result(), workspace: $0.workspace, workers: $0.workers)
      }
    case (_, let mean?):
      let stream = QuantizedStream(mean, tensor, library: library)
      step.workspaceByteCount = stream.workspaceByteCount(placement.workers)
      step.kernel = {
        stream.run($0.bytes(0), nil, into: $0.result(), workspace: $0.workspace, workers: $0.workers)
      }
    case (_, nil): throw CNNError(.internalFault, "'\(operation.pooling.kind)' has no code")
    }
    try placement.add(candidate, images, results: [placement.blockedResult(of: candidate)], step)
  }
}

extension QuantizedPooling2D {
  static var implementations: [any Implementation] { [QuantizedPoolingInBlocks(), PortableImplementation()] }
}
