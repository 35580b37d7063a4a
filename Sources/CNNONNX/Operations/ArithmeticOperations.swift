import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Arithmetic between tensors.
  static let arithmetic: [String: ImportedOperation] = [
    "Add": { importer, node throws(CNNError) in try importer.binary(.add, &node) },
    "Sub": { importer, node throws(CNNError) in try importer.binary(.subtract, &node) },
    "Mul": { importer, node throws(CNNError) in try importer.binary(.multiply, &node) },
    "Div": { importer, node throws(CNNError) in try importer.binary(.divide, &node) },
    "Sum": { importer, node throws(CNNError) in [try importer.folded(.add, &node)] },
    "Max": { importer, node throws(CNNError) in [try importer.folded(.maximum, &node)] },
    "Min": { importer, node throws(CNNError) in [try importer.folded(.minimum, &node)] },
    "Mean": { importer, node throws(CNNError) in
      let sum = try importer.folded(.add, &node), count = try ONNXFloats([Float(node.inputs.count)])
      return [try importer.combined(.divide, sum, .constant(Constant(shape: [], .floats(count))))]
    },
    "Neg": { importer, node throws(CNNError) in
      switch try node.input(0) {
      case .tensor(let x): return [.tensor(try importer.negated(x))]
      case .constant(let constant): return [.constant(try constant.combined(.multiply, with: constant.like(-1)))]
      }
    },
  ]
}

/// Arithmetic of two operands.
enum BinaryOperation {
  case add, subtract, multiply, divide, maximum, minimum

  func callAsFunction(_ a: Float, _ b: Float) -> Float {
    switch self {
    case .add: a + b
    case .subtract: a - b
    case .multiply: a * b
    case .divide: a / b
    case .maximum: a.isNaN || a > b ? a : b
    case .minimum: a.isNaN || a < b ? a : b
    }
  }

  func callAsFunction(_ a: Size, _ b: Size) -> Size {
    switch self {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .divide: return a / b
    case .maximum, .minimum:
      if a == b && a != .varying { return a }
      guard let a = a.known, let b = b.known else { return .varying }
      return .known(self == .maximum ? max(a, b) : min(a, b))
    }
  }
}

extension GraphImporter {
  fileprivate mutating func binary(_ kind: BinaryOperation, _ node: inout ImportedNode) throws(CNNError) -> [Known] {
    node.pass("broadcast", "axis")
    return [try combined(kind, node.input(0), node.input(1))]
  }

  /// One operation after the other, over all inputs.
  fileprivate mutating func folded(_ kind: BinaryOperation, _ node: inout ImportedNode) throws(CNNError) -> Known {
    node.pass("consumed_inputs")
    var result = try node.input(0)
    for index in node.inputs.indices.dropFirst() {
      result = try combined(kind, result, node.input(index))
      if case .constant(let constant) = result { try charge(constant.count) }
    }
    return result
  }

  mutating func combined(_ kind: BinaryOperation, _ a: Known, _ b: Known) throws(CNNError) -> Known {
    if case .constant(let a) = a, case .constant(let b) = b { return .constant(try a.combined(kind, with: b)) }
    if kind == .maximum || kind == .minimum { return .tensor(try extremum(kind, a, b)) }
    switch (a, b) {
    case (.constant(let a), .constant(let b)): return .constant(try a.combined(kind, with: b))
    case (.tensor(let a), .tensor(let b)):
      switch kind {
      case .subtract: return .tensor(try combined(.add, a, negated(b)))
      case .divide: return .tensor(try combined(.multiply, a, applying(Activation(.power, ["exponent": -1]), b)))
      default: return .tensor(try combined(kind, a, b))
      }
    case (.tensor(let a), .constant(let b)):
      switch kind {
      case .subtract: return .tensor(try combined(.add, a, b.combined(.multiply, with: b.like(-1))))
      case .divide: return .tensor(try combined(.multiply, a, b.like(1).combined(.divide, with: b)))
      default: return .tensor(try combined(kind, a, b))
      }
    case (.constant(let a), .tensor(let b)):
      switch kind {
      case .subtract: return .tensor(try combined(.add, negated(b), a))
      case .divide: return .tensor(try combined(.multiply, applying(Activation(.power, ["exponent": -1]), b), a))
      default: return .tensor(try combined(kind, b, a))
      }
    }
  }

  /// The larger or smaller of two, of which one is computed; a limit that is one number is a clip.
  private mutating func extremum(_ kind: BinaryOperation, _ a: Known, _ b: Known) throws(CNNError) -> Traced {
    for (x, limit) in [(a, b), (b, a)] {
      guard case .tensor(let x) = x, case .constant(let limit) = limit, limit.count == 1, limit.shape.count <= rank(x)
      else { continue }
      let number = Double(try limit.numbers("the constant")[0])
      if number == (kind == .maximum ? -.infinity : .infinity) { return x }
      guard number.isFinite else { continue }
      switch (kind, number) {
      case (.maximum, 0): return try applying(Activation(.relu), x)
      case (.maximum, _): return try applying(Activation(.clip, ["minimum": number]), x)
      case (_, 6):
        if let relu = graph.node(defining: x.value), (relu.operation as? Activation)?.function == .relu {
          return Traced(value: try add(Activation(.relu6), [relu.operands[0]]), order: x.order)
        }
        return try applying(Activation(.clip, ["maximum": number]), x)
      default: return try applying(Activation(.clip, ["maximum": number]), x)
      }
    }
    let (operands, order) = try aligned([a, b], role: .bias)
    let operation: any Operation = kind == .maximum ? Maximum() : Minimum()
    return Traced(value: try add(operation, operands), order: order)
  }

  mutating func negated(_ x: Traced) throws(CNNError) -> Traced { try applying(Rescaling(scale: [-1]), x) }

  mutating func applying(_ operation: any Operation, _ x: Traced) throws(CNNError) -> Traced {
    Traced(value: try add(operation, [x.value]), order: x.order)
  }

  /// The sum or product of two tensors, of which sizes of 1 and missing axes in front are repeated.
  mutating func combined(_ kind: BinaryOperation, _ a: Traced, _ b: Traced) throws(CNNError) -> Traced {
    if kind == .multiply, let fused = try fusedProduct(a, b) { return fused }
    var (a, b) = (a, b)
    let missing = rank(a) - rank(b)
    if missing > 0 { b = try inserting(Array(0..<missing), into: b) }
    if missing < 0 { a = try inserting(Array(0..<(-missing)), into: a) }
    guard a.batch == b.batch else { throw mixesBatch("an operation on tensors of different rank") }
    // What has more elements stays where it is.
    if graph.type(of: a.value).count >= graph.type(of: b.value).count {
      b = try reordered(b, to: a.order)
    } else {
      a = try reordered(a, to: b.order)
    }
    let operation: any Operation = kind == .add ? Add() : Multiply()
    return Traced(value: try add(operation, [a.value, b.value]), order: a.order)
  }

  /// The sum or product with a constant.
  mutating func combined(_ kind: BinaryOperation, _ x: Traced, _ constant: Constant) throws(CNNError) -> Traced {
    if constant.count == 1 && constant.shape.count <= rank(x) {
      let number = Double(try constant.numbers("the constant")[0])
      guard number.isFinite else {
        throw CNNError(.invalidArgument, "the constant is \(number); expected a finite one")
      }
      if kind == .multiply, let undone = undoing(number, x) { return undone }
      let rescaling = kind == .add ? Rescaling(offset: [number]) : Rescaling(scale: [number])
      return Traced(value: try add(rescaling, [x.value]), order: x.order)
    }
    var x = x
    if constant.shape.count > rank(x) {
      x = try inserting(Array(0..<(constant.shape.count - rank(x))), into: x)
    }
    let role: Parameter.Role = kind == .add ? .bias : .normalizationScale
    let (value, shape) = try operand(constant, like: x, role: role, what: kind == .add ? "offset" : "factor")
    if kind == .add, shape.count == 1, let biased = try addingBias(value, to: x) { return biased }
    let operation: any Operation = kind == .add ? Add() : Multiply()
    return Traced(value: try add(operation, [x.value, value]), order: x.order)
  }

  /// A constant as a parameter with its axes as those of `x` in memory, without the axes of size 1 in front.
  mutating func operand(_ constant: Constant, like x: Traced, role: Parameter.Role, what: String) throws(CNNError)
    -> (value: Value, shape: [Int])
  {
    let count = graph.type(of: x.value).rank
    let full = Array(repeating: 1, count: rank(x) - constant.shape.count) + constant.shape
    // The file's axis at each place in memory; the first may be a batch that the file does not have.
    var axes: [Int?] = Array(repeating: nil, count: count)
    for (position, place) in x.order.enumerated() { axes[place] = position }
    if let batch = x.batch, full[batch] != 1 { throw mixesBatch("a constant with a value for each sample") }
    let laidOut = axes.compactMap { $0 }
    let kept = Array(laidOut.drop { full[$0] == 1 })
    let shape = kept.isEmpty ? [1] : kept.map { full[$0] }
    let value = try parameter(
      constant, role, role == .normalizationScale ? .ones : .zeros, key: "operand \(laidOut)", what: what
    ) { (constant) throws(CNNError) in
      let moved = try constant.reshaped(full).transposed(laidOut)
      return try moved.reshaped(shape)
    }
    return (value, shape)
  }

  /// A dense layer or convolution without a bias takes the sum as its own.
  private mutating func addingBias(_ bias: Value, to x: Traced) throws(CNNError) -> Traced? {
    guard let node = graph.node(defining: x.value), node.operands.count == 2,
      node.operation is Dense || node.operation is Convolution2D,
      graph.type(of: bias).shape == [graph.type(of: x.value).shape.last ?? 0]
    else { return nil }
    return Traced(value: try add(node.operation, node.operands + [bias]), order: x.order)
  }
}

extension Constant {
  /// One number of the same kind.
  func like(_ number: Int) throws(CNNError) -> Constant {
    switch content {
    case .sizes, .levels: return try Constant(shape: [], .sizes([.known(number)]))
    case .floats: return try Constant(shape: [], .floats(try ONNXFloats([Float(number)])))
    }
  }

  /// Arithmetic with another constant. What sizes are multiplied by may be whole numbers among floats.
  func combined(_ kind: BinaryOperation, with other: Constant) throws(CNNError) -> Constant {
    let shape = try Self.broadcast(self.shape, other.shape)
    let first = try Self.positions(of: self.shape, in: shape), second = try Self.positions(of: other.shape, in: shape)
    if let a = sizes(beside: other), let b = other.sizes(beside: self) {
      return try Constant(shape: shape, .sizes(zip(first, second).map { kind(a[$0], b[$1]) }))
    }
    let a = try numbers("the first operand"), b = try other.numbers("the second operand")
    let result = try ONNXFloats(count: first.count, "a constant") { target throws(CNNError) in
      for index in 0..<first.count { target[index] = kind(a[first[index]], b[second[index]]) }
    }
    return try Constant(shape: shape, .floats(result))
  }

  /// The elements as sizes, where both are, or where the other has sizes that are not known and these are whole numbers.
  private func sizes(beside other: Constant) -> [Size]? {
    func varies(_ sizes: [Size]) -> Bool { sizes.contains { $0.known == nil } }
    if let sizes { return other.sizes != nil || varies(sizes) ? sizes : nil }
    guard case .floats(let floats) = content, let sizes = other.sizes, varies(sizes) else { return nil }
    let whole = floats.compactMap { Int(exactly: $0) }
    return whole.count == floats.count ? whole.map { .known($0) } : nil
  }

  /// The shape to which two are repeated.
  static func broadcast(_ a: [Int], _ b: [Int]) throws(CNNError) -> [Int] {
    let rank = max(a.count, b.count)
    let first = Array(repeating: 1, count: rank - a.count) + a
    let second = Array(repeating: 1, count: rank - b.count) + b
    guard zip(first, second).allSatisfy({ $0 == $1 || $0 == 1 || $1 == 1 }) else {
      throw CNNError(.shapeMismatch, "the shapes \(describe(a)) and \(describe(b)) do not fit")
    }
    return zip(first, second).map { $0 == 1 ? $1 : $0 }
  }

  /// For each element of a shape the position of the one that is repeated there.
  static func positions(of shape: [Int], in target: [Int]) throws(CNNError) -> [Int] {
    guard try Checked.product(target, "a constant") <= maximumCount else {
      throw CNNError(.outOfMemory, "a constant of shape \(describe(target)) is computed; that is too large")
    }
    var stride = 1, strides: [Int] = []
    for size in shape.reversed() {
      strides.insert(size == 1 ? 0 : stride, at: 0)
      stride *= size
    }
    return positions(target, strides: Array(repeating: 0, count: target.count - shape.count) + strides)
  }
}
