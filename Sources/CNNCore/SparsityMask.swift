/// Which numbers of a weight may be other than 0: a bit for each.
///
/// It belongs to the network, not to the values, so that code can be made for it: what it leaves out is 0 whatever was
/// written there.
public struct SparsityMask: Sendable, Equatable {
  /// How many numbers the weight has.
  public let count: Int
  /// How many of them it keeps.
  public let keptCount: Int
  /// The bits in the weight's row-major order, the lowest of each word first; those behind the last are 0.
  private let words: [UInt64]

  /// A mask that keeps the numbers at the positions for which `isKept` says so.
  public init(count: Int, keeping isKept: (_ position: Int) -> Bool) {
    var words = [UInt64](repeating: 0, count: (count + 63) / 64), kept = 0
    for position in 0..<count where isKept(position) {
      words[position / 64] |= 1 << UInt64(position % 64)
      kept += 1
    }
    (self.count, self.words, keptCount) = (count, words, kept)
  }

  /// A mask as `bytes` gave it; nil for another number of bytes, or bits behind the last.
  public init?(count: Int, bytes: UnsafeRawBufferPointer) {
    guard count >= 0, bytes.count == Self.byteCount(count) else { return nil }
    if count % 8 != 0, let last = bytes.last, last >> UInt8(count % 8) != 0 { return nil }
    self.init(count: count) { bytes[$0 / 8] >> UInt8($0 % 8) & 1 == 1 }
  }

  /// The bytes of a mask for so many numbers.
  public static func byteCount(_ count: Int) -> Int { count / 8 + (count % 8 == 0 ? 0 : 1) }

  /// The bits, the lowest of each byte first.
  public var bytes: [UInt8] {
    (0..<Self.byteCount(count)).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
  }

  /// Whether the number at a position is kept; of positions that the weight does not have, none.
  public subscript(position: Int) -> Bool {
    position >= 0 && position < count && words[position / 64] >> UInt64(position % 64) & 1 == 1
  }

  /// The share of the numbers that it leaves out.
  public var sparsity: Double { count == 0 ? 0 : 1 - Double(keptCount) / Double(count) }

  /// Makes the numbers 0 that it leaves out.
  public func clear(_ values: UnsafeMutableBufferPointer<Float>) {
    guard values.count == count else { return }
    for (index, word) in words.enumerated() where word != .max {
      var left = ~word
      let first = index * 64
      while left != 0 {
        let position = first + left.trailingZeroBitCount
        if position >= count { break }
        values[position] = 0
        left &= left - 1
      }
    }
  }
}
