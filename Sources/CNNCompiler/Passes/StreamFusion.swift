import CNNCore
import CNNGraph
import CNNKernels

extension Graph {
  /// Steps that go over the same blocks of channels, of which one reads what another has made, go over them together: what
  /// is handed over is not read again, and where nobody else reads it not written either. So do what is computed again for
  /// the backward part and a gradient that reads the same.
  func fusingStreams(for target: CodeTarget) throws(CNNError) -> Graph {
    var fusion = StreamFusion(self, target)
    fusion.fuse()
    return try fusion.finished()
  }
}

/// Several steps that are made in common passes.
struct FusedStreams: CompiledOperation {
  static let name = "streams"
  /// The nodes that they were.
  let members: [Member]
  let types: [TensorType]

  struct Member {
    let name: String
    /// As `Placed.again`.
    let again: String?

    init(_ node: Node) { (name, again) = (node.name, (node.operation as? Placed)?.again) }
  }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { types }
}

/// The rewriting: a list of nodes in which neighbours become one.
private struct StreamFusion {
  /// A node, or several.
  private struct Item {
    var name: String
    var operation: any Operation
    var operands, results: [Value]
    var members: [FusedStreams.Member]
    let use: TensorUse

    init(
      _ name: String, _ operation: any Operation, _ operands: [Value], _ results: [Value],
      _ members: [FusedStreams.Member]
    ) {
      (self.name, self.operation, self.operands, self.results) = (name, operation, operands, results)
      self.members = members
      use = TensorUse(
        (operation as? Placed)?.lowered ?? LoweredOperation(), operands: operands.map(\.index),
        results: results.map(\.index))
    }

    var placed: Placed? { operation as? Placed }
    var stream: StreamStep? { placed?.lowered.stream }
  }

  /// How many nodes may lie between two that are made together where that makes something live longer: about as many as the
  /// backward part has for a residual block.
  private static let longestDistance = 16
  /// How many nodes may be moved forward for it.
  private static let mostMoved = 4

  private let source: Graph
  private let target: CodeTarget
  private var items: [Item]
  /// The positions of what makes a value, and of what reads it.
  private var makers: [Value: Int] = [:], readers: [Value: [Int]] = [:]
  private let isKept: Set<Value>
  private let byteCounts: [Int]

  init(_ source: Graph, _ target: CodeTarget) {
    (self.source, self.target) = (source, target)
    items = source.nodes.map { Item($0.name, $0.operation, $0.operands, $0.results, [FusedStreams.Member($0)]) }
    byteCounts = (0..<source.valueCount).map { source.type(of: Value(index: $0)).byteCount }
    isKept = Set(source.outputs.map(\.value) + source.updates.map(\.value))
    findReaders()
  }

  private mutating func findReaders() {
    (makers, readers) = ([:], [:])
    for (position, item) in items.enumerated() {
      for result in item.results { makers[result] = position }
      for operand in item.operands { readers[operand, default: []].append(position) }
    }
  }

  mutating func fuse() {
    for isOfReaders in [false, true] {
      var position = 0
      while position < items.count {
        // What was fused may go on with what is before it.
        let place = fuseWithMaker(at: position) ?? (isOfReaders ? fuseWithReader(at: position) : nil)
        position = place ?? position + 1
      }
    }
  }

  func finished() throws(CNNError) -> Graph {
    var rewriter = try GraphRewriter(source)
    for item in items {
      var operands: [Value] = []
      for operand in item.operands { operands.append(try rewriter.image(of: operand)) }
      let results = try rewriter.result.add(item.operation, operands, name: item.name)
      for (old, new) in zip(item.results, results) { rewriter.map(old, to: new) }
    }
    return try rewriter.finished()
  }

  /// Fuses the node at a position with one that makes what it reads; where they are then.
  private mutating func fuseWithMaker(at position: Int) -> Int? {
    guard items[position].stream != nil else { return nil }
    for operand in items[position].operands {
      if let maker = makers[operand], let place = fuse(maker, position) { return place }
    }
    return nil
  }

  /// Fuses the node at a position with one before it that reads the same, where no more memory is needed for it; where they
  /// are then.
  private mutating func fuseWithReader(at position: Int) -> Int? {
    guard let stream = items[position].stream else { return nil }
    for (port, operand) in items[position].operands.enumerated() {
      for other in (readers[operand] ?? []).reversed() where other < position && isNear(other, position) {
        guard let step = items[other].stream, let own = items[other].operands.firstIndex(of: operand),
          step.reads(own, with: stream, port)
        else { continue }
        let (before, bytes) = (items, peak)
        guard let place = fuse(other, position) else { continue }
        if peak <= bytes { return place }
        items = before
        findReaders()
      }
    }
    return nil
  }

  /// The most bytes that are in memory at once.
  private var peak: Int {
    let sharing = MemorySharing(
      items.map(\.use), byteCounts: byteCounts, lasting: isKept.map(\.index), root: Array(byteCounts.indices),
      isOutside: { _ in false })
    return sharing.live(steps: items.count).max() ?? 0
  }

  /// Whether one of two nodes is of the backward part, where something is computed again in it, and not far before the other.
  private func isNear(_ first: Int, _ second: Int) -> Bool {
    second - first <= Self.longestDistance && items[first].members.contains { $0.again != nil }
  }

  /// Fuses two nodes, where that is possible.
  private mutating func fuse(_ maker: Int, _ reader: Int) -> Int? {
    let first = items[maker], second = items[reader]
    guard let step = first.stream, let next = second.stream else { return nil }
    var shared: [(made: Int, read: Int)] = []
    for (port, operand) in second.operands.enumerated() {
      guard let result = first.results.firstIndex(of: operand) else { continue }
      shared.append((first.operands.count + result, port))
    }
    guard step.canBeFollowed(by: next, shared: shared), let order = order(maker, reader) else { return nil }
    let internals = Set(
      shared.map { second.operands[$0.read] }.filter { value in
        !isKept.contains(value) && Set(readers[value] ?? []).count == 1
          && second.operands.indices.allSatisfy { second.operands[$0] != value || next.readsOnce($0) }
      })
    guard isWorthwhile(maker, reader, order, internals) else { return nil }

    // Operands, then results, each once.
    var operands: [Value] = []
    for operand in first.operands + second.operands
    where !first.results.contains(operand) && !operands.contains(operand) {
      operands.append(operand)
    }
    let results = (first.results + second.results).filter { !internals.contains($0) }
    let ports = operands + results
    func places(_ item: Item) -> [Int?] { (item.operands + item.results).map { ports.firstIndex(of: $0) } }
    let joint = StreamStep.Joint(first: places(first), second: places(second), shared: shared)
    guard let stream = step.followed(by: next, joint, ports.map { source.type(of: $0).element }, target),
      let fused = fused(first, second, operands, results, stream)
    else { return nil }
    items.replaceSubrange(
      maker...reader, with: order.before.map { items[$0] } + [fused] + order.after.map { items[$0] })
    findReaders()
    return maker + order.before.count
  }

  /// In which order the nodes between two that become one are then: some before and some after it. nil where one of them
  /// reads of the first and gives to the second.
  private func order(_ maker: Int, _ reader: Int) -> (before: [Int], after: [Int])? {
    let between = maker + 1..<reader
    var made = Set(items[maker].results), dependent: Set<Int> = []
    for index in between where items[index].operands.contains(where: made.contains) {
      dependent.insert(index)
      made.formUnion(items[index].results)
    }
    var read = Set(items[reader].operands).subtracting(items[maker].results), needed: Set<Int> = []
    for index in between.reversed() where items[index].results.contains(where: read.contains) {
      if dependent.contains(index) { return nil }
      needed.insert(index)
      read.formUnion(items[index].operands)
    }
    // Where nobody waits for it, all is done when the second one was.
    if dependent.isEmpty { return (Array(between), []) }
    return needed.count <= Self.mostMoved ? (needed.sorted(), between.filter { !needed.contains($0) }) : nil
  }

  /// Whether nothing lives longer for it, or not much.
  private func isWorthwhile(
    _ maker: Int, _ reader: Int, _ order: (before: [Int], after: [Int]), _ internals: Set<Value>
  ) -> Bool {
    if reader - maker <= Self.longestDistance || !order.after.isEmpty { return true }
    let longer = Set(items[maker].operands).filter { operand in
      !isKept.contains(operand) && source.node(defining: operand) != nil
        && (readers[operand] ?? []).allSatisfy { $0 < reader }
    }
    func bytes(_ values: Set<Value>) -> Int { values.reduce(0) { $0 + source.type(of: $1).byteCount } }
    return bytes(longer) <= bytes(internals)
  }

  private func fused(
    _ first: Item, _ second: Item, _ operands: [Value], _ results: [Value], _ stream: StreamStep
  ) -> Item? {
    guard let one = first.placed, let other = second.placed else { return nil }
    // Named after the result that others read, or else the last one.
    let name = results.first.map { first.results.contains($0) ? first.name : second.name } ?? second.name
    var lowered = LoweredOperation(cost: other.lowered.cost, stream: stream)
    let algorithms = [one, other].map { $0.lowered.cost.algorithm.isEmpty ? $0.kind : $0.lowered.cost.algorithm }
    lowered.cost.algorithm = algorithms.joined(separator: ", ")
    lowered.cost.cycles += one.lowered.cost.cycles
    let members = first.members + second.members, types = results.map { source.type(of: $0) }
    let operation = Placed(
      operation: FusedStreams(members: members, types: types), implementation: other.implementation,
      operandTypes: operands.map { source.type(of: $0) }, types: types, lowered: lowered)
    return Item(name, operation, operands, results, members)
  }
}
