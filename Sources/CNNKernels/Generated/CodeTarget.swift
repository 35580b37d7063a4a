import X86Assembler

/// What code is generated for: a value in every kernel's key, so that a generator never asks the processor it runs on.
public struct CodeTarget: Hashable, Sendable {
  /// Which instructions may be used.
  public let instructionSet: InstructionSet
  /// The size of one core's second cache in bytes: what a thread's working set should stay below.
  public let secondCacheByteCount: Int

  /// A target of these properties.
  public init(_ instructionSet: InstructionSet, secondCacheByteCount: Int = 1 << 20) {
    (self.instructionSet, self.secondCacheByteCount) = (instructionSet, secondCacheByteCount)
  }

  /// The processor this runs on, or what `SWIFTCNN_ISA` says; nil where only portable code runs.
  public static let host: CodeTarget? = {
    let set = InstructionSet.selected
    if set == .portable { return nil }
    return CodeTarget(set, secondCacheByteCount: max(Processor.host.l2ByteCount, 1 << 18))
  }()

  /// The size of the last cache in bytes, which all cores share; at most 32 MiB, since some virtual machines report a whole
  /// server's.
  public static let lastCacheByteCount = {
    let cache = Processor.host.l3ByteCount
    return cache == 0 ? 8 << 20 : min(cache, 32 << 20)
  }()

  var hasAVX512: Bool { instructionSet == .avx512 }
  /// The widest register's lanes.
  var lanes: Int { hasAVX512 ? 16 : 8 }
  /// How many vector registers there are.
  var registerCount: Int { hasAVX512 ? 32 : 16 }
}
