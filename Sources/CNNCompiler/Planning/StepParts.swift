import CNNCore
import CNNGraph

/// What a step of a training plan does for a layer.
public struct StepPart: Sendable, Equatable {
  /// The layer; several where these were made one before gradients were taken, as `bn1` and `relu`.
  public let layers: [String]
  /// What for.
  public let role: TrainingRole
  /// How much of the step it is, of 1.
  public var share: Double

  /// A part.
  public init(layers: [String], role: TrainingRole, share: Double) {
    (self.layers, self.role, self.share) = (layers, role, share)
  }
}

/// What the steps of a training plan do for which layers, by the graph that the plan was made of.
public struct TrainingParts {
  /// Of each step, in the order of `Plan.stepCosts`. The shares of a step are 1 together.
  public private(set) var ofSteps: [[StepPart]] = []
  private let network: Graph
  private let forward, whole: Graph
  private let origins: [String: GradientOrigin]
  /// The layers that a node of the forward part stands for, by its name; and those of which one is a part, by its own.
  private var layers: [String: [String]] = [:], groups: [String: [String]] = [:]

  /// - Parameter plan: as `Compiler.trainingPlan` made it of the others.
  public init(
    of plan: Plan, network: Graph, inputs: [TensorType], normalization: Compiler.PixelNormalization,
    loss: any TrainingLoss
  ) throws(CNNError) {
    self.network = network
    (forward, whole, origins) = try Compiler.trainingSource(of: plan, network, inputs, normalization, loss)
    findLayers()
    let byName = ofNodes(plan)
    ofSteps = plan.stepCosts.map { byName[$0.name] ?? [StepPart(layers: [$0.name], role: .forward, share: 1)] }
  }

  /// The layers that read a parameter first.
  public func layers(ofParameter name: String) -> [String] {
    var value = network.value(named: name)
    // A weight may be rounded, or brought into another shape, before a layer reads it.
    while let read = value, let reader = network.nodes.first(where: { $0.operands.contains(read) }) {
      if let group = groups[reader.name] { return group }
      value = reader.results.first
    }
    return [name]
  }

  private mutating func findLayers() {
    let positions = Dictionary(
      network.nodes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    for node in forward.nodes {
      var claimed: Set<Int> = []
      let own = positions[node.name].map { position in
        network.nodes(from: position, claimed: &claimed) { forward.value(named: $0) == nil }.sorted()
      }
      let named = (own ?? []).map { network.nodes[$0] }.filter { !network.isSilent($0) }.map(\.name)
      let group = named.isEmpty ? [node.name] : named
      layers[node.name] = group
      for name in named { groups[name] = group }
    }
  }

  /// The parts of each node of the plan's graph that has any.
  private func ofNodes(_ plan: Plan) -> [String: [StepPart]] {
    let sources = StepSources(of: plan, in: whole), graph = plan.graph, consumers = graph.consumers()
    var parts = graph.nodes.map { self.parts(of: $0, sources) }
    // What only brings something into another layout is there for what reads it first, or else for what made it.
    func inherit(at position: Int, from other: Int?) {
      if parts[position].isEmpty, let other { parts[position] = parts[other].filter { $0.share > 0 } }
    }
    let isOwn = parts.map { !$0.isEmpty }
    for (position, node) in graph.nodes.enumerated().reversed() {
      inherit(at: position, from: node.results.lazy.compactMap { consumers[$0.index].first }.first)
    }
    for (position, node) in graph.nodes.enumerated() where !isOwn[position] {
      let makers = node.operands.lazy.compactMap { operand -> Int? in
        if case .node(let maker, _) = graph.definition(of: operand) { maker } else { nil }
      }
      inherit(at: position, from: makers.first { !parts[$0].isEmpty })
    }
    return Dictionary(
      zip(graph.nodes.map(\.name), parts).filter { !$1.isEmpty }, uniquingKeysWith: { first, _ in first })
  }

  /// A step with products is there for these, and what is done to their results in its pass has a share of 0. Other steps are
  /// shared out by the bytes that each part would read and write alone.
  private func parts(of step: Node, _ sources: StepSources) -> [StepPart] {
    guard let placed = step.operation as? Placed else { return [] }
    let pieces = sources.members(of: step).flatMap { member in
      sources.positions(of: member).sorted().map { (node: whole.nodes[$0], isAgain: member.again != nil) }
    }
    func isProduct(_ piece: (node: Node, isAgain: Bool)) -> Bool { piece.node.operation.kind == placed.kind }
    let hasProducts = placed.lowered.cost.operations > 0 && pieces.contains(where: isProduct)
    let bytes = pieces.map { piece in
      hasProducts && !isProduct(piece)
        ? 0 : max(1, (piece.node.operands + piece.node.results).reduce(0) { $0 + whole.type(of: $1).byteCount })
    }
    let total = Double(bytes.reduce(0, +))
    var result: [StepPart] = []
    for (piece, bytes) in zip(pieces, bytes) {
      let (layers, role) = purpose(of: piece.node, isAgain: piece.isAgain), share = Double(bytes) / total
      if let place = result.firstIndex(where: { $0.layers == layers && $0.role == role }) {
        result[place].share += share
      } else {
        result.append(StepPart(layers: layers, role: role, share: share))
      }
    }
    return result
  }

  private func purpose(of node: Node, isAgain: Bool) -> (layers: [String], role: TrainingRole) {
    let origin = origins[node.name]
    let role: TrainingRole =
      if isAgain { .recomputation } else if let origin {
        origin.isOfParameters ? .weightGradient : .inputGradient
      } else { .forward }
    let owner = origin?.node ?? node.name
    return (layers[owner] ?? [owner], role)
  }
}
