import CNNCore
import CNNGraph

extension Constant {
  /// The elements with these indices along an axis.
  func taking(_ indices: [Int], along axis: Int) throws(CNNError) -> Constant {
    if indices.count == shape[axis] && indices.elementsEqual(0..<shape[axis]) { return self }
    var target = shape
    target[axis] = indices.count
    guard try Checked.product(target, "a constant") <= max(Self.maximumCount, count) else {
      throw CNNError(.outOfMemory, "a constant of shape \(describe(target)) is computed; that is too large")
    }
    let step = shape[(axis + 1)...].reduce(1, *), length = shape[axis], rows = shape[..<axis].reduce(1, *)
    var positions: [Int] = []
    for row in 0..<rows {
      for index in indices {
        let first = (row * length + index) * step
        positions.append(contentsOf: first..<first + step)
      }
    }
    return try picking(positions, shape: target)
  }

  /// Constants of one kind behind each other.
  static func joined(_ parts: [Constant], along axis: Int) throws(CNNError) -> Constant {
    guard let first = parts.first else { throw CNNError(.malformedFile, "there are no inputs") }
    var target = first.shape
    target[axis] = 0
    for part in parts {
      var other = part.shape
      guard other.count == target.count else {
        throw CNNError(.shapeMismatch, "the inputs have different numbers of axes")
      }
      target[axis] = try Checked.sum([target[axis], other[axis]], "the inputs")
      other[axis] = target[axis]
      guard other == target else { throw CNNError(.shapeMismatch, "the shapes of the inputs do not fit") }
    }
    guard try Checked.product(target, "a constant") <= maximumCount else {
      throw CNNError(.outOfMemory, "a constant of shape \(describe(target)) is computed; that is too large")
    }
    let rows = target[..<axis].reduce(1, *)
    func gathered<Element>(_ elements: [(values: [Element], length: Int)]) -> [Element] {
      var result: [Element] = []
      for row in 0..<rows {
        for (values, length) in elements { result.append(contentsOf: values[row * length..<(row + 1) * length]) }
      }
      return result
    }
    func length(_ part: Constant) -> Int { part.shape[axis...].reduce(1, *) }
    if parts.allSatisfy({ $0.sizes != nil }) {
      var elements: [(values: [Size], length: Int)] = []
      for part in parts { elements.append((try part.sizes("an input"), length(part))) }
      return try Constant(shape: target, .sizes(gathered(elements)))
    }
    var elements: [(values: [Float], length: Int)] = []
    for part in parts { elements.append((Array(try part.floats("an input")), length(part))) }
    return try Constant(shape: target, .floats(try ONNXFloats(gathered(elements))))
  }
}
