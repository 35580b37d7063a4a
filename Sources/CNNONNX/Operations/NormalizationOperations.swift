import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Normalisations, and means over axes.
  static let normalizations: [String: ImportedOperation] = [
    "BatchNormalization": { importer, node throws(CNNError) in try importer.batchNormalization(&node) },
    "LayerNormalization": { importer, node throws(CNNError) in try importer.layerNormalization(&node) },
    "Softmax": { importer, node throws(CNNError) in try importer.softmax(Softmax(), &node) },
    "LogSoftmax": { importer, node throws(CNNError) in try importer.softmax(LogSoftmax(), &node) },
    "ReduceMean": { importer, node throws(CNNError) in try importer.reduce(.mean, axesInputFrom: 18, &node) },
    "ReduceSum": { importer, node throws(CNNError) in try importer.reduce(.sum, axesInputFrom: 13, &node) },
  ]
}

extension GraphImporter {
  fileprivate mutating func batchNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let epsilon = try node.number("epsilon", default: 1e-5), momentum = try node.number("momentum", default: 0.9)
    guard try !node.flag("training_mode", default: false) else {
      throw CNNError(
        .invalidArgument, "training_mode is set; export the model for inference, the library trains it itself")
    }
    node.pass("spatial", "is_test")
    let tensor = try node.tensor(0)
    guard rank(tensor) >= 2 else {
      throw CNNError(.invalidArgument, "the input has \(rank(tensor)) axes; expected batch and channels at least")
    }
    let x = try withLast(1, tensor)
    var operands = [x.value]
    let roles: [(String, Parameter.Role, Initializer)] = [
      ("scale", .normalizationScale, .ones), ("bias", .normalizationShift, .zeros), ("mean", .statistic, .zeros),
      ("variance", .statistic, .ones),
    ]
    for (position, (what, role, initializer)) in roles.enumerated() {
      let constant = try node.constant(position + 1, "the \(what)")
      // A constant that serves two purposes becomes two parameters, since each gets values of its own in training.
      operands.append(try parameter(constant, role, initializer, key: "batch norm \(what)", what: what))
    }
    let operation = BatchNormalization(epsilon: epsilon, momentum: 1 - momentum)
    return [.tensor(Traced(value: try add(operation, operands), order: x.order))]
  }

  fileprivate mutating func layerNormalization(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let epsilon = try node.number("epsilon", default: 1e-5)
    node.pass("stash_type")
    let x = try node.tensor(0), first = try axis(node.integer("axis", default: -1), of: rank(x))
    let places = (first..<rank(x)).map { x.order[$0] }
    guard !places.contains(0) else { throw mixesBatch("a normalisation") }
    let mean = Reduction(.mean, axes: places.sorted(), keepsAxes: true)
    let center = try add(mean, [x.value])
    let centered = try add(Add(), [x.value, add(Rescaling(scale: [-1]), [center])])
    let variance = try add(mean, [add(Activation(.power, ["exponent": 2]), [centered])])
    let inverse = try add(
      Activation(.power, ["exponent": -0.5]), [add(Rescaling(offset: [epsilon]), [variance])])
    var y = Traced(value: try add(Multiply(), [centered, inverse]), order: x.order)
    if node.has(1) { y = try combined(.multiply, y, node.constant(1, "the scale")) }
    if node.has(2) { y = try combined(.add, y, node.constant(2, "the bias")) }
    return [.tensor(y)] + [center, inverse].map { .tensor(Traced(value: $0, order: x.order)) }
  }

  fileprivate mutating func softmax(_ operation: any Operation, _ node: inout ImportedNode) throws(CNNError) -> [Known]
  {
    let x = try node.tensor(0), given = try node.integer("axis", default: version < 13 ? 1 : -1)
    let position = try axis(given, of: rank(x))
    if version < 13 && position != rank(x) - 1 {
      // All axes from this one on count as one.
      let sizes = sizes(x), tail = sizes[position...].reduce(Size.known(1), *)
      let rows = try reshaped(x, to: Array(sizes[..<position]) + [tail])
      let last = try withLast(position, rows)
      return [.tensor(try reshaped(Traced(value: add(operation, [last.value]), order: last.order), to: sizes))]
    }
    let last = try withLast(position, x)
    return [.tensor(Traced(value: try add(operation, [last.value]), order: last.order))]
  }

  fileprivate mutating func reduce(_ kind: ReductionKind, axesInputFrom: Int, _ node: inout ImportedNode)
    throws(CNNError) -> [Known]
  {
    let keepsAxes = try node.flag("keepdims", default: true)
    let doesNothing = try node.flag("noop_with_empty_axes", default: false)
    var given = try node.integers("axes") ?? []
    if version >= axesInputFrom, let input = try node.optionalConstant(1, "axes") { given = try input.integers("axes") }
    guard case .tensor(let x) = try node.input(0) else {
      throw CNNError(.invalidArgument, "the input is a constant; expected something computed of the input")
    }
    if given.isEmpty && doesNothing { return [.tensor(x)] }
    let reduced = given.isEmpty ? Array(0..<rank(x)) : try axes(given, of: rank(x))
    let places = reduced.map { x.order[$0] }.sorted()
    guard !places.contains(0) else { throw mixesBatch("a reduction over axis \(x.batch ?? 0)") }
    if kind == .mean && x.order == Traced.image && places == [1, 2] {
      let y = Traced(value: try add(GlobalPooling2D(.average, keepsAxes: true), [x.value]), order: x.order)
      return [.tensor(keepsAxes ? y : try removing([2, 3], from: y))]
    }
    let value = try add(Reduction(kind, axes: places, keepsAxes: keepsAxes), [x.value])
    if keepsAxes { return [.tensor(Traced(value: value, order: x.order))] }
    let order = x.order.filter { !places.contains($0) }.map { place in place - places.filter { $0 < place }.count }
    return [.tensor(Traced(value: value, order: order))]
  }
}
