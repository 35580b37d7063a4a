import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Elements around a tensor, or fewer of them.
  static let padding: [String: ImportedOperation] = [
    "Pad": { importer, node throws(CNNError) in try importer.pad(&node) }
  ]
}

extension GraphImporter {
  fileprivate mutating func pad(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let mode = try node.text("mode", default: "constant")
    var x = try node.tensor(0)
    guard let given = try node.integers("pads", orInput: 1) else { throw CNNError(.malformedFile, "pads are missing") }
    var number = try node.number("value")
    if number == nil { number = try node.optionalScalar(2, "the value") }
    let value = number ?? 0
    var positions = Array(0..<rank(x))
    if let given = try node.optionalConstant(3, "axes") { positions = try axes(given.integers("axes"), of: rank(x)) }
    guard given.count == 2 * positions.count, given.allSatisfy({ (-(1 << 22)...(1 << 22)).contains($0) }) else {
      throw CNNError(.malformedFile, "there are \(given.count) pads; expected \(2 * positions.count) of 2^22 at most")
    }
    var before = Array(repeating: 0, count: rank(x)), after = before
    for (index, position) in positions.enumerated() {
      (before[position], after[position]) = (given[index], given[index + positions.count])
    }
    if mode == "constant" && value == 0, rank(x) == 4, let channels = unpaddedAxis(x, before, after) {
      x = try withLast(channels, x)
      // Height and width in the order in which they are in memory.
      let rows = x.order.firstIndex(of: 1) ?? 0, columns = x.order.firstIndex(of: 2) ?? 0
      let operation = ZeroPadding2D([before[rows], before[columns], after[rows], after[columns]])
      return [.tensor(Traced(value: try add(operation, [x.value]), order: x.order))]
    }
    for position in before.indices where before[position] != 0 || after[position] != 0 {
      x = try padded(x, position, before[position], after[position], mode: mode, value: value)
    }
    return [.tensor(x)]
  }

  /// The axis for the channels of an image of which only the other two are enlarged: the last in memory if that can be.
  private func unpaddedAxis(_ x: Traced, _ before: [Int], _ after: [Int]) -> Int? {
    guard options.batch, (before + after).allSatisfy({ $0 >= 0 }) else { return nil }
    let untouched = before.indices.filter { before[$0] == 0 && after[$0] == 0 }
    guard let batch = x.batch, untouched.contains(batch) else { return nil }
    return untouched.filter { $0 != batch }.max { x.order[$0] < x.order[$1] }
  }

  private mutating func padded(
    _ x: Traced, _ position: Int, _ before: Int, _ after: Int, mode: String, value: Double
  ) throws(CNNError) -> Traced {
    let size = try knownSize(x, position, "a padding of the batch")
    let outside = max(before, 0) + max(after, 0)
    let first = max(0, -before), end = size - max(0, -after)
    guard first < end else { throw CNNError(.invalidArgument, "nothing is left along axis \(position)") }
    let inside = first..<end
    guard try Checked.sum([size, outside], "the padding") <= Constant.maximumCount else {
      throw CNNError(.outOfMemory, "the padding along axis \(position) has \(outside) elements")
    }
    let count = inside.count
    guard mode == "constant" else {
      try charge(count + outside)
      // Every element of the result is one of the input.
      var indices: [Int] = []
      for index in -max(before, 0)..<count + max(after, 0) {
        switch mode {
        case "edge": indices.append(inside.lowerBound + min(max(index, 0), count - 1))
        case "wrap": indices.append(inside.lowerBound + (index % count + count) % count)
        case "reflect":
          let period = max(1, 2 * (count - 1)), place = (index % period + period) % period
          indices.append(inside.lowerBound + (count == 1 ? 0 : min(place, period - place)))
        default:
          throw CNNError(.malformedFile, "mode is '\(mode)'; expected constant, reflect, edge or wrap")
        }
      }
      return try take(x, position, indices)
    }
    guard value.isFinite else { throw CNNError(.invalidArgument, "the value is \(value); expected a finite one") }
    let kept = try slice(x, position, start: first, length: count)
    var parts: [Value] = []
    for (length, isInside) in [(max(before, 0), false), (0, true), (max(after, 0), false)] where length > 0 || isInside
    {
      if isInside {
        parts.append(kept.value)
        continue
      }
      // Elements of the input that are held at 0 and moved to the value: as many images as there are in the batch.
      let some = try take(x, position, Array(repeating: 0, count: length)).value
      let held = try add(Activation(.clip, ["minimum": 0, "maximum": 0]), [some])
      parts.append(try add(Rescaling(scale: [0], offset: [value]), [held]))
    }
    if parts.count == 1 { return kept }
    return Traced(value: try add(Concatenate(axis: x.order[position]), parts), order: x.order)
  }
}
