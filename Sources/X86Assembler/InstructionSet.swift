import CNNCore
import Glibc

/// The instructions beyond those of every processor that kernels are made of: a set, since processors have parts that
/// others lack. What may be used where is asked by inclusion, `contains(.avx512BF16)`.
///
/// Each member holds those that it stands on.
public struct InstructionSet: OptionSet, Hashable, Sendable {
  /// The bits of its members.
  public let rawValue: UInt32
  /// The set of these bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  private init(_ bit: Int, on foundation: InstructionSet = []) {
    self.init(rawValue: 1 << UInt32(bit) | foundation.rawValue)
  }

  /// Swift and OpenBLAS, no generated code.
  public static let portable: InstructionSet = []
  /// Fused multiplication and addition of 256-bit vectors.
  public static let fma = InstructionSet(0)
  /// Conversion of half floats.
  public static let f16c = InstructionSet(1)
  /// 16 vector registers of 256 bits: AVX2, and FMA with it.
  public static let avx2 = InstructionSet(2, on: .fma)
  /// 32 vector registers of 512 bits and masks: AVX-512 F, DQ, BW, VL and CD.
  public static let avx512 = InstructionSet(3, on: .avx2)
  /// Sums of products of bytes in AVX-512 (`vpdpbusd`).
  public static let avx512VNNI = InstructionSet(4, on: .avx512)
  /// Sums of products of bfloat16 in AVX-512 (`vdpbf16ps`).
  public static let avx512BF16 = InstructionSet(5, on: .avx512)
  /// Eight tiles of 16 rows of 64 bytes, beside AVX-512.
  public static let amxTile = InstructionSet(6, on: .avx512)
  /// Products of tiles of bytes (`tdpbusd`).
  public static let amxInt8 = InstructionSet(7, on: .amxTile)
  /// Products of tiles of bfloat16 (`tdpbf16ps`).
  public static let amxBF16 = InstructionSet(8, on: .amxTile)
  /// Sums of products of bytes in 256 bits without AVX-512 (`vpdpbusd` in its VEX form).
  public static let avxVNNI = InstructionSet(9, on: .avx2)

  /// The members by their names, as they are shown.
  private static let members: [(name: String, set: InstructionSet)] = [
    ("avx2", .avx2), ("fma", .fma), ("f16c", .f16c), ("avx_vnni", .avxVNNI), ("avx512", .avx512),
    ("avx512_vnni", .avx512VNNI), ("avx512_bf16", .avx512BF16), ("amx_tile", .amxTile), ("amx_int8", .amxInt8),
    ("amx_bf16", .amxBF16),
  ]

  /// The same without tiles.
  public var withoutTiles: InstructionSet {
    let bits = [InstructionSet.amxTile, .amxInt8, .amxBF16].reduce(0) { $0 | $1.rawValue }
    return InstructionSet(rawValue: rawValue & ~bits | intersection(.avx512).rawValue)
  }

  /// The names of its members.
  public var names: [String] { Self.members.filter { contains($0.set) }.map(\.name) }
}

// MARK: - Levels

extension InstructionSet {
  /// A step of the ladder that `SWIFTCNN_ISA` climbs.
  private struct Level {
    let name: String
    /// What a processor of this level has.
    let mark: InstructionSet
    /// All that this level allows, which is also what those below it do.
    let limit: InstructionSet
  }

  /// From the least capable on.
  private static let levels = [
    Level(name: "portable", mark: .portable, limit: .portable),
    Level(name: "avx2", mark: .avx2, limit: [.avx2, .f16c]),
    Level(name: "avx_vnni", mark: .avxVNNI, limit: [.avxVNNI, .f16c]),
    Level(name: "avx512", mark: .avx512, limit: [.avx512, .avxVNNI, .f16c]),
    Level(name: "avx512_vnni", mark: .avx512VNNI, limit: [.avx512VNNI, .avxVNNI, .f16c]),
    Level(name: "avx512_bf16", mark: .avx512BF16, limit: [.avx512VNNI, .avx512BF16, .avxVNNI, .f16c]),
    Level(name: "amx", mark: .amxTile, limit: InstructionSet(rawValue: .max)),
  ]

  /// The name of the highest level that it reaches, as of `SWIFTCNN_ISA`.
  public var name: String { Self.levels.last { contains($0.mark) }?.name ?? "portable" }

  /// What the processor has, or less where `SWIFTCNN_ISA` says so.
  public static let selected = select(EnvironmentVariable("SWIFTCNN_ISA"), of: Processor.host.instructionSet)

  /// The names that `SWIFTCNN_ISA` takes, from the least capable on.
  public static var levelNames: [String] { levels.map(\.name) }

  static func select(_ wish: EnvironmentVariable, of present: InstructionSet) -> InstructionSet {
    let name = wish.choice(among: levelNames, otherwise: "\(present.name) is used")
    return levels.first { $0.name == name }.map { present.intersection($0.limit) } ?? present
  }
}

extension InstructionSet: CustomStringConvertible {
  /// Its name.
  public var description: String { name }
}
