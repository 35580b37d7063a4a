import CNNCore
import CNNGraph
import CNNRuntime

/// A graph made ready to run: a flat list of steps over one arena, with every decision taken.
///
/// A plan holds no data. It runs in an `ExecutionContext`; two threads may run one plan at the same time, each in a
/// context of its own. Running allocates nothing, but for the few bytes in which Swift hands a closure to other threads.
public final class Plan: Sendable {
  /// The graph after all passes.
  public let graph: Graph
  /// The size of the arena in bytes, and what its tensors would take without sharing memory.
  public let arenaByteCount, unsharedByteCount: Int

  let workers: Workers
  /// The steps that depend on parameters alone, run again only when those have changed.
  let preparation: [Step]
  /// The positions of these parameters.
  let preparedParameters: [Int]
  let steps: [Step]
  /// What gives parameters their new values; run on request, after the caller has looked at the results.
  let updates: [Step]
  let preparedByteCount: Int
  let outputSlots: [Slot]
  /// Which outputs are gradients, each with the position of its parameter.
  let gradientOutputs: [(output: Int, position: Int)]
  let usesOpenBLAS: Bool
  /// Whether it was made for generated kernels, whatever it has of them.
  let isGenerated: Bool

  /// The names of the steps of a run and what each has to do.
  public var stepCosts: [(name: String, cost: StepCost)] {
    steps.map { ($0.name, $0.node.map(graph.stepCost(ofNodeAt:)) ?? StepCost()) }
  }

  /// A plan of portable kernels.
  /// - Parameters:
  ///   - threads: what work is divided by.
  ///   - isKept: whether what depends on such parameters alone is kept from run to run, or computed in every one.
  public convenience init(
    _ graph: Graph, threads: Int, preparing isKept: (Parameter) -> Bool = { _ in true }
  ) throws(CNNError) {
    let workers = Workers(count: threads)
    try self.init(placed: graph.placed(CodeGeneration(library: nil, workers: workers)), workers, preparing: isKept)
  }

  /// Gives every tensor of a placed graph its place.
  /// - Parameter isTight: whether to look longer for an arena without gaps.
  init(
    placed graph: Graph, _ workers: Workers, isGenerated: Bool = false, isTight: Bool = false,
    preparing isKept: (Parameter) -> Bool = { _ in true }
  ) throws(CNNError) {
    (self.graph, self.workers, self.isGenerated) = (graph, workers, isGenerated)
    let updated = Set(graph.updates.map(\.parameter))
    preparedParameters = graph.parameters.indices.filter { isKept(graph.parameters[$0]) && !updated.contains($0) }
    var memory = try MemoryAssignment(graph, preparedParameters: preparedParameters)
    try memory.assign(isTight: isTight)
    preparation = memory.preparation
    steps = memory.steps
    usesOpenBLAS = memory.lowered.contains(where: \.usesOpenBLAS)
    updates = memory.updates
    arenaByteCount = memory.arenaByteCount
    unsharedByteCount = memory.unsharedByteCount
    preparedByteCount = memory.preparedByteCount
    outputSlots = try memory.outputSlots()
    let positions = Dictionary(
      graph.parameters.enumerated().map { (Compiler.gradientName($1.name), $0) },
      uniquingKeysWith: { first, _ in first })
    // The first two are the prediction, whatever a file calls it, and the loss.
    gradientOutputs = graph.outputs.enumerated().dropFirst(2).compactMap { index, output in
      positions[output.name].map { (index, $0) }
    }
  }
}

/// Where the tensors of one placed graph lie: lifetimes, sharing, offsets, steps.
private struct MemoryAssignment {
  let graph: Graph
  let preparedParameters: [Int]
  var lowered: [LoweredOperation] = []
  var preparation: [Step] = []
  var steps: [Step] = []
  var updates: [Step] = []
  var arenaByteCount = 0, unsharedByteCount = 0, preparedByteCount = 0

  /// The value in whose memory a value lies.
  private var root: [Int]
  private var isPrepared: [Bool]
  private var slots: [Slot?]

  init(_ graph: Graph, preparedParameters: [Int]) throws(CNNError) {
    (self.graph, self.preparedParameters) = (graph, preparedParameters)
    root = Array(0..<graph.valueCount)
    isPrepared = Array(repeating: false, count: graph.valueCount)
    slots = Array(repeating: nil, count: graph.valueCount)
    for node in graph.nodes {
      guard let placed = node.operation as? Placed else {
        throw CNNError(.internalFault, "'\(node.name)' was not placed")
      }
      lowered.append(placed.lowered)
    }
  }

  mutating func assign(isTight: Bool) throws(CNNError) {
    try placeOutsideArena()
    let requests = shareMemory()
    let planned = try MemoryPlanner(requests.map(\.request), isTight: isTight)
    (arenaByteCount, unsharedByteCount) = (planned.byteCount, planned.totalByteCount)
    var workspaces = Array(repeating: Slot(region: Slot.arena, offset: 0), count: graph.nodes.count)
    for (request, offset) in zip(requests, planned.offsets) {
      switch request.owner {
      case .tensor(let index): slots[index] = Slot(region: Slot.arena, offset: offset)
      case .workspace(let step): workspaces[step] = Slot(region: Slot.arena, offset: offset)
      }
    }
    for (index, node) in graph.nodes.enumerated() {
      guard let kernel = lowered[index].kernel else { continue }
      var operands: [Slot] = [], results: [Slot] = []
      for operand in node.operands { operands.append(try slot(of: operand)) }
      for result in node.results { results.append(try slot(of: result)) }
      let step = Step(
        name: node.name, kernel: kernel, operands: operands, results: results, workspace: workspaces[index],
        node: index)
      if isPrepared[node.results[0].index] { preparation.append(step) } else { steps.append(step) }
    }
    for update in graph.updates {
      let count = graph.type(of: update.value).count
      updates.append(
        Step(
          name: "update \(graph.parameters[update.parameter].name)",
          kernel: { $0.result().update(from: $0.operand(0), count: count) },
          operands: [try slot(of: update.value)],
          results: [parameterSlot(update.parameter)],
          workspace: Slot(region: Slot.arena, offset: 0)))
    }
    try checkUpdates()
  }

  /// Updates are made at once: none may read or write what another one writes.
  private func checkUpdates() throws(CNNError) {
    var writers: [Int: String] = [:]  // By the region of a parameter, in which nothing else lies.
    for update in updates where writers.updateValue(update.name, forKey: update.results[0].region) != nil {
      throw CNNError(.internalFault, "there is more than one '\(update.name)'; expected one")
    }
    for update in updates {
      guard let writer = writers[update.operands[0].region], writer != update.name else { continue }
      throw CNNError(
        .internalFault, "'\(update.name)' reads what '\(writer)' writes; expected updates that any order makes the same"
      )
    }
  }

  func outputSlots() throws(CNNError) -> [Slot] {
    var result: [Slot] = []
    for output in graph.outputs { result.append(try slot(of: output.value)) }
    return result
  }

  private func parameterSlot(_ position: Int) -> Slot {
    Slot(region: Slot.firstInput + graph.inputs.count + position, offset: 0)
  }

  private func slot(of value: Value) throws(CNNError) -> Slot {
    guard let slot = slots[root[value.index]] else {
      throw CNNError(.internalFault, "'\(graph.name(of: value))' was given no memory")
    }
    return slot
  }

  /// Inputs and parameters lie with the caller; what depends on parameters alone is kept from run to run.
  private mutating func placeOutsideArena() throws(CNNError) {
    for index in 0..<graph.valueCount {
      switch graph.definition(of: Value(index: index)) {
      case .input(let input): slots[index] = Slot(region: Slot.firstInput + input, offset: 0)
      case .parameter(let parameter):
        slots[index] = parameterSlot(parameter)
        isPrepared[index] = preparedParameters.contains(parameter)
      case .node: continue
      }
    }
    for (index, node) in graph.nodes.enumerated() where node.operands.allSatisfy({ isPrepared[$0.index] }) {
      // Scratch memory lies in the arena, which preparation may use too; random layers never qualify.
      if (node.operation as? Placed)?.operation is any RandomOperation { continue }
      for (position, result) in node.results.enumerated() {
        isPrepared[result.index] = true
        if position == 0, let alias = lowered[index].aliasedOperand {
          root[result.index] = root[node.operands[alias].index]
        } else {
          slots[result.index] = Slot(region: Slot.prepared, offset: preparedByteCount)
          preparedByteCount = try Checked.sum(
            [preparedByteCount, Memory.aligned(graph.type(of: result).byteCount)], "prepared weights")
        }
      }
    }
  }

  /// Finds out how long each tensor of the arena is needed, and which can lie in another's memory.
  private mutating func shareMemory() -> [(owner: MemorySharing.Owner, request: MemoryPlanner.Request)] {
    let uses = zip(graph.nodes, lowered).map { node, lowering in
      TensorUse(lowering, operands: node.operands.map(\.index), results: node.results.map(\.index))
    }
    let sharing = MemorySharing(
      uses, byteCounts: (0..<graph.valueCount).map { graph.type(of: Value(index: $0)).byteCount },
      lasting: graph.outputs.map(\.value.index) + graph.updates.map(\.value.index), root: root,
      isOutside: { isPrepared[$0] })
    root = sharing.root
    return sharing.requests
  }
}

extension Graph {
  /// What the kernel of a placed node says of its cost, or else what the types say.
  fileprivate func stepCost(ofNodeAt position: Int) -> StepCost {
    let node = nodes[position]
    let placed = node.operation as? Placed
    var cost = placed?.lowered.cost ?? StepCost()
    cost.isOfIntegers = placed?.operation.isOfIntegers ?? false
    let results = node.results.map(type)
    cost.byteCount = (node.operands.map(type) + results).reduce(0) { $0 + $1.byteCount }
    if cost.shape.isEmpty { cost.shape = results.map { describe($0.shape) }.joined(separator: ", ") }
    if cost.algorithm.isEmpty { cost.algorithm = node.operation.kind }
    return cost
  }
}
