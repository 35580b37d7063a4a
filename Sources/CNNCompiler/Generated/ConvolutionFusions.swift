import CNNCore
import CNNGraph
import CNNKernels

/// Which nodes a convolution takes into its own pass over memory: the addition of a residual, then an activation. The
/// gradient of a convolution's input is a convolution too, and takes the addition of another gradient.
struct ConvolutionFusions {
  /// A convolution, dense layer or gradient of a convolution's input, and what follows it.
  struct Fusion {
    let convolution: Int
    var residual: Value?
    var activation: VectorActivation?
    /// Whether the mean over the pixels of the result is asked for too.
    var isAveraged = false
    /// Of a depthwise convolution the pointwise one before it, whose result nobody else reads.
    var expansion: Expansion?
  }

  /// A pointwise convolution that makes the channels for a depthwise one.
  struct Expansion {
    let convolution: Int
    let activation: VectorActivation?
  }

  /// The fusions by the position of their last node, where everything they read is computed; convolutions for which there
  /// are kernels are among them even where nothing follows.
  private(set) var byLastNode: [Int: Fusion] = [:]
  /// The nodes before the last one of a fusion.
  private(set) var absorbed: Set<Int> = []

  /// Finds the fusions of a graph.
  init(_ graph: Graph, _ generation: CodeGeneration) {
    let consumers = graph.consumers()
    /// The node that alone reads a value that is not seen from outside.
    func onlyReader(_ value: Value) -> Int? {
      consumers[value.index].count == 1 && !graph.isKept(value) ? consumers[value.index][0] : nil
    }
    var taken: Set<Int> = []
    // From the back: of two convolutions that are added, the later one finds the other's result ready.
    for (position, node) in graph.nodes.enumerated().reversed() {
      guard Self.hasKernels(node, graph, generation) else { continue }
      var fusion = Fusion(convolution: position)
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
        }
      }
      if let reader = onlyReader(graph.nodes[last].results[0]),
        let activation = graph.nodes[reader].operation as? Activation,
        let code = VectorActivation(activation)
      {
        fusion.activation = code
        last = reader
      }
      let readers = consumers[graph.nodes[last].results[0].index].map { graph.nodes[$0].operation }
      fusion.isAveraged = readers.contains { ($0 as? GlobalPooling2D)?.kind == .average }
      byLastNode[last] = fusion
      if last != position {
        absorbed.insert(position)
        if fusion.residual != nil, fusion.activation != nil, let addition = onlyReader(node.results[0]) {
          absorbed.insert(addition)
        }
      }
    }
    for (last, fusion) in byLastNode {
      let node = graph.nodes[fusion.convolution]
      guard Self.isDepthwise(node, graph),
        onlyReader(node.operands[0]) == fusion.convolution,
        case .node(let before, _) = graph.definition(of: node.operands[0]), let first = byLastNode[before],
        first.residual == nil, Self.isPointwise(graph.nodes[first.convolution], graph)
      else { continue }
      byLastNode[last]?.expansion = Expansion(convolution: first.convolution, activation: first.activation)
      byLastNode[before] = nil
      absorbed.insert(before)
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
      return try? convolution.geometry(graph.type(of: node.operands[0]).shape, oihw: weight)
    case let gradient as Convolution2DInputGradient where gradient.convolution.filterLayout == .oihw:
      return try? gradient.convolution.geometry(gradient.inputShape, oihw: weight)
    default: return nil
    }
  }

  private static func hasKernels(_ node: Node, _ graph: Graph, _ generation: CodeGeneration) -> Bool {
    switch node.operation {
    case is Convolution2D:
      return geometry(of: node, graph).map {
        let request = ConvolutionRequest($0, workers: generation.workers)
        return ConvolutionAlgorithms.best(request, generation.library.target) != nil
      } ?? false
    case is Convolution2DInputGradient: return geometry(of: node, graph).map(BlockedInputGradient.canAdd) ?? false
    case is Dense: return BlockedLayoutPass.tensor(graph.type(of: node.operands[0])) != nil
    default: return false
    }
  }
}

extension VectorActivation {
  /// The code of a graph's activation, or nil where there is none.
  init?(_ activation: Activation) { self.init(activation.function, constants: activation.constants) }
}
