import CNNCore
import CNNGraph
import CNNRuntime

/// What becomes of a value of the forward part until the backward part reads it.
enum Retention: Int {
  /// It stays in memory.
  case kept
  /// It is computed again shortly before it is read, and stays from then on.
  case again
  /// It is computed again for each of its readers that is not near the one before.
  case anew
  /// It is computed again for nearly every reader.
  case briefly

  /// How many steps may lie between computing it and a further reader: of what is computed anew, about as many as the backward
  /// part has for a residual block.
  var longestWait: Int {
    switch self {
    case .kept, .again: .max
    case .anew: 15
    case .briefly: 1
    }
  }
}

/// A placed training step as numbers, for comparing what may be kept of its forward part.
struct RecomputationModel {
  let graph: Graph
  /// The position of the node with which the backward part begins.
  let seed: Int
  /// By value; nil where it cannot be computed again.
  let again: [Again?]
  /// What is kept where there is no lack of memory: all but those that a few cheap operations, one after the other, make
  /// of kept ones.
  let usual: [Retention]
  fileprivate let uses: [TensorUse]
  /// In memory; nothing of what the caller keeps.
  fileprivate let byteCounts: [Int]

  /// How a value is computed again.
  struct Again {
    let operation: Placed
    fileprivate let use: TensorUse
    /// As placement expects.
    let cycles: Double

    var operands: [Int] { use.operands }
  }

  init(_ graph: Graph, from seed: Int, _ workers: Workers) throws(CNNError) {
    (self.graph, self.seed) = (graph, seed)
    uses = graph.nodes.map { node in
      TensorUse(
        (node.operation as? Placed)?.lowered ?? LoweredOperation(), operands: node.operands.map(\.index),
        results: node.results.map(\.index))
    }
    var byteCounts = Array(repeating: 0, count: graph.valueCount), again: [Again?] = byteCounts.map { _ in nil }
    for (position, node) in graph.nodes.enumerated() {
      for (index, result) in node.results.enumerated() {
        byteCounts[result.index] = try Memory.aligned(graph.type(of: result).byteCount)
        guard position < seed, let (recomputed, operands) = node.recomputation(of: index) else { continue }
        var operation = recomputed
        operation.again = graph.name(of: result)
        let bytes = operation.operandTypes.reduce(operation.types[0].byteCount) { $0 + $1.byteCount }
        again[result.index] = Again(
          operation: operation,
          use: TensorUse(operation.lowered, operands: operands.map(\.index), results: [0]),
          cycles: max(operation.lowered.cost.cycles, CycleModel.pass(bytes, workers)))
      }
    }
    (self.byteCounts, self.again) = (byteCounts, again)
    usual = Self.usual(graph.nodes[..<seed], again)
  }

  /// A residual block's result needs that of the block before. So that not all of a chain has to be there at once, every
  /// fourth is kept.
  private static func usual(
    _ nodes: ArraySlice<Node>, _ again: [Again?], chainLength: Int = 3
  ) -> [Retention] {
    var lengths = again.map { _ in 0 }
    for node in nodes where node.isCheap {
      for result in node.results {
        guard let again = again[result.index] else { continue }
        let length = 1 + (again.operands.map { lengths[$0] }.max() ?? 0)
        lengths[result.index] = length <= chainLength ? length : 0
      }
    }
    return lengths.map { $0 == 0 ? .kept : .anew }
  }

  func byteCount(_ value: Int) -> Int { byteCounts[value] }

  /// The cycles it takes to compute a value again, with all that is not there for it.
  func cycles(of value: Int, _ retention: [Retention]) -> Double {
    var seen: Set<Int> = [], open = [value], sum = 0.0
    while let next = open.popLast() {
      guard seen.insert(next).inserted, let again = again[next] else { continue }
      sum += again.cycles
      open += again.operands.filter { retention[$0] != .kept }
    }
    return sum
  }

  /// The graph whose nodes are the steps of a schedule.
  func graph(of schedule: RecomputationSchedule) throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(graph)
    var images: [Value] = []  // Of what is computed again.
    for (use, origin) in zip(schedule.uses, schedule.origins) {
      var operands: [Value] = []
      for operand in use.operands {
        let index = operand - graph.valueCount
        operands.append(index < 0 ? try rewriter.image(of: Value(index: operand)) : images[index])
      }
      switch origin {
      case .node(let position):
        let node = graph.nodes[position]
        let results = try rewriter.result.add(node.operation, operands, name: node.name)
        for (old, new) in zip(node.results, results) { rewriter.map(old, to: new) }
      case .again(let again, let value):
        let name = rewriter.result.uniqueName("\(graph.name(of: Value(index: value))).again")
        images.append(try rewriter.result.addSingle(again.operation, operands, name: name))
      }
    }
    return try rewriter.finished()
  }
}

/// The steps of a training step in which what is not kept is computed again shortly before it is read (Chen et al.,
/// "Training deep nets with sublinear memory cost", 2016).
struct RecomputationSchedule {
  enum Origin {
    case node(Int)
    case again(RecomputationModel.Again, of: Int)
  }

  private(set) var origins: [Origin] = []
  /// What they read and make: values of the graph, and behind the last of these what is computed again.
  private(set) var uses: [TensorUse] = []
  /// The value that each of those is.
  private(set) var values: [Int] = []
  /// What computing again takes, as placement expects.
  private(set) var cycles = 0.0
  /// The bytes that are in memory during each step.
  private(set) var live: [Int] = []

  init(_ model: RecomputationModel, _ retention: [Retention]) {
    let end = model.seed + 1
    uses = Array(model.uses.prefix(end))
    origins = uses.indices.map { .node($0) }
    var known = Array(repeating: (tensor: -1, position: 0), count: retention.count)
    for position in model.uses.indices.dropFirst(end) {
      var use = model.uses[position]
      for (index, operand) in use.operands.enumerated() where retention[operand] != .kept {
        use.operands[index] = image(of: operand, model, retention, &known)
      }
      uses.append(use)
      origins.append(.node(position))
    }
    findLive(model)
  }

  private mutating func image(
    of value: Int, _ model: RecomputationModel, _ retention: [Retention],
    _ known: inout [(tensor: Int, position: Int)]
  ) -> Int {
    guard retention[value] != .kept, let again = model.again[value] else { return value }
    let last = known[value]
    if last.tensor >= 0, uses.count - last.position <= retention[value].longestWait { return last.tensor }
    var use = again.use
    for (index, operand) in use.operands.enumerated() {
      use.operands[index] = image(of: operand, model, retention, &known)
    }
    let tensor = retention.count + values.count
    use.results = [tensor]
    uses.append(use)
    origins.append(.again(again, of: value))
    values.append(value)
    cycles += again.cycles
    known[value] = (tensor, uses.count)
    return tensor
  }

  private mutating func findLive(_ model: RecomputationModel) {
    let graph = model.graph, byteCounts = model.byteCounts + values.map { model.byteCounts[$0] }
    let sharing = MemorySharing(
      uses, byteCounts: byteCounts,
      lasting: graph.outputs.map(\.value.index) + graph.updates.map(\.value.index), root: Array(byteCounts.indices),
      isOutside: { _ in false })
    live = sharing.live(steps: uses.count)
  }
}
