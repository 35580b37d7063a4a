import CNNCore
import CNNGraph

extension Compiler {
  /// The layers that each step of a prediction computes, in the order of `plan.stepCosts`.
  ///
  /// Passes give what they put in place of several nodes the name of the last one. So the nodes that are missing from the
  /// compiled graph belong to the step whose node they lead to. A reshaping, which no step computes, is in none.
  /// - Parameters:
  ///   - plan: as `inferencePlan` made it of `network`.
  ///   - outputs: as they were given to it.
  public static func layers(of plan: Plan, network: Graph, outputs: [String] = []) throws(CNNError) -> [[String]] {
    let selected = outputs.isEmpty ? network : try network.selectingOutputs(outputs)
    let source = try selected.inferenceForm().removingDeadNodes()
    var compiled: [String: Node] = [:]
    var members: [String: [String]] = [:]
    for node in plan.graph.nodes {
      compiled[node.name] = node
      guard let fused = (node.operation as? Placed)?.operation as? FusedStreams else { continue }
      members[node.name] = fused.members
      for member in fused.members { compiled[member] = node }
    }

    var positions: [String: Int] = [:]
    for (position, node) in source.nodes.enumerated() { positions[node.name] = position }
    let names = plan.stepCosts.map(\.name)
    var found: [String: [Int]] = [:]
    var claimed: Set<Int> = []
    // A mean that a step gives as its second result is that step's, and not that of the layer which reads it.
    for (position, node) in source.nodes.enumerated() where node.operation is GlobalPooling2D {
      let maker = source.name(of: node.operands[0])
      if compiled[node.name] == nil, let step = compiled[maker], step.results.count > 1 {
        found[maker, default: []].append(position)
        claimed.insert(position)
      }
    }
    for name in names {
      let ends = (members[name] ?? [name]).compactMap { positions[$0] }
      guard let last = ends.last else { continue }
      var waiting = ends
      while let position = waiting.popLast() {
        if !claimed.insert(position).inserted { continue }
        let node = source.nodes[position]
        let isSilent = node.operation is Reshape || source.isRoundingOfParameter(node)
        if !isSilent || position == last { found[name, default: []].append(position) }
        for operand in node.operands {
          guard case .node(let before, _) = source.definition(of: operand) else { continue }
          if compiled[source.nodes[before].name] == nil { waiting.append(before) }
        }
      }
    }
    return names.map { name in
      let own = (found[name] ?? []).sorted().map { source.nodes[$0].name }
      return own.isEmpty ? [name] : own
    }
  }
}
