import CNNCore

/// Channels that the same layers make and read: a width of the network that may be smaller.
public struct ChannelGroup: Sendable {
  /// The names of the layers that make them, in the order of the network.
  public let layers: [String]
  /// The axes of parameters that have them.
  public let axes: [Axis]
  /// How many channels one of them is, as with groups, which lose the same channels each.
  public let multiplicity: Int
  /// What stands or falls together: for each of the axes the indices that it is.
  public let channels: [[[Int]]]
  /// Why none can be removed; nil where they can.
  public let reason: String?

  /// An axis of a parameter.
  public struct Axis: Hashable, Sendable {
    /// The parameter's position in the graph.
    public let parameter: Int
    /// The axis.
    public let axis: Int
  }

  /// The width.
  public var width: Int { channels.count * multiplicity }
}

/// How many indices an axis has, as a function of how many channels each group keeps.
public struct ChannelCount: Sendable, Equatable {
  /// Those that are there whatever groups keep.
  public internal(set) var fixed = 0
  /// By group how many there are for each channel of the group.
  public private(set) var perChannel: [(group: Int, count: Double)] = []

  /// Whether both are the same function.
  public static func == (a: ChannelCount, b: ChannelCount) -> Bool {
    a.fixed == b.fixed && a.perChannel.elementsEqual(b.perChannel) { $0 == $1 }
  }

  mutating func add(_ group: Int, _ count: Double) {
    if let position = perChannel.lastIndex(where: { $0.group == group }) {
      perChannel[position].count += count
    } else {
      perChannel.append((group, count))
    }
  }

  /// The number where groups keep so many channels each.
  public func callAsFunction(_ kept: [Int]) -> Double {
    perChannel.reduce(Double(fixed)) { $0 + Double(kept[$1.group]) * $1.count }
  }
}

/// The widths of a network, and the rewriting that makes them smaller.
public struct ChannelGroups: Sendable {
  /// The network.
  public let graph: Graph
  /// In the order in which layers make them.
  public private(set) var groups: [ChannelGroup] = []
  /// By value and axis the class of each index.
  private let classes: [[Int: [Int]]]
  /// The class of each channel of each group.
  private var roots: [[Int]] = []
  private var groupOfRoot: [Int: Int] = [:]

  /// Finds the channels that can be removed, and those that cannot.
  public init(_ graph: Graph) throws(CNNError) {
    self.graph = graph
    var coupling = try ChannelCoupling(graph)
    var classes: [[Int: [Int]]] = []
    classes.reserveCapacity(graph.valueCount)
    for index in 0..<graph.valueCount {
      var axes: [Int: [Int]] = [:]
      for axis in graph.type(of: Value(index: index)).shape.indices {
        guard let labels = coupling.knownChannels(Value(index: index), axis) else { continue }
        axes[axis] = labels.map { coupling.root(of: $0) }
      }
      classes.append(axes)
    }
    self.classes = classes
    let produced = coupling.producedRoots()
    var places: [Int: [Place]] = [:]
    for (position, parameter) in graph.parameters.enumerated() {
      guard let value = graph.value(named: parameter.name) else { continue }
      for (axis, roots) in classes[value.index].sorted(by: { $0.key < $1.key }) {
        for (index, root) in roots.enumerated() where produced.contains(root) {
          places[root, default: []].append(
            Place(axis: ChannelGroup.Axis(parameter: position, axis: axis), index: index))
        }
      }
    }
    collect(places) { coupling.reason($0) }
  }

  /// Where a class is in a parameter.
  private struct Place {
    let axis: ChannelGroup.Axis
    let index: Int
  }

  /// Puts the classes that the same axes have in groups.
  private mutating func collect(_ places: [Int: [Place]], _ reason: (Int) -> String?) {
    /// What classes of a group have in common.
    struct Kind: Hashable {
      let axes: [ChannelGroup.Axis]
      let reason: String?
    }
    var positions: [Kind: Int] = [:], channels: [(kind: Kind, classes: [(root: Int, indices: [[Int]])])] = []
    // In the order in which parameters have them first.
    let ordered = places.sorted { a, b in
      let (first, second) = (a.value[0], b.value[0])
      return (first.axis.parameter, first.axis.axis, first.index)
        < (second.axis.parameter, second.axis.axis, second.index)
    }
    for (root, places) in ordered {
      var axes: [ChannelGroup.Axis] = [], indices: [[Int]] = []
      for place in places {
        if axes.last != place.axis {
          axes.append(place.axis)
          indices.append([])
        }
        indices[indices.count - 1].append(place.index)
      }
      let kind = Kind(axes: axes, reason: reason(root))
      if let position = positions[kind] {
        channels[position].classes.append((root, indices))
      } else {
        positions[kind] = channels.count
        channels.append((kind, [(root, indices)]))
      }
    }
    let layers = self.layers()
    for (kind, classes) in channels {
      let makers = kind.axes.compactMap { layers[$0] }
      groups.append(
        ChannelGroup(
          layers: makers.map(\.name), axes: kind.axes,
          multiplicity: makers.first.map { maker in
            classes[0].indices[kind.axes.firstIndex { $0 == maker.axis } ?? 0].count
          } ?? 1, channels: classes.map(\.indices), reason: kind.reason))
      for root in classes.map(\.root) { groupOfRoot[root] = roots.count }
      roots.append(classes.map(\.root))
    }
  }

  /// The layer that makes channels, by the axis of its weight which has them.
  private func layers() -> [ChannelGroup.Axis: (name: String, axis: ChannelGroup.Axis)] {
    var result: [ChannelGroup.Axis: (name: String, axis: ChannelGroup.Axis)] = [:]
    for node in graph.nodes {
      guard let axis = node.operation.filterAxis, node.operands.count > 1,
        case .parameter(let parameter) = graph.definition(of: node.operands[1])
      else { continue }
      let place = ChannelGroup.Axis(parameter: parameter, axis: axis)
      if result[place] == nil { result[place] = (node.name, place) }
    }
    return result
  }

  /// The size of an axis of a value, as made of the widths of groups.
  public func size(of value: Value, axis: Int) -> ChannelCount {
    let size = graph.type(of: value).shape[axis]
    guard let roots = classes[value.index][axis] else { return ChannelCount(fixed: size) }
    var result = ChannelCount()
    for root in roots {
      if let group = groupOfRoot[root] {
        result.add(group, 1 / Double(groups[group].channels.count))
      } else {
        result.fixed += 1
      }
    }
    return result
  }

  /// The network with only some channels of each group.
  /// - Parameter kept: for each group which of its channels stay, ascending.
  public func keeping(_ kept: [[Int]]) throws(CNNError) -> PrunedGraph {
    var gone: Set<Int> = []
    for (roots, kept) in zip(roots, kept) {
      gone.formUnion(roots)
      for channel in kept { gone.remove(roots[channel]) }
    }
    func left(_ value: Value, _ axis: Int) -> [Int]? {
      guard let classes = classes[value.index][axis] else { return nil }
      let left = classes.indices.filter { !gone.contains(classes[$0]) }
      return left.count == classes.count ? nil : left
    }
    var slices: [String: ParameterSlice] = [:]
    for parameter in graph.parameters {
      guard let value = graph.value(named: parameter.name) else { continue }
      let kept = parameter.shape.indices.map { left(value, $0) }
      if kept.contains(where: { $0 != nil }) { slices[parameter.name] = ParameterSlice(shape: parameter.shape, kept) }
    }
    var rewriter = try GraphRewriter(
      graph, newParameter: { parameter in slices[parameter.name].map(parameter.part) ?? parameter })
    for node in graph.nodes {
      var types: [TensorType] = []
      for operand in node.operands { types.append(rewriter.result.type(of: try rewriter.image(of: operand))) }
      try rewriter.copy(node, as: node.operation.keeping(KeptChannels(node: node, kept: left), types))
    }
    return PrunedGraph(graph: try rewriter.finished(), slices: slices)
  }
}

/// A network of which channels have been removed, and what its parameters are of those before.
public struct PrunedGraph: Sendable {
  /// The network.
  public let graph: Graph
  /// By name the parameters that are parts of the old ones; the others are as they were.
  public let slices: [String: ParameterSlice]
}

/// A part of a parameter: some of the indices along each of its axes.
public struct ParameterSlice: Sendable, Equatable {
  /// The shape of the whole.
  public let whole: [Int]
  /// Along each axis the indices that are in the part; nil for all.
  public let kept: [[Int]?]

  /// A part of a parameter of some shape.
  public init(shape: [Int], _ kept: [[Int]?]) { (whole, self.kept) = (shape, kept) }

  /// The shape of the part.
  public var shape: [Int] { zip(whole, kept).map { $1?.count ?? $0 } }

  /// Copies the part out of the whole, both row-major.
  public func copy(from source: UnsafeBufferPointer<Float>, to target: UnsafeMutableBufferPointer<Float>) {
    guard source.count == whole.reduce(1, *), target.count == shape.reduce(1, *) else { return }
    for (index, position) in positions.enumerated() { target[index] = source[position] }
  }

  /// The positions in the whole, row-major, of what is in the part.
  public var positions: [Int] {
    zip(whole, kept).reduce([0]) { positions, axis in
      let (size, kept) = axis
      return positions.flatMap { position in (kept ?? Array(0..<size)).map { position * size + $0 } }
    }
  }
}
