/// A memory operand: base + index * scale + displacement, or a place in the code itself.
///
/// Any displacement and scale can be written; the assembler checks them where it encodes them.
public struct Address: Hashable, Sendable {
  enum Base: Hashable, Sendable {
    case register(GeneralRegister)
    /// Relative to the instruction pointer.
    case label(Label)
  }

  enum Index: Hashable, Sendable {
    case none
    case general(GeneralRegister)
    /// One index a lane, as gathers have them.
    case vector(number: Int, byteCount: Int)
  }

  let base: Base
  var index = Index.none
  var scale = 1
  var displacement = 0
  var isSplat = false

  /// The same place read as one element, 32 bits (64 in the `pd` instructions), that is repeated in every lane:
  /// `{1to16}` in an assembler. Only EVEX instructions can do so.
  public var splat: Address {
    var result = self
    result.isSplat = true
    return result
  }
}

extension GeneralRegister {
  /// The memory at this register plus `displacement` bytes.
  public subscript(displacement: Int = 0) -> Address { Address(base: .register(self), displacement: displacement) }

  /// The memory at this register + `index` * `scale` + `displacement`; the scale is 1, 2, 4 or 8.
  public subscript(index: GeneralRegister, scale: Int = 1, displacement: Int = 0) -> Address {
    Address(base: .register(self), index: .general(index), scale: scale, displacement: displacement)
  }

  /// The memory at this register + each lane of `index` * `scale` + `displacement`, for gathers.
  public subscript<V: VectorRegister>(index: V, scale: Int = 1, displacement: Int = 0) -> Address {
    Address(
      base: .register(self), index: .vector(number: index.number, byteCount: V.byteCount), scale: scale,
      displacement: displacement)
  }
}
