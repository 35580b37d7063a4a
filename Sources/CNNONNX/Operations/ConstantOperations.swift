import CNNCore
import CNNGraph

extension ImportedOperations {
  /// What is known when the file is read.
  static let constants: [String: ImportedOperation] = [
    "Constant": { importer, node throws(CNNError) in try importer.constant(&node) },
    "ConstantOfShape": { importer, node throws(CNNError) in try importer.constantOfShape(&node) },
    "Shape": { importer, node throws(CNNError) in try importer.shape(&node) },
    "Range": { importer, node throws(CNNError) in try importer.range(&node) },
  ]
}

extension GraphImporter {
  fileprivate mutating func constant(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    // Some exporters keep weights so: what they are named by is the output.
    if let tensor = try node.tensor("value") {
      let constant = try constant(tensor, named: node.outputs.first)
      return [.constant(constant)]
    }
    if let number = try node.number("value_float") {
      return [.constant(try Constant(shape: [], .floats(try ONNXFloats([Float(number)]))))]
    }
    if let numbers = try node.numbers("value_floats") {
      return [.constant(try Constant(shape: [numbers.count], .floats(try ONNXFloats(numbers))))]
    }
    if let number = try node.integer("value_int") {
      return [.constant(try Constant(shape: [], .sizes([.known(number)])))]
    }
    if let numbers = try node.integers("value_ints") {
      return [.constant(Constant(sizes: numbers.map { .known($0) }))]
    }
    throw CNNError(.invalidArgument, "the value is neither a tensor nor numbers")
  }

  fileprivate mutating func constantOfShape(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let shape = try node.constant(0, "the shape").integers("the shape")
    guard shape.count <= TensorType.maximumRank, shape.allSatisfy({ $0 >= 0 }),
      try Checked.product(shape, "the shape") <= Constant.maximumCount, !shape.contains(0) || shape.count == 1
    else { throw CNNError(.outOfMemory, "a constant of shape \(describe(shape)) is too large") }
    let count = shape.reduce(1, *)
    let value = try node.tensor("value").map { (tensor) throws(CNNError) in try constant(tensor) }
    guard value?.count ?? 1 == 1 else { throw CNNError(.malformedFile, "the value is not one number") }
    if let sizes = value?.sizes {
      return [.constant(try Constant(shape: shape, .sizes(Array(repeating: sizes[0], count: count))))]
    }
    let number = try value?.floats("the value")[0] ?? 0
    let floats = try ONNXFloats(count: count, "a constant") { target throws(CNNError) in
      target.update(repeating: number)
    }
    return [.constant(try Constant(shape: shape, .floats(floats)))]
  }

  fileprivate mutating func shape(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let start = try node.integer("start", default: 0), end = try node.integer("end", default: .max)
    let all: [Size]
    switch try node.input(0) {
    case .tensor(let x): all = sizes(x)
    case .constant(let constant): all = constant.shape.map { .known($0) }
    }
    func resolved(_ index: Int) -> Int { min(max(index < 0 ? index &+ all.count : index, 0), all.count) }
    let first = resolved(start), last = max(first, resolved(end))
    return [.constant(Constant(sizes: Array(all[first..<last])))]
  }

  fileprivate mutating func range(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let limits = [
      try node.constant(0, "the start"), try node.constant(1, "the limit"), try node.constant(2, "the step"),
    ]
    guard limits.allSatisfy({ $0.count == 1 }) else {
      throw CNNError(.malformedFile, "start, limit and step are not one number each")
    }
    func length(_ start: Double, _ limit: Double, _ step: Double) throws(CNNError) -> Int {
      let count = ((limit - start) / step).rounded(.up)
      guard count.isFinite, count <= Double(Constant.maximumCount) else {
        throw CNNError(.outOfMemory, "a range from \(start) to \(limit) by \(step) is too long")
      }
      return count > 0 ? Int(count) : 0
    }
    if limits.allSatisfy({ $0.sizes != nil }) {
      var numbers: [Int] = []
      for limit in limits { numbers.append(try limit.integers("a limit")[0]) }
      let length = try length(Double(numbers[0]), Double(numbers[1]), Double(numbers[2]))
      return [
        .constant(Constant(sizes: (0..<length).map { Size.known(numbers[0]) + .known($0) * .known(numbers[2]) }))
      ]
    }
    var numbers: [Float] = []
    for limit in limits { numbers.append(try limit.numbers("a limit")[0]) }
    let length = try length(Double(numbers[0]), Double(numbers[1]), Double(numbers[2]))
    let floats = try ONNXFloats((0..<length).map { numbers[0] + Float($0) * numbers[2] })
    return [.constant(try Constant(shape: [length], .floats(floats)))]
  }
}
