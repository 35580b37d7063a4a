import CNNRuntime
import CTileEmulator
import Synchronization
import X86Assembler

/// AMX for tests: the processor's own, or where it has none and AVX-512 with bfloat16 an emulation, by which tests of
/// tiles run on more machines.
public enum Tiles {
  /// The instructions of this processor with tiles; nil where there are none and none can be emulated.
  public static let instructionSet: InstructionSet? = {
    let own = Processor.host.instructionSet, all = own.union([.amxInt8, .amxBF16])
    if own == all { return TilePermission.refusal == nil ? own : nil }
    guard own.isSuperset(of: .avx512BF16), tile_emulator_install() == 1 else { return nil }
    TilePermission.isEmulated.store(true, ordering: .relaxed)
    return all
  }()
}
