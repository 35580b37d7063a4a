import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Comparisons, what is made of their results, and choices by them. A mask that is computed is 1 and 0 in float32.
  static let masks: [String: ImportedOperation] = [
    "Greater": comparison(.greater), "GreaterOrEqual": comparison(.greaterOrEqual), "Equal": comparison(.equal),
    "Less": comparison(.greater, isExchanged: true), "LessOrEqual": comparison(.greaterOrEqual, isExchanged: true),
    "Not": { importer, node throws(CNNError) in
      switch try node.input(0) {
      case .constant(let constant): return [.constant(try constant.compared(.equal, with: constant.like(0)))]
      case .tensor(let x): return [.tensor(try importer.complement(x))]
      }
    },
    "And": { importer, node throws(CNNError) in
      [try importer.combined(.multiply, importer.truthInput(0, &node), importer.truthInput(1, &node))]
    },
    "Or": { importer, node throws(CNNError) in
      [try importer.combined(.maximum, importer.truthInput(0, &node), importer.truthInput(1, &node))]
    },
    "Xor": { importer, node throws(CNNError) in
      let isEqual = try importer.compared(.equal, importer.truthInput(0, &node), importer.truthInput(1, &node))
      switch isEqual {
      case .constant(let constant): return [.constant(try constant.compared(.equal, with: constant.like(0)))]
      case .tensor(let x): return [.tensor(try importer.complement(x))]
      }
    },
    "Where": { importer, node throws(CNNError) in
      let mask = try node.input(0), a = try node.input(1), b = try node.input(2)
      return [try importer.selected(mask, a, b)]
    },
    "Sign": { importer, node throws(CNNError) in
      let x = try node.input(0), zero = Known.constant(try Constant(shape: [], .floats(ONNXFloats([0]))))
      return [
        try importer.combined(.subtract, importer.compared(.greater, x, zero), importer.compared(.greater, zero, x))
      ]
    },
    "ThresholdedRelu": { importer, node throws(CNNError) in
      let alpha = try node.number("alpha", default: 1), x = Known.tensor(try node.tensor(0))
      let limit = Known.constant(try Constant(shape: [], .floats(ONNXFloats([Float(alpha)]))))
      let zero = Known.constant(try Constant(shape: [], .floats(ONNXFloats([0]))))
      return [try importer.selected(importer.compared(.greater, x, limit), x, zero)]
    },
  ]

  private static func comparison(_ kind: ComparisonKind, isExchanged: Bool = false) -> ImportedOperation {
    { importer, node throws(CNNError) in
      node.pass("broadcast", "axis")
      let (a, b) = (try node.input(0), try node.input(1))
      return [try importer.compared(kind, isExchanged ? b : a, isExchanged ? a : b)]
    }
  }
}

extension GraphImporter {
  mutating func compared(_ kind: ComparisonKind, _ a: Known, _ b: Known) throws(CNNError) -> Known {
    if case .constant(let a) = a, case .constant(let b) = b { return .constant(try a.compared(kind, with: b)) }
    let (operands, order) = try aligned([a, b], role: .statistic)
    return .tensor(Traced(value: try add(Comparison(kind), operands), order: order))
  }

  fileprivate mutating func selected(_ mask: Known, _ a: Known, _ b: Known) throws(CNNError) -> Known {
    if case .constant(let mask) = mask {
      if case .constant(let a) = a, case .constant(let b) = b { return .constant(try mask.selecting(a, b)) }
      // Of what is the same everywhere nothing is left to choose.
      if mask.count == 1, case .tensor(let x) = try mask.integers("the mask") == [0] ? b : a,
        mask.shape.count <= rank(x), try isWhole(x, beside: a, b)
      {
        return .tensor(x)
      }
    }
    let (operands, order) = try aligned([mask, a, b], role: .bias, maskCount: 1)
    return .tensor(Traced(value: try add(Select(), operands), order: order))
  }

  /// Whether a tensor has the shape of what it is combined with.
  private func isWhole(_ x: Traced, beside a: Known, _ b: Known) throws(CNNError) -> Bool {
    for other in [a, b] {
      switch other {
      case .tensor(let tensor): if sizes(tensor) != sizes(x) || sizes(x).contains(.varying) { return false }
      case .constant(let constant): if constant.count != 1 || constant.shape.count > rank(x) { return false }
      }
    }
    return true
  }

  fileprivate mutating func truthInput(_ index: Int, _ node: inout ImportedNode) throws(CNNError) -> Known {
    node.pass("broadcast", "axis")
    switch try node.input(index) {
    case .constant(let constant): return .constant(try constant.truth())
    case .tensor(let x): return .tensor(try truth(x))
    }
  }

  fileprivate mutating func complement(_ x: Traced) throws(CNNError) -> Traced {
    try applying(Rescaling(scale: [-1], offset: [1]), truth(x))
  }

  /// 1 where the numbers are not 0.
  mutating func truth(_ x: Traced) throws(CNNError) -> Traced {
    if isMask(x.value) { return x }
    let zero = try add(Fill(0, shape: []), [])
    let isZero = try add(Comparison(.equal), [x.value, zero])
    return Traced(value: try add(Rescaling(scale: [-1], offset: [1]), [isZero]), order: x.order)
  }

  /// Whether all elements are 0 or 1.
  private func isMask(_ value: Value) -> Bool {
    isMade(of: value) { graph, node in
      switch node.operation {
      case is Comparison: []
      case let rescaling as Rescaling where rescaling.scale == [-1] && rescaling.offset == [1]: node.operands
      case is Multiply, is Maximum, is Minimum, is Reshape, is Permute, is Slice, is Gather, is Concatenate:
        node.operands
      default: nil
      }
    }
  }

  /// Whether all elements are whole numbers.
  func isWhole(_ value: Value) -> Bool {
    isMade(of: value) { graph, node in
      func isWhole(_ numbers: [Double]) -> Bool { numbers.allSatisfy { $0.rounded() == $0 } }
      switch node.operation {
      case is Comparison, is ArgMax: return []
      case let fill as Fill where isWhole([fill.value]): return []
      case let rescaling as Rescaling where isWhole(rescaling.scale + rescaling.offset): return node.operands
      case is Select: return Array(node.operands.dropFirst())
      case let reduction as Reduction where reduction.kind != .mean: return node.operands
      case is Add, is Multiply, is Maximum, is Minimum, is Reshape, is Permute, is Slice, is Gather, is Concatenate:
        return node.operands
      default: return nil
      }
    }
  }

  /// Whether what a value is computed of leads back to nodes for which `sources` has an empty list: what a node passes on
  /// is made of the values it returns, nil where it is something else.
  private func isMade(of value: Value, sources: (Graph, Node) -> [Value]?) -> Bool {
    var rest = [value], seen: Set<Value> = [value]
    while let value = rest.popLast() {
      guard let node = graph.node(defining: value), let operands = sources(graph, node), seen.count < 256 else {
        return false
      }
      for operand in operands where seen.insert(operand).inserted { rest.append(operand) }
    }
    return true
  }

  /// Operands of which sizes of 1 and missing axes in front are repeated, with their axes alike; one of them at least is
  /// computed. Those that are constants get this role, except for the first `maskCount`, which nothing is learned of.
  mutating func aligned(_ inputs: [Known], role: Parameter.Role, maskCount: Int = 0) throws(CNNError)
    -> (operands: [Value], order: [Int])
  {
    var count = 0
    for input in inputs {
      switch input {
      case .tensor(let tensor): count = max(count, rank(tensor))
      case .constant(let constant): count = max(count, constant.shape.count)
      }
    }
    var tensors: [Int: Traced] = [:], leading: Traced?
    for (index, input) in inputs.enumerated() {
      guard case .tensor(var tensor) = input else { continue }
      let missing = count - rank(tensor)
      if missing > 0 { tensor = try inserting(Array(0..<missing), into: tensor) }
      tensors[index] = tensor
      // What has most elements stays where it is.
      if graph.type(of: tensor.value).count > leading.map({ graph.type(of: $0.value).count }) ?? 0 { leading = tensor }
    }
    guard let leading else { throw CNNError(.internalFault, "no operand is computed") }
    var operands: [Value] = []
    for (index, input) in inputs.enumerated() {
      switch input {
      case .tensor:
        guard let tensor = tensors[index], tensor.batch == leading.batch else {
          throw mixesBatch("an operation on tensors of different rank")
        }
        operands.append(try reordered(tensor, to: leading.order).value)
      case .constant(let constant):
        let numbers = try constant.numbers("the constant")
        if numbers.count == 1, numbers[0].isFinite {
          operands.append(try add(Fill(Double(numbers[0]), shape: []), []))
        } else {
          var floats = constant
          if constant.sizes != nil {
            try charge(constant.count)
            floats = try Constant(shape: constant.shape, .floats(numbers))
          }
          let role = index < maskCount ? .statistic : role
          operands.append(try operand(floats, like: leading, role: role, what: "operand").value)
        }
      }
    }
    return (operands, leading.order)
  }
}

extension Constant {
  /// 1 and 0 where the comparison of two constants holds or not.
  func compared(_ kind: ComparisonKind, with other: Constant) throws(CNNError) -> Constant {
    let shape = try Self.broadcast(self.shape, other.shape)
    let first = try Self.positions(of: self.shape, in: shape), second = try Self.positions(of: other.shape, in: shape)
    var result: [Size] = []
    result.reserveCapacity(first.count)
    if let a = sizes, let b = other.sizes {
      for (i, j) in zip(first, second) {
        guard let holds = kind(a[i], b[j]) else {
          throw CNNError(.invalidArgument, "it depends on the size of the network's input, which is not fixed")
        }
        result.append(.known(holds ? 1 : 0))
      }
    } else {
      let a = try numbers("the first operand"), b = try other.numbers("the second operand")
      for (i, j) in zip(first, second) { result.append(.known(kind(a[i], b[j]) ? 1 : 0)) }
    }
    return try Constant(shape: shape, .sizes(result))
  }

  /// 1 where the numbers are not 0, else 0.
  func truth() throws(CNNError) -> Constant {
    let isZero = try compared(.equal, with: like(0))
    return try isZero.compared(.equal, with: isZero.like(0))
  }

  /// What two constants have where this one is not 0, and where it is.
  fileprivate func selecting(_ a: Constant, _ b: Constant) throws(CNNError) -> Constant {
    let shape = try Self.broadcast(self.shape, Self.broadcast(a.shape, b.shape))
    let mask = try truth().integers("the mask"), places = try Self.positions(of: self.shape, in: shape)
    let first = try Self.positions(of: a.shape, in: shape), second = try Self.positions(of: b.shape, in: shape)
    if let x = a.sizes, let y = b.sizes {
      let chosen = places.indices.map { mask[places[$0]] != 0 ? x[first[$0]] : y[second[$0]] }
      return try Constant(shape: shape, .sizes(chosen))
    }
    let x = try a.numbers("the second input"), y = try b.numbers("the third input")
    let chosen = places.indices.map { mask[places[$0]] != 0 ? x[first[$0]] : y[second[$0]] }
    return try Constant(shape: shape, .floats(try ONNXFloats(chosen)))
  }
}

extension ComparisonKind {
  fileprivate func callAsFunction(_ a: Float, _ b: Float) -> Bool {
    switch self {
    case .greater: a > b
    case .greaterOrEqual: a >= b
    case .equal: a == b
    }
  }

  /// Nil where it is not known. Every size is 1 at least.
  fileprivate func callAsFunction(_ a: Size, _ b: Size) -> Bool? {
    switch (a, b) {
    case (.known(let x), .known(let y)):
      switch self {
      case .greater: return x > y
      case .greaterOrEqual: return x >= y
      case .equal: return x == y
      }
    case (.batch, .known(...0)): return self != .equal
    case (.known(...0), .batch): return false
    case (.batch(let x), .batch(let y)) where x == y: return self != .greater
    default: return nil
    }
  }
}
