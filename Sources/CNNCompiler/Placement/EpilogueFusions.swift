import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

/// Which nodes could be computed in the pass over memory of the one before them: the addition of a residual to a
/// convolution's result, then an activation, and the mean over the pixels. The gradient of a convolution's input is a
/// convolution too, and takes the addition of another gradient.
struct EpilogueFusions {
  /// A convolution, dense layer or gradient of a convolution's input, and what follows it.
  struct Fusion: CustomStringConvertible {
    var node = 0
    var residual: Value?
    var activation: VectorActivation?
    /// The type of the mean over the pixels of the result, where that is asked for too.
    var mean: TensorType?
    /// Of a depthwise convolution the pointwise one before it, whose result nobody else reads.
    var expansion: Expansion?
    /// Why such a pointwise convolution is a step of its own; nil where there is none.
    var separation: String?

    /// Whether nothing follows.
    var isEmpty: Bool { residual == nil && activation == nil && expansion == nil }

    /// As in `+add+relu`.
    var description: String {
      (expansion == nil ? "" : "+expansion") + (residual == nil ? "" : "+add") + (activation.map { "+\($0)" } ?? "")
        + (mean == nil ? "" : "+mean")
    }
  }

  /// A pointwise convolution that makes the channels for a depthwise one.
  struct Expansion {
    let node: Int
    let activation: VectorActivation?
    /// Why the two are one step.
    let reason: String
  }

  /// The fusions by the position of their last node, where everything they read is computed; convolutions for which there
  /// are kernels are among them even where nothing follows.
  private(set) var byLastNode: [Int: Fusion] = [:]
  /// The nodes before the last one of a fusion.
  private(set) var absorbed: Set<Int> = []

  /// For each addition that is made in the pass of a convolution, which one's.
  private(set) var nodeOfSum: [Int: Int] = [:]

  /// The pointwise convolutions that are made in the pass of a depthwise one.
  private(set) var expansions: Set<Int> = []

  /// None.
  init() {}

  /// Finds the fusions of a graph with these readers of its values.
  init(
    _ graph: Graph, _ consumers: [[Int]], _ library: KernelLibrary, _ generation: CodeGeneration,
    _ sparseFilters: [Value: SparseFilter]
  ) {
    let workers = generation.workers
    /// The node that alone reads a value that is not seen from outside.
    func onlyReader(_ value: Value) -> Int? {
      consumers[value.index].count == 1 && !graph.isKept(value) ? consumers[value.index][0] : nil
    }
    var taken: Set<Int> = []
    // From the back: of two convolutions that are added, the later one finds the other's result ready.
    for (position, node) in graph.nodes.enumerated().reversed() {
      guard Self.takesEpilogue(node, graph, library, workers) else { continue }
      var fusion = Fusion(node: position)
      var last = position
      if !Self.isDepthwise(node, graph), let reader = onlyReader(node.results[0]), graph.nodes[reader].operation is Add,
        !taken.contains(reader)
      {
        let addition = graph.nodes[reader]
        let residual = addition.operands[0] == node.results[0] ? addition.operands[1] : addition.operands[0]
        if residual != node.results[0], graph.type(of: residual) == graph.type(of: node.results[0]) {
          fusion.residual = residual
          last = reader
          taken.insert(reader)
          nodeOfSum[reader] = position
        }
      }
      if let reader = onlyReader(graph.nodes[last].results[0]),
        let activation = graph.nodes[reader].operation as? Activation,
        let code = VectorActivation(activation)
      {
        fusion.activation = code
        last = reader
      }
      let mean = consumers[graph.nodes[last].results[0].index].first {
        (graph.nodes[$0].operation as? GlobalPooling2D)?.kind == .average
      }
      fusion.mean = mean.map { graph.type(of: graph.nodes[$0].results[0]) }
      byLastNode[last] = fusion
      if last != position {
        absorbed.insert(position)
        if fusion.residual != nil, fusion.activation != nil, let addition = onlyReader(node.results[0]) {
          absorbed.insert(addition)
        }
      }
    }
    for (last, fusion) in byLastNode {
      let node = graph.nodes[fusion.node]
      guard Self.isDepthwise(node, graph),
        onlyReader(node.operands[0]) == fusion.node,
        case .node(let before, _) = graph.definition(of: node.operands[0]), let first = byLastNode[before],
        first.residual == nil, Self.isPointwise(graph.nodes[first.node], graph),
        let pointwise = Self.geometry(of: graph.nodes[first.node], graph),
        let depthwise = Self.geometry(of: node, graph)
      else { continue }
      let choice = ExpansionChoice(
        pointwise, depthwise, library.target, generation, sparse: sparseFilters[graph.nodes[first.node].operands[1]])
      guard choice.isOneStep else {
        byLastNode[last]?.separation = choice.reason
        continue
      }
      byLastNode[last]?.expansion = Expansion(
        node: first.node, activation: first.activation, reason: choice.reason)
      byLastNode[before] = nil
      absorbed.insert(before)
      expansions.insert(first.node)
    }
  }

  /// Whether a node is a pointwise convolution of more than a picture's few channels.
  private static func isPointwise(_ node: Node, _ graph: Graph) -> Bool {
    guard let convolution = node.operation as? Convolution2D else { return false }
    let weight = graph.type(of: node.operands[1]).shape, x = graph.type(of: node.operands[0]).shape
    return convolution.groups == 1 && convolution.stride == [1, 1] && weight[2...] == [1, 1] && weight[1] >= 8
      && graph.type(of: node.results[0]).shape[1...2] == x[1...2]
  }

  /// Whether a node is a convolution in which every channel has a filter of its own.
  private static func isDepthwise(_ node: Node, _ graph: Graph) -> Bool {
    geometry(of: node, graph)?.isChannelwise ?? false
  }

  private static func geometry(of node: Node, _ graph: Graph) -> ConvolutionGeometry? {
    let weight = node.operands.count > 1 ? graph.type(of: node.operands[1]).shape : []
    switch node.operation {
    case let convolution as Convolution2D where convolution.filterLayout == .oihw:
      return try? convolution.geometry(graph.type(of: node.operands[0]).shape, weight: weight)
    case let gradient as Convolution2DInputGradient where gradient.convolution.filterLayout == .oihw:
      return try? gradient.convolution.geometry(gradient.inputShape, weight: weight)
    default: return nil
    }
  }

  private static func takesEpilogue(_ node: Node, _ graph: Graph, _ library: KernelLibrary, _ workers: Workers) -> Bool
  {
    switch node.operation {
    case is Convolution2D:
      return geometry(of: node, graph).map {
        ConvolutionAlgorithms.best(ConvolutionRequest($0, workers: workers), library.target) != nil
      } ?? false
    case is Convolution2DInputGradient: return geometry(of: node, graph).map(BlockedInputGradient.canAdd) ?? false
    case is Dense: return (2...4).contains(graph.type(of: node.operands[0]).rank)
    default: return false
    }
  }
}

extension VectorActivation {
  /// The code of a graph's activation, or nil where there is none.
  init?(_ activation: Activation) { self.init(activation.function, constants: activation.constants) }
}
