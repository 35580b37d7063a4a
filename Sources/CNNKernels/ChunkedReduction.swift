import CNNRuntime

/// Reductions over long arrays, cut into pieces whose bounds depend on the length alone.
///
/// The pieces' results are combined pairwise in one fixed order, so the outcome has the same bits for every number of
/// workers.
enum ChunkedReduction {
  /// Few enough that the partial results live on the stack.
  private static let maximumPieces = 32
  /// Short enough to share out, long enough to be worth waking a worker.
  private static let usualPieceLength = 4096

  /// Combines `partial(range)` over ranges of about `pieceLength` or more that together make up `0..<count`; `nil` when
  /// `count` is zero.
  @inline(__always)
  static func reduce<Partial: BitwiseCopyable>(
    count: Int, workers: Workers, pieceLength: Int = usualPieceLength, partial: (Range<Int>) -> Partial,
    combine: (Partial, Partial) -> Partial
  ) -> Partial? {
    if count <= 0 { return nil }
    let pieces = min(maximumPieces, (count + pieceLength - 1) / pieceLength)
    if pieces == 1 { return partial(0..<count) }
    return withUnsafeTemporaryAllocation(of: Partial.self, capacity: pieces) { partials in
      workers.forEachRange(of: pieces) { range, _ in
        for piece in range {
          partials.initializeElement(at: piece, to: partial(bound(piece)..<bound(piece + 1)))
        }
      }
      var live = pieces
      while live > 1 {
        for pair in 0..<live / 2 { partials[pair] = combine(partials[2 * pair], partials[2 * pair + 1]) }
        if live % 2 == 1 { partials[live / 2] = partials[live - 1] }
        live = (live + 1) / 2
      }
      return partials[0]
    }

    /// Where a piece begins.
    func bound(_ piece: Int) -> Int { count / pieces * piece + count % pieces * piece / pieces }
  }

  /// The sum of `term(index)` over `0..<count` in double precision.
  @inline(__always)
  static func sum(count: Int, workers: Workers, term: (Int) -> Double) -> Double {
    reduce(
      count: count, workers: workers,
      partial: { range in
        var sums = SIMD4<Double>()
        var index = range.lowerBound
        while index + 4 <= range.upperBound {
          sums += SIMD4(term(index), term(index + 1), term(index + 2), term(index + 3))
          index += 4
        }
        var total = sums.sum()
        while index < range.upperBound {
          total += term(index)
          index += 1
        }
        return total
      }, combine: { $0 + $1 }) ?? 0
  }

  /// The number of indices in `0..<count` for which `condition(index)` holds.
  @inline(__always)
  static func count(_ count: Int, workers: Workers, where condition: (Int) -> Bool) -> Int {
    reduce(
      count: count, workers: workers,
      partial: { range in
        var found = 0
        for index in range { found &+= condition(index) ? 1 : 0 }
        return found
      }, combine: { $0 + $1 }) ?? 0
  }
}
