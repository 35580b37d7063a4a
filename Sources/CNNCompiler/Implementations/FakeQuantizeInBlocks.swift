import CNNCore
import CNNGraph
import CNNKernels

/// Rounding to levels whose scale is a parameter, with or without a range that is tracked, by generated code.
struct FakeQuantizeInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    placement.considerRounding(candidate, images: 1)
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.blockedResult(of: candidate)
    guard let library = placement.library, let tensor = type.blocks else { return }
    let tracking = candidate.node.operation as? FakeQuantizeActivationTraining
    let rounding = BlockedFakeQuantize(tensor, tracksRange: tracking != nil, library: library)
    let range = images.dropFirst().map { placement.imageType($0) }
    let kernel: Kernel
    if let tracking {
      let momentum = Float(tracking.momentum)
      kernel = {
        let next = rounding.runTracking(
          $0.operand(0), $0.trackedRange, momentum: momentum, into: $0.result(), workspace: $0.workspace,
          workers: $0.workers)
        ($0.result(1)[0], $0.result(2)[0]) = (next.scale, next.zeroPoint)
      }
    } else {
      kernel = {
        rounding.run(
          $0.operand(0), $0.trainedLevels(scale: 1), into: $0.result(), workspace: $0.workspace, workers: $0.workers)
      }
    }
    try placement.add(
      candidate, images, results: [type] + (tracking == nil ? [] : range),
      LoweredOperation(
        workspaceByteCount: rounding.workspaceByteCount, overwritableOperands: [[0]], cost: StepCost(of: tensor),
        kernel: kernel))
  }
}

/// The gradient of that rounding by generated code.
struct FakeQuantizeGradientInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    placement.considerRounding(candidate, images: 2)
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let type = try placement.blockedResult(of: candidate)
    guard let library = placement.library, let tensor = type.blocks,
      let operation = candidate.node.operation as? FakeQuantizeActivationGradient
    else { return }
    let learnsScale = operation.learnsScale
    let gradient = BlockedFakeQuantizeGradient(tensor, learnsScale: learnsScale, library: library)
    try placement.add(
      candidate, images, results: [type] + (learnsScale ? [placement.imageType(images[2])] : []),
      LoweredOperation(
        workspaceByteCount: gradient.workspaceByteCount, overwritableOperands: [[1, 0]], cost: StepCost(of: tensor),
        kernel: {
          let ofScale = gradient.run(
            $0.operand(0), gradient: $0.operand(1), $0.trainedLevels(scale: 2), into: $0.result(),
            workspace: $0.workspace, workers: $0.workers)
          if learnsScale { $0.result(1)[0] = ofScale }
        }))
  }
}

extension FakeQuantizeActivation {
  static var implementations: [any Implementation] { [FakeQuantizeInBlocks(), PortableImplementation()] }
}
extension FakeQuantizeActivationTraining {
  static var implementations: [any Implementation] { [FakeQuantizeInBlocks(), PortableImplementation()] }
}
extension FakeQuantizeActivationGradient {
  static var implementations: [any Implementation] { [FakeQuantizeGradientInBlocks(), PortableImplementation()] }
}

extension Placement {
  /// The offer of a pass over so many images, the first operands, which gives one more; behind them are parameters.
  fileprivate func considerRounding(_ candidate: Candidate, images count: Int) -> Consideration {
    guard library != nil else { return .refused(noGeneratedCode) }
    let operands = candidate.node.operands
    guard let image = typeInBlocks(operands[0]) else { return .rowMajor() }
    return .offered(
      Offer(
        reads: operands.enumerated().map { Offer.Read(value: $1, type: $0 < count ? image : type(of: $1)) },
        cycles: CycleModel.pass((count + 1) * image.byteCount, workers)))
  }
}
