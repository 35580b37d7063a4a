import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Parts of tensors, and tensors made of parts.
  static let parts: [String: ImportedOperation] = [
    "Concat": { importer, node throws(CNNError) in try importer.concatenate(&node) },
    "Split": { importer, node throws(CNNError) in try importer.split(&node) },
    "Slice": { importer, node throws(CNNError) in try importer.slice(&node) },
    "Gather": { importer, node throws(CNNError) in try importer.gather(&node) },
  ]
}

extension GraphImporter {
  fileprivate mutating func concatenate(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    guard let given = try node.integer("axis") else { throw CNNError(.malformedFile, "attribute 'axis' is missing") }
    var tensors: [Traced] = [], constants: [Constant] = []
    for index in node.inputs.indices {
      switch try node.input(index) {
      case .tensor(let tensor): tensors.append(tensor)
      case .constant(let constant): constants.append(constant)
      }
    }
    guard tensors.isEmpty || constants.isEmpty else {
      throw CNNError(.invalidArgument, "some inputs are constants and others are not")
    }
    if let first = constants.first {
      let position = try axis(given, of: first.shape.count)
      return [.constant(try Constant.joined(constants, along: position))]
    }
    guard let first = tensors.first else { throw CNNError(.malformedFile, "there are no inputs") }
    let position = try axis(given, of: rank(first))
    guard first.order[position] != 0 else { throw mixesBatch("a concatenation of samples") }
    guard tensors.allSatisfy({ rank($0) == rank(first) }) else {
      throw CNNError(.shapeMismatch, "the inputs have different numbers of axes")
    }
    let order = tensors.first { $0.order == Traced.image }?.order ?? first.order
    var operands: [Value] = []
    for tensor in tensors { operands.append(try reordered(tensor, to: order).value) }
    if operands.count == 1 { return [.tensor(first)] }
    return [.tensor(Traced(value: try add(Concatenate(axis: order[position]), operands), order: order))]
  }

  fileprivate mutating func split(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let given = try node.integer("axis", default: 0), input = try node.input(0)
    let lengths = try node.integers("split", orInput: 1)
    let count = node.outputs.count, parts = try node.integer("num_outputs", default: count)
    func lengthsOf(_ size: Int) throws(CNNError) -> [Int] {
      if let lengths { return lengths }
      guard parts >= 1, parts <= size, parts <= count else {
        throw CNNError(.malformedFile, "\(size) elements cannot be divided into \(parts) parts for \(count) outputs")
      }
      let length = (size + parts - 1) / parts
      let last = size - length * (parts - 1)
      guard last >= 1, last == length || version >= 18 else {
        throw CNNError(.malformedFile, "\(size) elements cannot be divided into \(parts) equal parts")
      }
      return Array(repeating: length, count: parts - 1) + [last]
    }
    guard lengths?.count ?? count == count else {
      throw CNNError(.malformedFile, "there are \(lengths?.count ?? 0) parts and \(count) outputs")
    }
    var results: [Known] = [], start = 0
    switch input {
    case .tensor(let x):
      let position = try axis(given, of: rank(x))
      let size = try knownSize(x, position, "a split")
      let lengths = try lengthsOf(size)
      guard try Checked.sum(lengths, "the parts") == size, lengths.allSatisfy({ $0 >= 1 }) else {
        throw CNNError(.malformedFile, "the parts \(describe(lengths)) are not the \(size) elements; none can be empty")
      }
      for length in lengths {
        results.append(.tensor(try slice(x, position, start: start, length: length)))
        start += length
      }
    case .constant(let constant):
      let position = try axis(given, of: constant.shape.count), size = constant.shape[position]
      let lengths = try lengthsOf(size)
      guard try Checked.sum(lengths, "the parts") == size, lengths.allSatisfy({ $0 >= 0 }) else {
        throw CNNError(.malformedFile, "the parts \(describe(lengths)) are not the \(size) elements")
      }
      try charge(size)
      for length in lengths {
        results.append(.constant(try constant.taking(Array(start..<start + length), along: position)))
        start += length
      }
    }
    return results
  }

  fileprivate mutating func slice(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    guard let starts = try node.integers("starts", orInput: 1), let ends = try node.integers("ends", orInput: 2) else {
      throw CNNError(.malformedFile, "starts or ends are missing")
    }
    let given = try node.integers("axes", orInput: 3), steps = try node.optionalConstant(4, "steps")?.integers("steps")
    guard ends.count == starts.count, given?.count ?? starts.count == starts.count,
      steps?.count ?? starts.count == starts.count
    else { throw CNNError(.malformedFile, "starts, ends, axes and steps have different numbers of elements") }
    let input = try node.input(0)
    let count: Int
    switch input {
    case .tensor(let x): count = rank(x)
    case .constant(let constant): count = constant.shape.count
    }
    let positions = try axes(given ?? Array(starts.indices), of: count)
    var result = input
    for (index, position) in positions.enumerated() {
      let step = steps?[index] ?? 1
      guard step != 0 else { throw CNNError(.malformedFile, "a step is 0") }
      switch result {
      case .tensor(let x):
        let isWhole = starts[index] == 0 && step == 1
        // A slice up to the largest number takes all, however many there are.
        if isWhole && ends[index] >= Int(Int32.max) { continue }
        let size = try knownSize(x, position, "a slice")
        let range = Self.range(starts[index], ends[index], step, of: size)
        guard let first = range.first else { throw nothingLeft(position) }
        if step == 1 {
          result = .tensor(try slice(x, position, start: first, length: range.count))
        } else {
          try charge(range.count)
          result = .tensor(try take(x, position, Array(range)))
        }
      case .constant(let constant):
        let range = Self.range(starts[index], ends[index], step, of: constant.shape[position])
        if step == 1 && range.count == constant.shape[position] { continue }
        try charge(range.count)
        result = .constant(try constant.taking(Array(range), along: position))
      }
    }
    return [result]
  }

  /// The indices from `start` to `end`, which count from the last where they are negative and end at the borders.
  private static func range(_ start: Int, _ end: Int, _ step: Int, of size: Int) -> SteppedRange {
    func resolved(_ index: Int) -> Int { index < 0 ? max(index, -size - 1) + size : min(index, size) }
    if step > 0 { return .init(from: max(0, resolved(start)), to: min(size, resolved(end)), by: min(step, size + 1)) }
    // ONNX's rule, not Python's: what begins before the first begins at it.
    let first = min(size - 1, max(0, resolved(start))), last = end < -size ? -1 : resolved(end)
    return .init(from: first, to: max(-1, last), by: max(step, -size - 1))
  }

  private func nothingLeft(_ axis: Int) -> CNNError {
    CNNError(.invalidArgument, "nothing is left along axis \(axis); tensors without elements are not supported")
  }

  fileprivate mutating func gather(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let given = try node.integer("axis", default: 0), input = try node.input(0)
    let index = try node.constant(1, "the indices")
    try charge(index.count)
    let indices = try index.integers("the indices")
    func resolved(_ size: Int) throws(CNNError) -> [Int] {
      var result: [Int] = []
      for index in indices {
        let position = index < 0 ? index &+ size : index
        guard (0..<size).contains(position) else {
          throw CNNError(.malformedFile, "index \(index) lies outside the \(size) elements")
        }
        result.append(position)
      }
      return result
    }
    switch input {
    case .constant(let constant):
      let position = try axis(given, of: constant.shape.count), shape = constant.shape
      let taken = try constant.taking(resolved(shape[position]), along: position)
      return [.constant(try taken.reshaped(Array(shape[..<position]) + index.shape + Array(shape[(position + 1)...])))]
    case .tensor(let x):
      let position = try axis(given, of: rank(x)), size = try knownSize(x, position, "a choice of samples")
      let taken = try take(x, position, resolved(size))
      if index.shape.count == 1 { return [.tensor(taken)] }
      if index.shape.isEmpty { return [.tensor(try removing([position], from: taken))] }
      let sizes = sizes(x)
      let target = Array(sizes[..<position]) + index.shape.map { .known($0) } + Array(sizes[(position + 1)...])
      return [.tensor(try reshaped(taken, to: target))]
    }
  }

  /// The size of an axis that is cut. Throws where it varies, or is the batch.
  func knownSize(_ x: Traced, _ axis: Int, _ what: String) throws(CNNError) -> Int {
    switch sizes(x)[axis] {
    case .known(let size): return size
    case .batch: throw mixesBatch(what)
    case .varying: throw CNNError(.invalidArgument, "\(what) along axis \(axis), whose size varies with the input's")
    }
  }

  /// Elements along one of the file's axes.
  mutating func take(_ x: Traced, _ axis: Int, _ indices: [Int]) throws(CNNError) -> Traced {
    guard let first = indices.first else { throw nothingLeft(axis) }
    // What follows in order is a slice.
    if indices.enumerated().allSatisfy({ $1 == first + $0 }) {
      return try slice(x, axis, start: first, length: indices.count)
    }
    guard indices.count <= Self.maximumGatherCount else {
      throw CNNError(
        .outOfMemory, "\(indices.count) elements are chosen; at most \(Self.maximumGatherCount) are possible")
    }
    try charge(indices.count)
    return Traced(value: try add(Gather(axis: x.order[axis], indices: indices), [x.value]), order: x.order)
  }

  /// More indices make descriptions of networks that are too long.
  private static let maximumGatherCount = 1 << 18

  mutating func slice(_ x: Traced, _ axis: Int, start: Int, length: Int) throws(CNNError) -> Traced {
    if start == 0 && sizes(x)[axis] == .known(length) { return x }
    let value = try add(Slice(axis: x.order[axis], start: start, length: length), [x.value])
    return Traced(value: value, order: x.order)
  }
}

/// Numbers at equal distances, from the first up or down to just before the last.
private struct SteppedRange: RandomAccessCollection {
  let startIndex = 0
  let endIndex: Int
  private let start, step: Int

  init(from start: Int, to end: Int, by step: Int) {
    (self.start, self.step) = (start, step)
    let distance = step > 0 ? end - start : start - end
    endIndex = distance <= 0 ? 0 : (distance - 1) / step.magnitudeAsInt + 1
  }

  subscript(position: Int) -> Int { start + position * step }
}

extension Int {
  /// The size of a step, which is never the smallest number.
  fileprivate var magnitudeAsInt: Int { self < 0 ? -self : self }
}
