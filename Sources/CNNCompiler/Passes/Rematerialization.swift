import CNNCore
import CNNGraph
import CNNRuntime

extension Graph {
  /// Of a training graph not everything is kept from the forward to the backward pass: what is cheap is computed again,
  /// and where memory is short other values too.
  /// - Parameter byteCount: what the plan of a rewritten graph takes, as it is usually made or tight; where memory is short,
  ///   several are tried out.
  /// - Throws: `.invalidArgument` for a limit that cannot be met.
  func rematerializing(
    _ memory: TrainingMemory, _ workers: Workers,
    byteCount: (_ graph: Graph, _ isTight: Bool) throws(CNNError) -> Int
  ) throws(CNNError) -> Graph {
    let search = RecomputationSearch(try RecomputationModel(self, from: gradientSeed ?? nodes.count, workers))
    let normal = try search.model.graph(of: search.usual.schedule)
    let limit: Int
    switch memory {
    case .normal: return normal
    case .low:
      // Gradients of parameters, which the optimizer reads, are there in any case.
      let fixed = outputs.reduce(0) { $0 + type(of: $1.value).byteCount }
      limit = try fixed + (byteCount(normal, false) - fixed) / 2
    case .atMost(let bytes): limit = bytes
    }
    let whole = try byteCount(normal, true)
    if whole <= limit { return normal }

    // Tensors of many sizes leave gaps in memory, and steps that are made in common passes need some for longer: a peak that
    // is low enough lies somewhere below the limit.
    var start = search.inParts, tooHigh = limit, lowEnough: Int?, target = limit
    var best: (graph: Graph, cycles: Double)?
    for _ in 0..<Self.planCount {
      let lowered = search.lowering(start, to: target)
      let choice = search.restoring(lowered, within: max(target, lowered.peak))
      let graph = try search.model.graph(of: choice.schedule), bytes = try byteCount(graph, true)
      if bytes <= limit {
        if choice.schedule.cycles < best?.cycles ?? .infinity { best = (graph, choice.schedule.cycles) }
        lowEnough = target
      } else {
        if lowered.peak > target { break }
        (start, tooHigh) = (lowered, target)
      }
      if let lowEnough {
        if tooHigh - lowEnough < limit / 128 { break }
        target = (lowEnough + tooHigh) / 2
      } else {
        target = min(Int(Double(target) * Double(limit) / Double(bytes)), target - limit / 128)
      }
    }
    if let best { return best.graph }
    var least = (graph: normal, byteCount: whole)
    for choice in search.lowest {
      let graph = try search.model.graph(of: choice.schedule), bytes = try byteCount(graph, true)
      if bytes <= limit { return graph }
      if bytes < least.byteCount { least = (graph, bytes) }
    }
    guard case .atMost(let bytes) = memory else { return least.graph }
    let images = inputs.first.map { describe(type(of: $0.value).shape) } ?? "nothing"
    throw CNNError(
      .invalidArgument, "memory is \(bytes) bytes; a training step on \(images) takes \(least.byteCount) at least")
  }

  /// How many plans are made in the search of the one that just keeps to a limit.
  private static let planCount = 6

  /// The position of the node with which the backward pass begins: the gradient of the loss with respect to itself.
  private var gradientSeed: Int? {
    nodes.firstIndex { (($0.operation as? Placed)?.operation as? Fill)?.shape.isEmpty ?? false }
  }
}
