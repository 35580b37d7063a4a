import CNNCore
import CNNGraph
import CNNKernels

/// What is known of a tensor's numbers after this run. Operands: the tensor, and what was known before; see
/// `TensorStatistics`.
struct Statistics: CompiledOperation, PortableOperation {
  static let name = "statistics"

  let state: StatisticsState

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    guard operands[1].shape == [state.count] else {
      throw CNNError(
        .shapeMismatch, "the state has shape \(describe(operands[1].shape)); expected \(describe([state.count]))")
    }
    return [operands[1]]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = types.operands[0].shape
    let statistics = TensorStatistics(
      pixels: shape.dropLast().reduce(1, *), channels: shape.last ?? 1, state)
    return LoweredOperation(
      workspaceByteCount: statistics.workspaceByteCount(types.workers),
      kernel: {
        statistics.add(
          $0.operand(0), to: $0.operand(1), into: $0.result(), workspace: $0.workspace, workers: $0.workers)
      })
  }

  static var implementations: [any Implementation] { [StatisticsInBlocks(), PortableImplementation()] }
}

/// By generated code, in the layout in which the tensor lies.
private struct StatisticsInBlocks: Implementation {
  let name = "stream"

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard placement.library != nil else { return .refused(noGeneratedCode) }
    guard let operation = candidate.node.operation as? Statistics else { return .refused("it is another operation") }
    guard let type = placement.typeInBlocks(candidate.node.operands[0]), type.element == .float32 else {
      return .rowMajor()
    }
    let state = candidate.node.operands[1]
    return .offered(
      Offer(
        reads: [
          Offer.Read(value: candidate.node.operands[0], type: type),
          Offer.Read(value: state, type: placement.type(of: state)),
        ], cycles: BlockedStatistics.cycles(type.count, operation.state, placement.workers)))
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    guard let library = placement.library, let tensor = placement.imageType(images[0]).blocks,
      let operation = candidate.node.operation as? Statistics
    else { return }
    let statistics = BlockedStatistics(tensor, operation.state, library: library)
    try placement.add(
      candidate, images, results: [placement.type(of: candidate.result)],
      LoweredOperation(
        workspaceByteCount: statistics.workspaceByteCount(placement.workers), cost: StepCost(of: tensor),
        kernel: {
          statistics.add(
            UnsafeRawPointer($0.operand(0)), to: $0.operand(1), into: $0.result(), workspace: $0.workspace,
            workers: $0.workers)
        }))
  }
}

/// Where statistics of a value are kept: the parameter, and what is in it.
public struct ObservedValue: Sendable {
  /// The parameter's name.
  public let parameter: String
  /// What it holds.
  public let state: StatisticsState
}

extension Graph {
  /// The network with a parameter for each of these values in which statistics of it are kept. They are made as soon as the
  /// value is, so that it is in a cache still and need not be kept.
  /// - Parameters:
  ///   - names: the values whose ranges are wanted.
  ///   - hasHistograms: whether as well how often they were what.
  ///   - means: the values whose channels' means are wanted.
  /// - Returns: as well where these statistics are, by the name of the value.
  public func observing(
    _ names: [String], hasHistograms: Bool, means: [String]
  ) throws(CNNError) -> (graph: Graph, observed: [String: ObservedValue]) {
    let ranges = Set(names), sums = Set(means)
    var rewriter = try GraphRewriter(self), observed: [String: ObservedValue] = [:], updates: [(Value, Value)] = []
    func observe(_ value: Value) throws(CNNError) {
      let name = name(of: value)
      guard ranges.contains(name) || sums.contains(name) else { return }
      let state = StatisticsState(
        hasHistogram: hasHistograms && ranges.contains(name),
        summedChannels: sums.contains(name) ? type(of: value).shape.last : nil)
      let place = ObservedValue(parameter: rewriter.result.uniqueName("\(name).statistics"), state: state)
      let known = try rewriter.result.addParameter(
        Parameter(name: place.parameter, shape: [state.count], role: .statistic, initializer: .zeros))
      let next = try rewriter.result.addSingle(
        Statistics(state: state), [rewriter.image(of: value), known],
        name: rewriter.result.uniqueName("\(place.parameter).next"))
      updates.append((known, next))
      observed[name] = place
    }
    for input in inputs { try observe(input.value) }
    for node in nodes {
      try rewriter.copy(node)
      for value in node.results { try observe(value) }
    }
    var graph = try rewriter.finished()
    for (known, next) in updates { try graph.addUpdate(of: known, to: next) }
    return (graph, observed)
  }
}
