import CNNRuntime
import X86Assembler

/// What code is generated for: a value in every kernel's key, so that a generator never asks the processor it runs on.
public struct CodeTarget: Hashable, Sendable {
  /// Which instructions may be used.
  public let instructionSet: InstructionSet
  /// The size of one core's second cache in bytes: what a thread's working set should stay below.
  public let secondCacheByteCount: Int
  /// The size of the last cache in bytes, which all cores share.
  public let lastCacheByteCount: Int
  /// How many `vdpbf16ps` take the time of one multiply-add of as many lanes of float32. Each has two products for one, so
  /// that what is more than a half is faster.
  public let bfloat16Rate: Double

  /// A target of these properties; unless told otherwise, one on which `vdpbf16ps` is slow.
  public init(
    _ instructionSet: InstructionSet, secondCacheByteCount: Int = 1 << 20, lastCacheByteCount: Int = 8 << 20,
    bfloat16Rate: Double = 0.25
  ) {
    self.instructionSet = instructionSet
    self.bfloat16Rate = bfloat16Rate
    (self.secondCacheByteCount, self.lastCacheByteCount) = (secondCacheByteCount, lastCacheByteCount)
  }

  /// The processor this runs on, or what `SWIFTCNN_ISA` says; nil where only portable code runs.
  public static let host: CodeTarget? = {
    let set = InstructionSet.selected
    guard set.contains(.avx2) else { return nil }
    return CodeTarget(
      set, secondCacheByteCount: max(Processor.host.l2ByteCount, 1 << 18),
      lastCacheByteCount: HostProcessor.lastCacheByteCount, bfloat16Rate: BFloat16Rate.host)
  }()

  /// Why products of bfloat16 on vectors are not worth it; nil where they are.
  public var bfloat16Refusal: String? {
    guard BFloat16Reorder.isPossible(on: self) else { return "\(instructionSet) has no instructions on bfloat16" }
    let percent = Int((200 * bfloat16Rate).rounded())
    return percent > 100 ? nil : "slower: products of bfloat16 on vectors run at \(percent) % of float32's rate here"
  }

  var hasAVX512: Bool { instructionSet.contains(.avx512) }
  /// The instructions on vectors of float32, by which kernels of them are named: what else the set has does not change
  /// their code.
  package var vectorName: String { hasAVX512 ? "avx512" : "avx2" }
  /// Whether sums of four products of bytes are one instruction.
  var hasByteProducts: Bool { instructionSet.contains(hasAVX512 ? .avx512VNNI : .avxVNNI) }
  /// The instructions that multiply levels.
  package var byteProductName: String { hasByteProducts ? hasAVX512 ? "avx512_vnni" : "avx_vnni" : vectorName }
  /// The widest register's lanes.
  public var lanes: Int { hasAVX512 ? 16 : 8 }
  /// How many vector registers there are.
  var registerCount: Int { hasAVX512 ? 32 : 16 }
}
