import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Other shapes of the same elements.
  static let shapes: [String: ImportedOperation] = [
    "Identity": { importer, node throws(CNNError) in [try node.input(0)] },
    "Cast": { importer, node throws(CNNError) in try importer.cast(&node) },
    "Flatten": { importer, node throws(CNNError) in try importer.flatten(&node) },
    "Reshape": { importer, node throws(CNNError) in try importer.reshape(&node) },
    "Squeeze": { importer, node throws(CNNError) in try importer.squeeze(&node) },
    "Unsqueeze": { importer, node throws(CNNError) in try importer.unsqueeze(&node) },
    "Transpose": { importer, node throws(CNNError) in try importer.transpose(&node) },
  ]
}

extension GraphImporter {
  fileprivate mutating func cast(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    guard let code = try node.integer("to") else { throw CNNError(.malformedFile, "attribute 'to' is missing") }
    node.pass("saturate", "round_mode")
    switch try node.input(0) {
    case .tensor(let x):
      // Masks and positions are whole numbers in float32.
      if ElementCode.isFloat(code) || isWhole(x.value) && code != ElementCode.bool { return [.tensor(x)] }
      guard code == ElementCode.bool else {
        throw CNNError(
          .invalidArgument, "a computed tensor becomes \(ElementCode.name(code)); only float32 is computed with")
      }
      return [.tensor(try truth(x))]
    case .constant(let constant):
      if ElementCode.isFloat(code) {
        if case .floats = constant.content { return [.constant(constant)] }
        // Sizes that are not known yet stay what they are.
        if case .sizes(let sizes) = constant.content, sizes.contains(where: { $0.known == nil }) {
          return [.constant(constant)]
        }
        return [.constant(try Constant(shape: constant.shape, .floats(try constant.numbers("the input"))))]
      }
      guard ElementCode.isInteger(code) else {
        throw CNNError(.invalidArgument, "the element type is \(ElementCode.name(code)), which is not read")
      }
      guard case .floats(let floats) = constant.content else {
        var same = code == ElementCode.bool ? try constant.truth() : constant
        same.element = code
        return [.constant(same)]
      }
      var sizes: [Size] = []
      for value in floats {
        if code == ElementCode.bool {
          sizes.append(.known(value == 0 ? 0 : 1))
          continue
        }
        guard let whole = Int(exactly: value.rounded(.towardZero)) else {
          throw CNNError(.invalidArgument, "\(value) cannot become a whole number")
        }
        sizes.append(.known(whole))
      }
      return [.constant(try Constant(shape: constant.shape, .sizes(sizes), element: code))]
    }
  }

  fileprivate mutating func flatten(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let given = try node.integer("axis", default: 1)
    func target(_ sizes: [Size]) throws(CNNError) -> [Size] {
      let position = given < 0 ? given &+ sizes.count : given
      guard (0...sizes.count).contains(position) else {
        throw CNNError(.malformedFile, "axis is \(given); the tensor has \(sizes.count) axes")
      }
      return [sizes[..<position].reduce(.known(1), *), sizes[position...].reduce(.known(1), *)]
    }
    switch try node.input(0) {
    case .tensor(let x): return [.tensor(try reshaped(x, to: target(sizes(x))))]
    case .constant(let constant):
      let shape = try target(constant.shape.map { .known($0) }).compactMap(\.known)
      return [.constant(try constant.reshaped(shape))]
    }
  }

  fileprivate mutating func reshape(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let allowsZero = try node.flag("allowzero", default: false)
    var target: [Size]
    if let shape = try node.integers("shape") {
      target = shape.map { .known($0) }
    } else {
      target = try node.constant(1, "the shape").sizes("the shape")
    }
    guard target.count <= TensorType.maximumRank else {
      throw CNNError(
        .invalidArgument, "the shape has \(target.count) axes; at most \(TensorType.maximumRank) are possible")
    }
    let given: [Size]
    switch try node.input(0) {
    case .tensor(let x): given = sizes(x)
    case .constant(let constant): given = constant.shape.map { .known($0) }
    }
    if !allowsZero {
      for position in target.indices where target[position] == .known(0) {
        guard given.indices.contains(position) else {
          throw CNNError(.malformedFile, "the shape copies axis \(position), which the input does not have")
        }
        target[position] = given[position]
      }
    }
    guard target.allSatisfy({ $0.known.map { $0 >= 1 || $0 == -1 } ?? true }),
      target.filter({ $0 == .known(-1) }).count <= 1
    else {
      throw CNNError(
        .invalidArgument, "the shape is \(Self.describe(target)); expected sizes of 1 or more, and -1 once")
    }
    switch try node.input(0) {
    case .tensor(let x):
      // A batch that is a number in the file is the batch.
      if let batch = x.batch, batch == 0, let fixedBatch, target.first == .known(fixedBatch) {
        target[0] = .batch(times: 1)
      }
      if let open = target.firstIndex(of: .known(-1)) {
        let others = target.enumerated().reduce(Size.known(1)) { $1.offset == open ? $0 : $0 * $1.element }
        let rest = given.reduce(.known(1), *) / others
        if rest == .varying {
          return [.tensor(try reshapedOpen(x, to: target, open: open))]
        }
        target[open] = rest
      }
      return [.tensor(try reshaped(x, to: target))]
    case .constant(let constant):
      var shape: [Int] = []
      for size in target {
        guard let known = size.known else {
          throw CNNError(.invalidArgument, "a constant gets a shape that depends on the input's")
        }
        shape.append(known)
      }
      if let open = shape.firstIndex(of: -1) {
        let others = try Checked.product(shape.filter { $0 != -1 }, "the shape")
        guard others > 0, constant.count % others == 0 else {
          throw CNNError(
            .shapeMismatch, "the shape \(CNNGraph.describe(shape)) does not hold \(constant.count) elements")
        }
        shape[open] = constant.count / others
      }
      guard try Checked.product(shape, "the shape") == constant.count else {
        throw CNNError(.shapeMismatch, "the shape \(CNNGraph.describe(shape)) does not hold \(constant.count) elements")
      }
      return [.constant(try constant.reshaped(shape))]
    }
  }

  /// A reshape whose open axis has a size that varies with the input's.
  private mutating func reshapedOpen(_ x: Traced, to target: [Size], open: Int) throws(CNNError) -> Traced {
    guard options.batch, x.batch == 0, open > 0, target[0] == .batch(times: 1) else { throw mixesBatch("a reshape") }
    var shape: [Int?] = []
    for size in target { shape.append(size == .known(-1) || size == .batch(times: 1) ? nil : size.known) }
    let value = try reshape(plain(x).value, to: shape)
    return Traced(value: value, order: plainOrder(rank: target.count))
  }

  private static func describe(_ sizes: [Size]) -> String {
    let words = sizes.map { size in
      switch size {
      case .known(let value): "\(value)"
      case .batch(let times): times == 1 ? "batch" : "\(times) * batch"
      case .varying: "any"
      }
    }
    return "[\(words.joined(separator: ", "))]"
  }

  fileprivate mutating func squeeze(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let given = try node.integers("axes", orInput: 1)
    switch try node.input(0) {
    case .tensor(let x):
      let sizes = sizes(x)
      let taken =
        try given.map { (given) throws(CNNError) in try axes(given, of: rank(x)) }
        ?? sizes.indices.filter { sizes[$0] == .known(1) }
      return [.tensor(taken.isEmpty ? x : try removing(taken, from: x))]
    case .constant(let constant):
      let shape = constant.shape
      let taken =
        try given.map { (given) throws(CNNError) in try axes(given, of: shape.count) }
        ?? shape.indices.filter { shape[$0] == 1 }
      guard taken.allSatisfy({ shape[$0] == 1 }) else {
        throw CNNError(
          .shapeMismatch, "axes \(CNNGraph.describe(taken)) of \(CNNGraph.describe(shape)) are not all of size 1")
      }
      return [.constant(try constant.reshaped(shape.indices.filter { !taken.contains($0) }.map { shape[$0] }))]
    }
  }

  fileprivate mutating func unsqueeze(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    guard let given = try node.integers("axes", orInput: 1) else { throw CNNError(.malformedFile, "axes are missing") }
    switch try node.input(0) {
    case .tensor(let x):
      let added = try axes(given, of: rank(x) + given.count)
      return [.tensor(added.isEmpty ? x : try inserting(added.sorted(), into: x))]
    case .constant(let constant):
      let rank = constant.shape.count + given.count, added = try axes(given, of: rank)
      guard rank <= TensorType.maximumRank else {
        throw CNNError(.invalidArgument, "the result has \(rank) axes; at most \(TensorType.maximumRank) are possible")
      }
      var rest = constant.shape[...]
      return [.constant(try constant.reshaped((0..<rank).map { added.contains($0) ? 1 : rest.popFirst() ?? 1 }))]
    }
  }

  fileprivate mutating func transpose(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let input = try node.input(0), given = try node.integers("perm")
    func order(_ rank: Int) throws(CNNError) -> [Int] {
      let order = given ?? Array((0..<rank).reversed())
      guard order.sorted() == Array(0..<rank) else {
        throw CNNError(.malformedFile, "perm is \(CNNGraph.describe(order)); expected a permutation of \(rank) axes")
      }
      return order
    }
    switch input {
    case .tensor(let x): return [.tensor(Traced(value: x.value, order: try order(rank(x)).map { x.order[$0] }))]
    case .constant(let constant):
      let order = try order(constant.shape.count)
      // It keeps its name, and so is not counted as a result.
      if order != Array(constant.shape.indices) { try charge(constant.count) }
      return [.constant(try constant.transposed(order))]
    }
  }
}
