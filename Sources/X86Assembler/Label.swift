/// A place in the code that jumps lead to. Made by `Assembler.newLabel()` and bound to its place by `bind(_:)`.
public struct Label: Hashable, Sendable {
  let index: Int
  /// The assembler that made it.
  let owner: ObjectIdentifier
}

/// When a conditional jump is taken, after a `cmp` of two numbers (or after what else sets the flags).
public enum Condition: UInt8, Sendable, CaseIterable {
  // Raw values are those of the encoding.
  /// Below, unsigned.
  case b = 0x2
  /// Above or equal, unsigned.
  case ae = 0x3
  /// Equal, or zero.
  case e = 0x4
  /// Not equal, or not zero.
  case ne = 0x5
  /// Below or equal, unsigned.
  case be = 0x6
  /// Above, unsigned.
  case a = 0x7
  /// Negative.
  case s = 0x8
  /// Not negative.
  case ns = 0x9
  /// Less, signed.
  case l = 0xC
  /// Greater or equal, signed.
  case ge = 0xD
  /// Less or equal, signed.
  case le = 0xE
  /// Greater, signed.
  case g = 0xF
}
