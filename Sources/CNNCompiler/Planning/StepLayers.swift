import CNNCore
import CNNGraph

extension Compiler {
  /// The layers that each step of a prediction computes, in the order of `plan.stepCosts`.
  ///
  /// A reshaping, which no step computes, is in none.
  /// - Parameters:
  ///   - plan: as `inferencePlan` made it of `network`.
  ///   - outputs: as they were given to it.
  public static func layers(of plan: Plan, network: Graph, outputs: [String] = []) throws(CNNError) -> [[String]] {
    let selected = outputs.isEmpty ? network : try network.selectingOutputs(outputs)
    let source = try selected.inferenceForm().removingDeadNodes()
    let sources = StepSources(of: plan, in: source)
    return plan.stepCosts.map { step in
      let own = sources.positions(ofStep: step.name).sorted().filter {
        !source.isSilent(source.nodes[$0]) || source.nodes[$0].name == step.name
      }
      return own.isEmpty ? [step.name] : own.map { source.nodes[$0].name }
    }
  }
}

/// Which nodes of a graph each step of a plan computes that was made of it.
///
/// Passes give what they put in place of several nodes the name of the last one. So the nodes that are missing from the
/// compiled graph belong to the step whose node they lead to.
struct StepSources {
  private let source: Graph
  private var compiled: [String: Node] = [:]
  private var positions: [String: Int] = [:]
  private var members: [String: [FusedStreams.Member]] = [:]
  /// By the name of a step, or of one of several that are made together.
  private var found: [String: [Int]] = [:]

  init(of plan: Plan, in source: Graph) {
    self.source = source
    for node in plan.graph.nodes {
      compiled[node.name] = node
      guard let fused = (node.operation as? Placed)?.operation as? FusedStreams else { continue }
      members[node.name] = fused.members
      for member in fused.members { compiled[member.name] = node }
    }
    for (position, node) in source.nodes.enumerated() { positions[node.name] = position }
    var claimed: Set<Int> = []
    // A mean that a step gives as its second result is that step's, and not that of the layer which reads it.
    for (position, node) in source.nodes.enumerated() where node.operation is GlobalPooling2D {
      let maker = source.name(of: node.operands[0])
      if compiled[node.name] == nil, let step = compiled[maker], step.results.count > 1 {
        found[maker, default: []].append(position)
        claimed.insert(position)
      }
    }
    for name in plan.stepCosts.map(\.name).flatMap({ step in members[step]?.map(\.name) ?? [step] }) {
      guard let position = positions[name] else { continue }
      found[name, default: []] += source.nodes(from: position, claimed: &claimed) { compiled[$0] == nil }
    }
  }

  /// What a step is made of: itself, if not of several that are made together.
  func members(of step: Node) -> [FusedStreams.Member] {
    members[step.name] ?? [FusedStreams.Member(step)]
  }

  /// The positions of the nodes that a step computes for the first time.
  func positions(ofStep name: String) -> [Int] {
    (members[name]?.map(\.name) ?? [name]).flatMap { found[$0] ?? [] }
  }

  /// Those that a member of a step computes, or computes again.
  func positions(of member: FusedStreams.Member) -> [Int] {
    guard let again = member.again else { return found[member.name] ?? [] }
    var claimed: Set<Int> = []
    return positions[again].map { source.nodes(from: $0, claimed: &claimed) { compiled[$0] == nil } } ?? []
  }
}

extension Graph {
  /// The position of a node and those of the nodes that lead to it and are missing elsewhere, in no order and without those
  /// that are claimed already.
  func nodes(from position: Int, claimed: inout Set<Int>, where isMissing: (String) -> Bool) -> [Int] {
    var waiting = [position], found: [Int] = []
    while let position = waiting.popLast() {
      if !claimed.insert(position).inserted { continue }
      found.append(position)
      for operand in nodes[position].operands {
        guard case .node(let before, _) = definition(of: operand) else { continue }
        if isMissing(nodes[before].name) { waiting.append(before) }
      }
    }
    return found
  }

  /// Whether a node takes no time of its own.
  func isSilent(_ node: Node) -> Bool { node.operation is Reshape || isRoundingOfParameter(node) }
}
