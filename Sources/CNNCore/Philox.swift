/// A counter-based random function, Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
///
/// The value at a counter depends on seed, stream and counter alone, never on what was drawn before. So the order in
/// which threads draw does not matter, and the state of a training run is just (seed, epoch, step).
public struct Philox: Sendable {
  @usableFromInline let key: SIMD2<UInt32>
  @usableFromInline let stream: UInt64

  /// A function for one purpose: `stream` tells apart the uses of one seed (a layer, an epoch...).
  public init(seed: UInt64, stream: UInt64) {
    key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    self.stream = stream
  }

  /// Four independent 32-bit words at `counter`.
  @inlinable
  public func words(at counter: UInt64) -> SIMD4<UInt32> {
    // Scalars, not vectors: taking lanes out of a vector costs more than the ten rounds.
    var key0 = key[0]
    var key1 = key[1]
    var c0 = UInt32(truncatingIfNeeded: counter)
    var c1 = UInt32(truncatingIfNeeded: counter >> 32)
    var c2 = UInt32(truncatingIfNeeded: stream)
    var c3 = UInt32(truncatingIfNeeded: stream >> 32)
    for _ in 0..<10 {
      let a = UInt64(0xD251_1F53) &* UInt64(c0)
      let b = UInt64(0xCD9E_8D57) &* UInt64(c2)
      c0 = UInt32(truncatingIfNeeded: b >> 32) ^ c1 ^ key0
      c1 = UInt32(truncatingIfNeeded: b)
      c2 = UInt32(truncatingIfNeeded: a >> 32) ^ c3 ^ key1
      c3 = UInt32(truncatingIfNeeded: a)
      key0 &+= 0x9E37_79B9
      key1 &+= 0xBB67_AE85
    }
    return SIMD4(c0, c1, c2, c3)
  }

  /// A number in [0, 1) with 24 random bits, from one word.
  @inlinable
  public static func unit(_ word: UInt32) -> Float { Float(word >> 8) * 0x1p-24 }
}

/// Draws one number after another from a `Philox` function; for uses that are sequential, such as shuffling.
public struct PhiloxGenerator: RandomNumberGenerator, Sendable {
  private let function: Philox
  private var counter: UInt64
  private var words = SIMD4<UInt32>()
  private var used = 4

  /// A generator that starts at the first number of `Philox(seed:stream:)`.
  public init(seed: UInt64, stream: UInt64) { self.init(Philox(seed: seed, stream: stream), from: 0) }

  /// A generator that goes on from a counter of a function.
  public init(_ function: Philox, from counter: UInt64) { (self.function, self.counter) = (function, counter) }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    if used > 2 {
      words = function.words(at: counter)
      counter &+= 1
      used = 0
    }
    defer { used += 2 }
    return UInt64(words[used]) << 32 | UInt64(words[used + 1])
  }

  /// A number in [0, 1).
  public mutating func unit() -> Float { Philox.unit(UInt32(truncatingIfNeeded: next() >> 32)) }
}
