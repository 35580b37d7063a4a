import CNNGraph

extension Graph {
  /// Choices of what is kept where memory is short, for each value whether it is: what cannot be computed again, what is
  /// small, and of the values that alone lead from one part of the network to the next (a residual block's result) some.
  ///
  /// With many of these, they take the memory themselves; with few, what lies between two of them does while their part is
  /// run backward. The small ones of a network's end take as long to compute as the large ones of its beginning. The first
  /// choices keep the most, and so have the least to compute again.
  func checkpointings(before end: Int) -> [[Bool]] {
    let images = imagesOfForwardPart(before: end)
    let largest = nodes[..<end].map { type(of: $0.results[0]).byteCount }.max() ?? 0
    let parts = parts(before: end, images)
    let total = parts.reduce(0) { $0 + $1.byteCount }
    var result: [[Bool]] = []
    for divisor in [2, 4, 8, 16, 32, largest + 1] {
      let small = (0..<valueCount).map { index in
        let value = Value(index: index)
        return recomputation(of: value) == nil
          || images[index] && !isCheap(value) && type(of: value).byteCount <= largest / divisor
      }
      for share in [24, 16, 12, 8, 6, 4, 2, 1] {
        // A part ends where it has come to so much.
        var isKept = small, open = 0
        for part in parts {
          open += part.byteCount
          guard open >= total / share, let value = part.end else { continue }
          isKept[value.index] = true
          open = 0
        }
        if !result.contains(isKept) { result.append(isKept) }
      }
    }
    return result
  }

  /// Whether a value takes no more than a pass over memory to compute.
  private func isCheap(_ value: Value) -> Bool {
    node(defining: value)?.isCheap ?? false
  }

  /// For each value whether it is made of the input: filters and statistics are small beside such, or made of parameters
  /// alone.
  private func imagesOfForwardPart(before end: Int) -> [Bool] {
    var isImage = Array(repeating: false, count: valueCount)
    for input in inputs { isImage[input.value.index] = true }
    for node in nodes[..<end] where node.operands.contains(where: { isImage[$0.index] }) {
      isImage[node.results[0].index] = true
    }
    return isImage
  }

  /// Neighbouring nodes of the forward part, and the value that alone leads on from them.
  private struct Part {
    var end: Value?
    /// Of what they compute.
    var byteCount = 0
  }

  /// The forward part, cut wherever a single image leads on.
  private func parts(before end: Int, _ isImage: [Bool]) -> [Part] {
    var lastUse = Array(repeating: -1, count: valueCount)
    for (position, node) in nodes[..<end].enumerated() {
      for operand in node.operands { lastUse[operand.index] = position }
    }
    var parts: [Part] = [], part = Part(), live: Set<Value> = []
    for (position, node) in nodes[..<end].enumerated() {
      let result = node.results[0]
      live = live.filter { lastUse[$0.index] > position }
      guard isImage[result.index] else { continue }
      part.byteCount += type(of: result).byteCount
      if lastUse[result.index] > position { live.insert(result) }
      if live.count == 1, let value = live.first {
        part.end = value
        parts.append(part)
        part = Part()
      }
    }
    return parts + [part]
  }
}
