/// A 64-bit general register. Subscripts make the addresses of memory operands: `rdi[64]`, `rdi[rcx, 4, 64]`.
public struct GeneralRegister: Hashable, Sendable {
  /// The number in the encoding, 0...15.
  public let number: Int

  private init(_ number: Int) { self.number = number }

  /// All sixteen, in the order of their numbers.
  public static let all: [GeneralRegister] = (0...15).map { GeneralRegister($0) }

  /// Result of a call; not preserved by calls.
  public static let rax = GeneralRegister(0)
  /// Fourth argument; not preserved by calls.
  public static let rcx = GeneralRegister(1)
  /// Third argument; not preserved by calls.
  public static let rdx = GeneralRegister(2)
  /// Preserved by calls.
  public static let rbx = GeneralRegister(3)
  /// The stack pointer.
  public static let rsp = GeneralRegister(4)
  /// Preserved by calls; the frame pointer.
  public static let rbp = GeneralRegister(5)
  /// Second argument; not preserved by calls.
  public static let rsi = GeneralRegister(6)
  /// First argument; not preserved by calls.
  public static let rdi = GeneralRegister(7)
  /// Fifth argument; not preserved by calls.
  public static let r8 = GeneralRegister(8)
  /// Sixth argument; not preserved by calls.
  public static let r9 = GeneralRegister(9)
  /// Not preserved by calls.
  public static let r10 = GeneralRegister(10)
  /// Not preserved by calls.
  public static let r11 = GeneralRegister(11)
  /// Preserved by calls.
  public static let r12 = GeneralRegister(12)
  /// Preserved by calls.
  public static let r13 = GeneralRegister(13)
  /// Preserved by calls.
  public static let r14 = GeneralRegister(14)
  /// Preserved by calls.
  public static let r15 = GeneralRegister(15)
}

/// A register of lanes: `Xmm`, `Ymm` or `Zmm`.
///
/// The three are unrelated types, so that an instruction with operands of two widths does not compile, and a kernel
/// that is generic over one of them serves both AVX2 and AVX-512.
public protocol VectorRegister: Hashable, Sendable {
  /// The register type of half the width, or `Xmm`, which has none.
  associatedtype Half: VectorRegister
  /// The register of that number: 0...31, where 16...31 need AVX-512.
  init(_ number: Int)
  /// The number in the encoding.
  var number: Int { get }
  /// The width in bytes.
  static var byteCount: Int { get }
}

extension VectorRegister {
  /// How many floats the register holds.
  public static var laneCount: Int { byteCount / 4 }
}

/// A vector register of 128 bits.
public struct Xmm: VectorRegister {
  /// A register of half the width holds the lower part, in an `Xmm` too.
  public typealias Half = Xmm
  /// The number in the encoding.
  public let number: Int
  /// The register of that number.
  public init(_ number: Int) { self.number = number }
  /// The width in bytes.
  public static var byteCount: Int { 16 }
}

/// A vector register of 256 bits.
public struct Ymm: VectorRegister {
  /// The register of half the width.
  public typealias Half = Xmm
  /// The number in the encoding.
  public let number: Int
  /// The register of that number.
  public init(_ number: Int) { self.number = number }
  /// The width in bytes.
  public static var byteCount: Int { 32 }
}

/// A vector register of 512 bits.
public struct Zmm: VectorRegister {
  /// The register of half the width.
  public typealias Half = Ymm
  /// The number in the encoding.
  public let number: Int
  /// The register of that number.
  public init(_ number: Int) { self.number = number }
  /// The width in bytes.
  public static var byteCount: Int { 64 }
}

/// A mask register of AVX-512, one bit a lane. As a write mask `k0` does not exist: its number means "no mask".
public struct MaskRegister: Hashable, Sendable {
  /// The number in the encoding, 0...7.
  public let number: Int

  private init(_ number: Int) { self.number = number }

  /// All eight, in the order of their numbers.
  public static let all: [MaskRegister] = (0...7).map { MaskRegister($0) }

  /// Mask register 0, which cannot be a write mask.
  public static let k0 = MaskRegister(0)
  /// Mask register 1.
  public static let k1 = MaskRegister(1)
  /// Mask register 2.
  public static let k2 = MaskRegister(2)
  /// Mask register 3.
  public static let k3 = MaskRegister(3)
  /// Mask register 4.
  public static let k4 = MaskRegister(4)
  /// Mask register 5.
  public static let k5 = MaskRegister(5)
  /// Mask register 6.
  public static let k6 = MaskRegister(6)
  /// Mask register 7.
  public static let k7 = MaskRegister(7)
}

/// Which lanes of the destination an instruction writes, and what becomes of the others.
public enum Masking: Hashable, Sendable {
  /// The lanes whose bit is 0 keep their value.
  case merge(MaskRegister)
  /// The lanes whose bit is 0 become 0.
  case zero(MaskRegister)

  var register: MaskRegister {
    switch self {
    case .merge(let register), .zero(let register): register
    }
  }

  var isZeroing: Bool {
    if case .zero = self { true } else { false }
  }
}

/// A tile of AMX: up to 16 rows of up to 64 bytes, as `ldtilecfg` has set.
public struct TileRegister: Hashable, Sendable {
  /// The number in the encoding, 0...7.
  public let number: Int

  private init(_ number: Int) { self.number = number }

  /// All eight, in the order of their numbers.
  public static let all: [TileRegister] = (0...7).map { TileRegister($0) }

  /// Tile 0.
  public static let tmm0 = TileRegister(0)
  /// Tile 1.
  public static let tmm1 = TileRegister(1)
  /// Tile 2.
  public static let tmm2 = TileRegister(2)
  /// Tile 3.
  public static let tmm3 = TileRegister(3)
  /// Tile 4.
  public static let tmm4 = TileRegister(4)
  /// Tile 5.
  public static let tmm5 = TileRegister(5)
  /// Tile 6.
  public static let tmm6 = TileRegister(6)
  /// Tile 7.
  public static let tmm7 = TileRegister(7)
}
