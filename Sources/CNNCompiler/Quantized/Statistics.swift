import CNNCore
import CNNGraph
import CNNKernels

/// What is known of a tensor's numbers after this run. Operands: the tensor, and what was known before; see
/// `TensorStatistics`.
struct Statistics: CompiledOperation, PortableOperation {
  static let name = "statistics"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    return [operands[1]]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count, stateCount = types.operands[1].count
    return LoweredOperation(
      workspaceByteCount: types.workers.count * stateCount * 4,
      kernel: {
        TensorStatistics.add(
          $0.operand(0), count: count, to: $0.operand(1), stateCount: stateCount, into: $0.result(),
          scratch: $0.workspace.assumingMemoryBound(to: Float.self), workers: $0.workers)
      })
  }
}

/// The sums of a tensor's channels after this run. Operands: the tensor, and the sums before; see `ChannelMeans`.
struct ChannelSums: CompiledOperation, PortableOperation {
  static let name = "channel_sums"

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    return [operands[1]]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.operands[0].shape.last ?? 1, pixels = types.operands[0].count / channels
    return LoweredOperation(
      workspaceByteCount: types.workers.count * channels * 8,
      kernel: {
        ChannelMeans.add(
          $0.operand(0), pixels: pixels, channels: channels, to: $0.operand(1), into: $0.result(),
          scratch: $0.workspace.assumingMemoryBound(to: Double.self), workers: $0.workers)
      })
  }
}

extension Graph {
  /// The network with a parameter for each of these values in which statistics of it are kept, `stateCount` floats, and one
  /// for each whose channels' means are wanted.
  /// - Returns: as well the names of these parameters, by the name of the value.
  public func observing(
    _ names: [String], stateCount: Int, means: [String]
  ) throws(CNNError) -> (graph: Graph, ranges: [String: String], means: [String: String]) {
    var graph = self, ranges: [String: String] = [:], sums: [String: String] = [:]
    for name in names {
      ranges[name] = try graph.observe(name, "statistics", count: stateCount, Statistics())
    }
    for name in means {
      guard let value = value(named: name) else { continue }
      let channels = type(of: value).shape.last ?? 1
      sums[name] = try graph.observe(
        name, "means", count: ChannelMeans.stateCount(channels: channels), ChannelSums())
    }
    return (graph, ranges, sums)
  }

  private mutating func observe(
    _ name: String, _ kind: String, count: Int, _ operation: any Operation
  ) throws(CNNError) -> String {
    guard let value = value(named: name) else { throw CNNError(.internalFault, "there is no value '\(name)'") }
    let parameter = uniqueName("\(name).\(kind)")
    let state = try addParameter(
      Parameter(name: parameter, shape: [count], role: .statistic, initializer: .zeros))
    let next = try addSingle(operation, [value, state], name: uniqueName("\(parameter).next"))
    try addUpdate(of: state, to: next)
    return parameter
  }
}
