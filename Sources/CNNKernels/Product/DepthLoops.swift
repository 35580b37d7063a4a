import X86Assembler

/// What a product sums over: runs of neighbouring words inside loops.
struct DepthLoops: Hashable, Sendable {
  /// A loop along the depth.
  struct Loop: Hashable, Sendable {
    /// How often.
    let count: Int
    /// Bytes of `a` from one time to the next.
    let stride: Int
  }

  /// Outermost first, at most three.
  var loops: [Loop]
  /// Neighbouring words in the innermost run.
  var run: Int
  /// The same in the last round of the outermost loop: the channels left over.
  var lastRun: Int

  /// Writes the loops.
  /// - Parameters:
  ///   - a: where the words are, which moves on.
  ///   - counters: a register for each loop.
  ///   - body: writes what happens to so many words at `a`.
  func emit(_ k: Assembler, _ a: GeneralRegister, counters: [GeneralRegister], _ body: (_ words: Int) -> Void) {
    guard let outer = loops.first, lastRun != run else { return loop(0, k, a, counters, body) }
    // The last round of the outermost loop is shorter.
    if outer.count > 1 {
      loop(0, count: outer.count - 1, k, a, counters, body)
    }
    loop(1, words: lastRun, k, a, counters, body)
  }

  /// Loop number `level` and those within it. Leaves `a` where the loop would go on.
  private func loop(
    _ level: Int, count: Int? = nil, words: Int? = nil, _ k: Assembler, _ a: GeneralRegister,
    _ counters: [GeneralRegister], _ body: (_ words: Int) -> Void
  ) {
    guard level < loops.count else { return body(words ?? run) }
    let loop = loops[level], count = count ?? loop.count
    func round() {
      self.loop(level + 1, words: words, k, a, counters, body)
      let advanced = level + 1 < loops.count ? loops[level + 1].count * loops[level + 1].stride : 0
      if loop.stride != advanced { k.add(a, loop.stride - advanced) }
    }
    guard count > 1 else { return round() }
    k.mov(counters[level], count)
    k.loop(counters[level], round)
  }
}
