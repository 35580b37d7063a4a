import CNNGraph

extension Graph {
  /// For each value whether it is kept where memory is short: what cannot be computed again, and of the values that alone
  /// lead from one part of the network to the next (a residual block's result) some.
  ///
  /// Which of them is tried out: with many, they take the memory themselves; with few, what lies between two of them does
  /// while their part is run backward.
  func checkpoints(before end: Int) -> [Bool] {
    var isKept = (0..<valueCount).map { recomputation(of: Value(index: $0)) == nil }
    let parts = parts(before: end)
    var best: [Value] = [], lowest = Int.max
    let total = parts.reduce(0) { $0 + $1.byteCount }
    for share in 1...32 {
      // A part ends where it has come to so much.
      var chosen: [Value] = [], kept = 0, open = 0, largest = 0
      for part in parts {
        open += part.byteCount
        largest = max(largest, open)
        guard open >= total / share, let value = part.end else { continue }
        chosen.append(value)
        kept += type(of: value).byteCount
        open = 0
      }
      if kept + largest < lowest { (best, lowest) = (chosen, kept + largest) }
    }
    for value in best { isKept[value.index] = true }
    return isKept
  }

  /// Neighbouring nodes of the forward part, and the value that alone leads on from them.
  private struct Part {
    var end: Value?
    /// Of what they compute.
    var byteCount = 0
  }

  /// The forward part, cut wherever a single image leads on.
  private func parts(before end: Int) -> [Part] {
    // Filters and statistics are small beside images, or made of parameters alone.
    var isImage = Array(repeating: false, count: valueCount)
    for input in inputs { isImage[input.value.index] = true }
    for node in nodes[..<end] where node.operands.contains(where: { isImage[$0.index] }) {
      isImage[node.results[0].index] = true
    }
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
