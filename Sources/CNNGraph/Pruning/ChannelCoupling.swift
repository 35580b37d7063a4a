import CNNCore

/// Which channels of a network stand or fall together.
///
/// Each index along an axis of a value may have a label. The rule of an operation says which labels of its operands and
/// results are one: what is left is classes, and a class can only be removed as a whole (the dependency graph of Fang et al.
/// 2023, section 3.2, with single channels as its nodes).
public struct ChannelCoupling {
  /// The network.
  public private(set) var graph: Graph
  /// By value and axis the label of each index; an axis without an entry has none yet.
  private var labels: [[Int: [Int]]]
  /// A forest of labels: the root stands for the class.
  private var parents: [Int] = []
  /// Why a class cannot be removed, by its root.
  private var holds: [Int: String] = [:]
  /// The classes that a layer makes, by any of their labels.
  private var produced: Set<Int> = []

  /// Applies the rules of all operations.
  public init(_ graph: Graph) throws(CNNError) {
    self.graph = graph
    labels = Array(repeating: [:], count: graph.valueCount)
    for node in graph.nodes {
      var context = CouplingContext(coupling: self, node: node)
      self = ChannelCoupling()  // Now the context alone holds the labels, and adding to them copies nothing.
      try node.operation.couple(&context)
      self = context.coupling
    }
    for output in graph.outputs {
      for labels in labels[output.value.index].values { hold(labels, "it is the output '\(output.name)'") }
    }
    for update in graph.updates {
      for labels in labels[update.value.index].values { hold(labels, "it is what a parameter becomes") }
    }
  }

  private init() {
    graph = Graph()
    labels = []
  }

  /// The label that stands for a class.
  mutating func root(of label: Int) -> Int {
    var root = label
    while parents[root] != root {
      parents[root] = parents[parents[root]]
      root = parents[root]
    }
    return root
  }

  /// Whether an index along an axis has a label: a parameter's has, as soon as anybody asks.
  func hasChannels(_ value: Value, _ axis: Int) -> Bool {
    graph.parameter(defining: value) != nil || labels[value.index][axis] != nil
  }

  /// The labels along an axis; nil where nobody has asked for them.
  func knownChannels(_ value: Value, _ axis: Int) -> [Int]? { labels[value.index][axis] }

  /// The labels along an axis. What is no parameter and has none cannot be removed.
  mutating func channels(_ value: Value, _ axis: Int) -> [Int] {
    if let known = labels[value.index][axis] { return known }
    let shape = graph.type(of: value).shape
    let new = Array(parents.count..<parents.count + shape[axis])
    parents += new
    labels[value.index][axis] = new
    if graph.parameter(defining: value) == nil { hold(new, "'\(graph.name(of: value))' has it") }
    return new
  }

  mutating func setChannels(_ value: Value, _ axis: Int, _ new: [Int]) { labels[value.index][axis] = new }

  mutating func hold(_ labels: [Int], _ reason: String) {
    for label in labels {
      let root = root(of: label)
      if holds[root] == nil { holds[root] = reason }
    }
  }

  mutating func produce(_ labels: [Int]) { produced.formUnion(labels) }

  mutating func unite(_ a: Int, _ b: Int) {
    let (first, second) = (root(of: a), root(of: b))
    guard first != second else { return }
    parents[second] = first
    if let reason = holds.removeValue(forKey: second), holds[first] == nil { holds[first] = reason }
  }

  // MARK: - The classes

  /// Why a class cannot be removed; nil where it can.
  mutating func reason(_ label: Int) -> String? { holds[root(of: label)] }

  /// The roots of the classes that layers make.
  mutating func producedRoots() -> Set<Int> { Set(produced.map { root(of: $0) }) }
}

/// What a coupling rule sees: the node, and the labels of its operands and results.
public struct CouplingContext {
  var coupling: ChannelCoupling
  let node: Node

  /// The number of operands.
  public var operandCount: Int { node.operands.count }

  /// The shape of an operand.
  public func shape(_ operand: Int) -> [Int] { coupling.graph.type(of: node.operands[operand]).shape }

  /// The shape of a result.
  public func resultShape(_ result: Int = 0) -> [Int] { coupling.graph.type(of: node.results[result]).shape }

  /// Whether the indices along an axis of an operand are channels.
  public func hasChannels(_ operand: Int, axis: Int) -> Bool { coupling.hasChannels(node.operands[operand], axis) }

  /// Whether an operand is a parameter.
  public func isParameter(_ operand: Int) -> Bool { coupling.graph.parameter(defining: node.operands[operand]) != nil }

  /// The labels along an axis of an operand.
  public mutating func channels(_ operand: Int, axis: Int) -> [Int] { coupling.channels(node.operands[operand], axis) }

  /// Says what the labels along an axis of a result are.
  public mutating func setChannels(_ labels: [Int], axis: Int, result: Int = 0) {
    coupling.setChannels(node.results[result], axis, labels)
  }

  /// Says that the layer makes the channels along the axis of filters of its weight, and returns their labels.
  public mutating func produce() -> [Int] {
    guard let axis = node.operation.filterAxis else { return [] }
    let labels = channels(1, axis: axis)
    coupling.produce(labels)
    return labels
  }

  /// Says that labels stand or fall together, one by one.
  public mutating func unite(_ a: [Int], _ b: [Int]) {
    for (a, b) in zip(a, b) { coupling.unite(a, b) }
  }

  /// Says that the channels along an axis of an operand cannot be removed, if there are any: they are `mixed`, as in "each
  /// is divided by the sum of all".
  public mutating func hold(_ operand: Int, axis: Int, because mixed: String) {
    guard hasChannels(operand, axis: axis) else { return }
    hold(channels(operand, axis: axis), because: mixed)
  }

  /// Says that channels cannot be removed.
  public mutating func hold(_ labels: [Int], because mixed: String) {
    coupling.hold(labels, "'\(node.name)' (\(node.operation.kind)) \(mixed)")
  }

  /// A result has the channels of an operand along every axis of the same size, save these. What changes size along others
  /// is held.
  public mutating func pass(_ operand: Int = 0, to result: Int = 0, except held: [Int] = [], because mixed: String = "")
  {
    let (shape, new) = (shape(operand), resultShape(result))
    for axis in shape.indices where hasChannels(operand, axis: axis) {
      if held.contains(axis) || !new.indices.contains(axis) || new[axis] != shape[axis] {
        hold(operand, axis: axis, because: mixed.isEmpty ? "changes their number" : mixed)
      } else {
        setChannels(channels(operand, axis: axis), axis: axis, result: result)
      }
    }
  }

  /// The result has the channels of operand 0, along one axis these of them.
  public mutating func pass(taking indices: some Collection<Int>, along taken: Int) {
    for axis in shape(0).indices where hasChannels(0, axis: axis) {
      let all = channels(0, axis: axis)
      setChannels(axis == taken ? indices.map { all[$0] } : all, axis: axis)
    }
  }

  /// Operands are combined element by element, sizes of 1 and missing axes in front being repeated.
  public mutating func passElementwise() {
    let new = resultShape()
    for axis in new.indices {
      var joined: [(operand: Int, axis: Int)] = []
      for operand in 0..<operandCount {
        let shape = shape(operand), own = axis - (new.count - shape.count)
        guard own >= 0 else { continue }
        if shape[own] == new[axis] {
          joined.append((operand, own))
        } else if !isParameter(operand) {
          hold(operand, axis: own, because: "repeats it")
        }
      }
      let areKnown = joined.contains { !isParameter($0.operand) && hasChannels($0.operand, axis: $0.axis) }
      guard areKnown || joined.allSatisfy({ isParameter($0.operand) }), let first = joined.first else { continue }
      let labels = channels(first.operand, axis: first.axis)
      for other in joined.dropFirst() { unite(labels, channels(other.operand, axis: other.axis)) }
      setChannels(labels, axis: axis)
    }
  }
}

/// What is left of the operands and results of a node when channels have been removed.
public struct KeptChannels {
  let node: Node
  /// By value and axis the indices that are left; nil where all are.
  let kept: (Value, Int) -> [Int]?

  /// Nothing has been removed.
  public static func all(of node: Node) -> KeptChannels { KeptChannels(node: node) { _, _ in nil } }

  /// The indices that are left along an axis of an operand; nil where all are.
  public func operand(_ operand: Int, axis: Int) -> [Int]? { kept(node.operands[operand], axis) }

  /// The indices that are left along an axis of a result; nil where all are.
  public func result(axis: Int) -> [Int]? { kept(node.results[0], axis) }
}
