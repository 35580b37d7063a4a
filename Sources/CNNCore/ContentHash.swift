/// 128 bits that tell contents apart: two different ones have the same by a chance of 2^-128, but for those that somebody made
/// so on purpose. It is the same on every machine.
///
/// Blocks of 16 bytes are folded into two numbers, each by the 128 bits of a product (after wyhash, Wang Yi 2019).
public struct ContentHash: Sendable, Hashable {
  /// The hash.
  public private(set) var words: (UInt64, UInt64)

  /// A hash that was made before.
  public init(words: (UInt64, UInt64)) { self.words = words }

  /// Of nothing but a number.
  public init(seed: UInt64 = 0) { words = (seed ^ 0x9E37_79B9_7F4A_7C15, ~seed ^ 0xC2B2_AE3D_27D4_EB4F) }

  /// Two hashes are equal where both of their words are.
  public static func == (a: Self, b: Self) -> Bool { a.words == b.words }

  /// Feeds the words.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
  }

  /// Adds bytes, and how many they are.
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    let whole = bytes.count & ~15
    for start in stride(from: 0, to: whole, by: 16) {
      fold(
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)),
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self)))
    }
    var rest: (UInt64, UInt64) = (0, 0)
    for (place, byte) in bytes[whole...].enumerated() {
      if place < 8 { rest.0 |= UInt64(byte) << (8 * place) } else { rest.1 |= UInt64(byte) << (8 * place - 64) }
    }
    fold(rest.0, rest.1)
    fold(UInt64(bytes.count), 0)
  }

  /// Adds a text.
  public mutating func add(_ text: String) {
    var text = text
    text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
  }

  private mutating func fold(_ a: UInt64, _ b: UInt64) {
    words = (
      Self.product(a ^ 0x2D35_8DCC_AA6C_78A5, b ^ words.0), Self.product(b ^ 0x8BB8_4B93_962E_ACC9, a ^ words.1)
    )
  }

  private static func product(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  /// As 32 digits.
  public var text: String {
    [words.0, words.1].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  /// Of a set of contents, whatever their order.
  public static func ofSet(_ hashes: some Sequence<ContentHash>) -> ContentHash {
    var result = ContentHash(), count: UInt64 = 0
    for hash in hashes {
      result.words.0 &+= hash.words.0
      result.words.1 &+= hash.words.1
      count += 1
    }
    result.fold(count, 0)
    return result
  }
}
