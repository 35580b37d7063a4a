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
  init(
    placed graph: Graph, _ workers: Workers, isGenerated: Bool = false,
    preparing isKept: (Parameter) -> Bool = { _ in true }
  ) throws(CNNError) {
    (self.graph, self.workers, self.isGenerated) = (graph, workers, isGenerated)
    let updated = Set(graph.updates.map(\.parameter))
    preparedParameters = graph.parameters.indices.filter { isKept(graph.parameters[$0]) && !updated.contains($0) }
    var memory = try MemoryAssignment(graph, preparedParameters: preparedParameters)
    try memory.assign()
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

  mutating func assign() throws(CNNError) {
    try placeOutsideArena()
    let requests = try shareMemory()
    let planned = try MemoryPlanner(requests.map(\.request))
    (arenaByteCount, unsharedByteCount) = (planned.byteCount, planned.totalByteCount)
    var workspaces = Array(repeating: Slot(region: Slot.arena, offset: 0), count: graph.nodes.count)
    for (request, offset) in zip(requests, planned.offsets) {
      switch request.owner {
      case .value(let index): slots[index] = Slot(region: Slot.arena, offset: offset)
      case .workspace(let node): workspaces[node] = Slot(region: Slot.arena, offset: offset)
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

  private enum Owner {
    case value(Int)
    case workspace(node: Int)
  }

  /// Finds out how long each tensor of the arena is needed, and which can lie in another's memory.
  private mutating func shareMemory() throws(CNNError) -> [(owner: Owner, request: MemoryPlanner.Request)] {
    let end = graph.nodes.count
    var lastUse = Array(repeating: -1, count: graph.valueCount)
    for (step, node) in graph.nodes.enumerated() {
      for operand in node.operands { lastUse[operand.index] = step }
    }
    for output in graph.outputs { lastUse[output.value.index] = end }
    for update in graph.updates { lastUse[update.value.index] = end }

    var requests: [(owner: Owner, request: MemoryPlanner.Request)] = []
    var requestOf: [Int: Int] = [:]  // By root.
    for (step, node) in graph.nodes.enumerated() {
      let lowering = lowered[step]
      var overwritten: Set<Int> = []
      for (position, result) in node.results.enumerated() where !isPrepared[result.index] {
        let type = graph.type(of: result)
        let last = max(lastUse[result.index], step)
        let isFree = { (root: Int) -> Bool in
          guard let request = requestOf[root], !overwritten.contains(root) else { return false }
          return requests[request].request.lastStep == step && requests[request].request.byteCount == type.byteCount
        }
        if let shared = sharedOperand(of: node, lowering, result: position, where: isFree) {
          root[result.index] = shared
          overwritten.insert(shared)
          if let request = requestOf[shared] {
            requests[request].request.lastStep = max(requests[request].request.lastStep, last)
          }
          continue
        }
        requestOf[result.index] = requests.count
        requests.append(
          (.value(result.index), .init(byteCount: type.byteCount, firstStep: step, lastStep: last)))
      }
      if lowering.workspaceByteCount > 0 {
        requests.append(
          (
            .workspace(node: step),
            .init(
              byteCount: lowering.workspaceByteCount, firstStep: isPrepared[node.results[0].index] ? 0 : step,
              lastStep: step)
          ))
      }
    }
    return requests
  }

  /// The root in whose memory a result can lie: the operand's it is a view of, or one that may be overwritten.
  private func sharedOperand(
    of node: Node, _ lowering: LoweredOperation, result: Int, where isFree: (_ root: Int) -> Bool
  ) -> Int? {
    if result == 0, let alias = lowering.aliasedOperand { return root[node.operands[alias].index] }
    guard lowering.overwritableOperands.indices.contains(result) else { return nil }
    let candidates = lowering.overwritableOperands[result]
    return candidates.filter(node.operands.indices.contains).map { root[node.operands[$0].index] }.first { shared in
      // What another operand reads too, at other places, stays as it is.
      isFree(shared)
        && node.operands.indices.allSatisfy { candidates.contains($0) || root[node.operands[$0].index] != shared }
    }
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
