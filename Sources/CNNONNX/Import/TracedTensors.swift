import CNNCore
import CNNGraph

/// Tensors whose axes stand in another order in memory than in the file.
extension GraphImporter {
  /// The sizes of a tensor, in the order of the file's axes.
  func sizes(_ tensor: Traced) -> [Size] {
    let shape = graph.shape(of: tensor.value)
    return tensor.order.map { axis in
      axis == 0 ? .batch(times: 1) : shape[axis].map { .known($0) } ?? .varying
    }
  }

  func rank(_ tensor: Traced) -> Int { tensor.order.count }

  /// An axis as the file gives it, counted from the front.
  func axis(_ axis: Int, of rank: Int) throws(CNNError) -> Int {
    let resolved = axis < 0 ? axis &+ rank : axis
    guard (0..<max(rank, 1)).contains(resolved), rank > 0 else {
      throw CNNError(.malformedFile, "axis is \(axis); the tensor has \(rank) axes")
    }
    return resolved
  }

  /// Distinct axes as the file gives them, counted from the front, in their order.
  func axes(_ axes: [Int], of rank: Int) throws(CNNError) -> [Int] {
    guard axes.count <= TensorType.maximumRank else {
      throw CNNError(.malformedFile, "\(axes.count) axes are given; the tensor has \(rank)")
    }
    var result: [Int] = []
    for given in axes { result.append(try axis(given, of: rank)) }
    guard Set(result).count == result.count else {
      throw CNNError(.malformedFile, "axes are \(describe(axes)); expected each once")
    }
    return result
  }

  /// The error for what combines different samples of a batch.
  func mixesBatch(_ what: String) -> CNNError {
    CNNError(
      .invalidArgument,
      "\(what) mixes the samples of a batch: a network computes each by itself. Where the first axis is no batch, import "
        + "with \"batch\": false")
  }

  /// The same tensor with its axes in memory in another order.
  mutating func reordered(_ tensor: Traced, to order: [Int]) throws(CNNError) -> Traced {
    if tensor.order == order { return tensor }
    guard tensor.batch == order.firstIndex(of: 0) else { throw mixesBatch("a transposition") }
    let shape = graph.shape(of: tensor.value)
    // Where the axis at each place of the new order is now.
    var moves = Array(0..<shape.count)
    for (position, place) in order.enumerated() { moves[place] = tensor.order[position] }
    let moved = moves.map { shape[$0] }
    if moved.dropFirst().count(where: { $0 == nil }) <= 1,
      moves.filter({ shape[$0] != 1 }) == shape.indices.filter({ shape[$0] != 1 })
    {
      return Traced(value: try reshape(tensor.value, to: moved), order: order)
    }
    return Traced(value: try add(Permute(moves), [tensor.value]), order: order)
  }

  /// The order in which a tensor's axes stand in memory as in the file.
  func plainOrder(_ tensor: Traced) -> [Int] { plainOrder(rank: rank(tensor)) }
  func plainOrder(rank: Int) -> [Int] { options.batch ? Array(0..<rank) : Array(1..<rank + 1) }

  /// The same tensor in memory as in the file.
  mutating func plain(_ tensor: Traced) throws(CNNError) -> Traced {
    try reordered(tensor, to: plainOrder(tensor))
  }

  /// The same tensor with this axis of the file as the last in memory.
  mutating func withLast(_ axis: Int, _ tensor: Traced) throws(CNNError) -> Traced {
    let place = tensor.order[axis]
    guard place != 0 else { throw mixesBatch("an operation along axis \(axis)") }
    let last = rank(tensor) - (options.batch ? 1 : 0)
    return try reordered(
      tensor, to: tensor.order.map { $0 == place ? last : $0 > place ? $0 - 1 : $0 })
  }

  /// A value with the same elements in this shape, of which the first is the batch.
  mutating func reshape(_ value: Value, to shape: [Int?]) throws(CNNError) -> Value {
    if graph.shape(of: value) == shape { return value }
    guard shape.dropFirst().filter({ $0 == nil }).count <= 1 else {
      throw CNNError(.invalidArgument, "the sizes of several axes vary with the input's; at most one can be reshaped")
    }
    return try add(Reshape(shape.dropFirst().map { $0 ?? -1 }), [value])
  }

  /// An image `[N, C, H, W]` with the channels last in memory; a row `[N, C, L]` is an image of one row.
  mutating func image(_ tensor: Traced, _ what: String) throws(CNNError) -> Traced {
    var tensor = tensor
    if rank(tensor) == 3 { tensor = try inserting([2], into: tensor) }
    guard rank(tensor) == 4 else {
      throw CNNError(
        .invalidArgument, "\(what) has \(rank(tensor)) axes; expected batch, channels, height and width")
    }
    guard options.batch else {
      throw CNNError(.invalidArgument, "\(what) needs a batch as its first axis; import without \"batch\": false")
    }
    return try reordered(tensor, to: Traced.image)
  }

  /// What became of a row as an image of one row, as a row again.
  mutating func row(_ tensor: Traced, like original: Traced) throws(CNNError) -> Traced {
    rank(original) == 3 ? try removing([2], from: tensor) : tensor
  }

  /// The tensor with axes of size 1 at these places of the result.
  mutating func inserting(_ axes: [Int], into tensor: Traced) throws(CNNError) -> Traced {
    let count = rank(tensor) + axes.count
    guard count + 1 <= TensorType.maximumRank else {
      throw CNNError(
        .invalidArgument, "the result has \(count) axes; at most \(TensorType.maximumRank - 1) are possible")
    }
    // After the batch in memory: an axis of size 1 can be anywhere.
    let shape = graph.shape(of: tensor.value)
    let value = try reshape(
      tensor.value, to: shape.prefix(1) + Array(repeating: 1, count: axes.count) + shape.dropFirst())
    var rest = tensor.order.map { $0 == 0 ? 0 : $0 + axes.count }[...], order: [Int] = [], next = 1
    for position in 0..<count {
      if axes.contains(position) {
        order.append(next)
        next += 1
      } else if let place = rest.popFirst() {
        order.append(place)
      }
    }
    return Traced(value: value, order: order)
  }

  /// The tensor without these axes, which have size 1.
  mutating func removing(_ axes: [Int], from tensor: Traced) throws(CNNError) -> Traced {
    let shape = graph.shape(of: tensor.value)
    for axis in axes where tensor.order[axis] == 0 || shape[tensor.order[axis]] != 1 {
      throw CNNError(
        .invalidArgument,
        "axis \(axis) cannot be taken away: \(tensor.order[axis] == 0 ? "it is the batch" : "its size is not 1")")
    }
    let places = Set(axes.map { tensor.order[$0] })
    let kept = shape.indices.filter { !places.contains($0) }
    let value = try reshape(tensor.value, to: kept.map { shape[$0] })
    let order = tensor.order.indices.filter { !axes.contains($0) }.map { kept.firstIndex(of: tensor.order[$0]) ?? 0 }
    return Traced(value: value, order: order)
  }

  /// The same elements in the file's order, in another shape.
  mutating func reshaped(_ tensor: Traced, to target: [Size]) throws(CNNError) -> Traced {
    let sizes = sizes(tensor)
    guard options.batch else {
      let known = target.compactMap(\.known)
      guard known.count == target.count else {
        throw CNNError(.invalidArgument, "the shape depends on the size of the input, which is not fixed")
      }
      let value = try reshape(plain(tensor).value, to: [1] + known)
      return Traced(value: value, order: plainOrder(rank: known.count))
    }
    // Only axes of size 1 come or go: nothing is moved. Of two sizes that vary nobody knows which is which.
    let significant = sizes.indices.filter { sizes[$0] != .known(1) }
    let targets = target.indices.filter { target[$0] != .known(1) }
    if significant.map({ sizes[$0] }) == targets.map({ target[$0] }), sizes.count(where: { $0 == .varying }) <= 1,
      target.count < TensorType.maximumRank
    {
      let stripped = sizes.indices.filter { sizes[$0] == .known(1) }
      let bare = stripped.isEmpty ? tensor : try removing(stripped, from: tensor)
      let units = target.indices.filter { target[$0] == .known(1) }
      return units.isEmpty ? bare : try inserting(units, into: bare)
    }
    guard tensor.batch == 0, target.first == .batch(times: 1) else { throw mixesBatch("a reshape") }
    if let result = try regrouped(tensor, sizes, target) { return result }
    var shape: [Int?] = [1]
    for size in target.dropFirst() {
      guard let known = size.known else {
        throw CNNError(.invalidArgument, "the shape depends on the size of the input, which is not fixed")
      }
      shape.append(known)
    }
    let value = try reshape(plain(tensor).value, to: shape)
    return Traced(value: value, order: plainOrder(rank: target.count))
  }

  /// A reshape that cuts axes or joins some, each wherever it lies in memory, as a shuffle of channels does; nil where the
  /// shapes differ in another way. Axes that are joined become neighbours first.
  private mutating func regrouped(_ tensor: Traced, _ sizes: [Size], _ target: [Size]) throws(CNNError) -> Traced? {
    guard let parts = Self.parts(of: sizes, in: target) else { return nil }
    var memory = Array(repeating: 0, count: sizes.count)
    for (axis, place) in tensor.order.enumerated() { memory[place] = axis }
    var order = tensor.order, result = Array(repeating: 0, count: target.count), shape: [Int?] = [], place = 0
    for axis in memory {
      // A part is where its last axis in memory is.
      guard let part = parts.first(where: { $0.axes.contains(axis) }),
        part.axes.allSatisfy({ tensor.order[$0] <= tensor.order[axis] })
      else { continue }
      for axis in part.axes {
        order[axis] = place
        place += 1
      }
      for axis in part.targets {
        result[axis] = shape.count
        shape.append(shape.isEmpty ? 1 : target[axis].known)
      }
    }
    return Traced(value: try reshape(reordered(tensor, to: order).value, to: shape), order: result)
  }

  /// Which axes become which, each one several or several one; nil where that is not clear.
  private static func parts(of sizes: [Size], in target: [Size]) -> [(axes: Range<Int>, targets: Range<Int>)]? {
    guard !sizes.contains(.known(1)), !target.contains(.known(1)), sizes.count(where: { $0 == .varying }) <= 1 else {
      return nil
    }
    var parts: [(axes: Range<Int>, targets: Range<Int>)] = [], axes = 0..<0, targets = 0..<0
    while axes.upperBound < sizes.count, targets.upperBound < target.count {
      axes = axes.upperBound..<axes.upperBound + 1
      targets = targets.upperBound..<targets.upperBound + 1
      var size = sizes[axes.lowerBound], goal = target[targets.lowerBound]
      while size != goal {
        guard let a = size.known, let b = goal.known else { return nil }
        if a < b {
          guard axes.upperBound < sizes.count else { return nil }
          size = size * sizes[axes.upperBound]
          axes = axes.lowerBound..<axes.upperBound + 1
        } else {
          guard targets.upperBound < target.count else { return nil }
          goal = goal * target[targets.upperBound]
          targets = targets.lowerBound..<targets.upperBound + 1
        }
      }
      guard axes.count == 1 || targets.count == 1 else { return nil }
      parts.append((axes, targets))
    }
    return axes.upperBound == sizes.count && targets.upperBound == target.count ? parts : nil
  }
}
