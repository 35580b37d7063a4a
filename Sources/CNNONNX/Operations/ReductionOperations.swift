import CNNCore
import CNNGraph

extension ImportedOperations {
  /// One number of several.
  static let reductions: [String: ImportedOperation] = [
    "ReduceMean": reduction(.mean), "ReduceSum": reduction(.sum, axesInputFrom: 13), "ReduceMax": reduction(.max),
    "ReduceMin": reduction(.min), "ReduceL1": reduction(.l1), "ReduceL2": reduction(.l2),
    "ReduceSumSquare": reduction(.sumSquare), "ReduceLogSum": reduction(.logSum),
    "ReduceLogSumExp": reduction(.logSumExp), "ReduceProd": reduction(.product),
    "ArgMax": { importer, node throws(CNNError) in try importer.position(ofLargest: true, &node) },
    "ArgMin": { importer, node throws(CNNError) in try importer.position(ofLargest: false, &node) },
  ]

  private static func reduction(_ kind: ImportedReduction, axesInputFrom version: Int = 18) -> ImportedOperation {
    { importer, node throws(CNNError) in try importer.reduce(kind, axesInputFrom: version, &node) }
  }
}

/// ONNX's reductions.
private enum ImportedReduction {
  case mean, sum, max, min, l1, l2, sumSquare, logSum, logSumExp, product
}

extension GraphImporter {
  fileprivate mutating func reduce(_ kind: ImportedReduction, axesInputFrom: Int, _ node: inout ImportedNode)
    throws(CNNError) -> [Known]
  {
    let keepsAxes = try node.flag("keepdims", default: true)
    let doesNothing = try node.flag("noop_with_empty_axes", default: false)
    var given = try node.integers("axes") ?? []
    if version >= axesInputFrom, let input = try node.optionalConstant(1, "axes") { given = try input.integers("axes") }
    let x: Traced
    switch try node.input(0) {
    case .tensor(let tensor): x = tensor
    case .constant(let constant):
      guard given.isEmpty && !doesNothing || given == [0] || given == [-1], constant.shape.count == 1 else {
        throw CNNError(.invalidArgument, "the input is a constant; expected something computed of the input")
      }
      return [.constant(try constant.reduced(kind, keepsAxes: keepsAxes))]
    }
    var places: [Int] = []
    if !given.isEmpty {
      places = try axes(given, of: rank(x)).map { x.order[$0] }.sorted()
    } else if !doesNothing {
      places = x.order.sorted()
    }
    guard !places.contains(0) else { throw mixesBatch("a reduction over axis \(x.batch ?? 0)") }
    let result = try reduced(kind, x, places)
    guard !keepsAxes, !places.isEmpty else { return [.tensor(result)] }
    return [.tensor(try removing(x.order.indices.filter { places.contains(x.order[$0]) }, from: result))]
  }

  /// The reduction over axes in memory, which stay with a size of 1.
  private mutating func reduced(_ kind: ImportedReduction, _ x: Traced, _ places: [Int]) throws(CNNError) -> Traced {
    switch kind {
    case .mean: return try reducing(.mean, x, places)
    case .sum: return try reducing(.sum, x, places)
    case .max: return try reducing(.max, x, places)
    case .min: return try negated(reducing(.max, negated(x), places))
    case .l1: return try reducing(.sum, magnitude(x), places)
    case .sumSquare: return try reducing(.sum, applying(Activation(.power, ["exponent": 2]), x), places)
    case .l2: return try applying(Activation(.power, ["exponent": 0.5]), reduced(.sumSquare, x, places))
    case .logSum: return try applying(Activation(.logarithm), reducing(.sum, x, places))
    case .logSumExp:
      // The largest is taken off first, so that nothing overflows.
      let largest = try reducing(.max, x, places)
      let exponentials = try applying(Activation(.exponential), combined(.add, x, negated(largest)))
      return try combined(
        .add, applying(Activation(.logarithm), reducing(.sum, exponentials, places)), largest)
    case .product: throw CNNError(.invalidArgument, "only known sizes are multiplied")
    }
  }

  private mutating func reducing(_ kind: ReductionKind, _ x: Traced, _ places: [Int]) throws(CNNError) -> Traced {
    if places.isEmpty { return x }
    if x.order == Traced.image && places == [1, 2], kind != .sum {
      return try applying(GlobalPooling2D(kind == .max ? .max : .average, keepsAxes: true), x)
    }
    return try applying(Reduction(kind, axes: places, keepsAxes: true), x)
  }

  /// The sizes of numbers without their signs.
  mutating func magnitude(_ x: Traced) throws(CNNError) -> Traced {
    try applying(Activation(.leakyRelu, ["alpha": -1]), x)
  }

  fileprivate mutating func position(ofLargest isLargest: Bool, _ node: inout ImportedNode) throws(CNNError) -> [Known]
  {
    let given = try node.integer("axis", default: 0), keepsAxis = try node.flag("keepdims", default: true)
    let choosesLast = try node.flag("select_last_index", default: false), x = try node.tensor(0)
    let position = try axis(given, of: rank(x)), place = x.order[position]
    guard place != 0 else { throw mixesBatch("a position along axis \(position)") }
    let operation = ArgMax(axis: place, keepsAxis: true, choosesLast: choosesLast)
    let y = try applying(operation, isLargest ? x : negated(x))
    return [.tensor(keepsAxis ? y : try removing([position], from: y))]
  }
}

extension Constant {
  /// A list as one number.
  fileprivate func reduced(_ kind: ImportedReduction, keepsAxes: Bool) throws(CNNError) -> Constant {
    let operation: BinaryOperation
    switch kind {
    case .sum: operation = .add
    case .product: operation = .multiply
    case .max: operation = .maximum
    case .min: operation = .minimum
    default: throw CNNError(.invalidArgument, "the input is a constant; expected something computed of the input")
    }
    guard let sizes, let first = sizes.first else {
      throw CNNError(.invalidArgument, "the input is a constant of floats, or empty; expected whole numbers")
    }
    let result = sizes.dropFirst().reduce(first) { operation($0, $1) }
    return try Constant(shape: keepsAxes ? [1] : [], .sizes([result]))
  }
}
