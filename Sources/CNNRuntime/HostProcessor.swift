import X86Assembler

/// The processor that this process runs on, and what of it is used.
public enum HostProcessor {
  /// What its maker calls it; empty if not known.
  public static var name: String { Processor.host.name }

  /// Which of the instructions that kernels are made of it has.
  public static var features: [String] { Processor.host.instructionSet.names }

  /// The sizes of its data caches in bytes, from the first level to the third; 0 where one is not known.
  public static var cacheByteCounts: [Int] {
    [Processor.host.l1ByteCount, Processor.host.l2ByteCount, Processor.host.l3ByteCount]
  }

  /// The size of its last cache in bytes, which all cores share; at most 32 MiB, since some virtual machines report a
  /// whole server's.
  public static let lastCacheByteCount = {
    let cache = Processor.host.l3ByteCount
    return cache == 0 ? 8 << 20 : min(cache, 32 << 20)
  }()

  /// What kernels are written in, by its name as of `SWIFTCNN_ISA`, which stands for those before it as well.
  public static var instructionSet: String { InstructionSet.selected.name }

  /// What they are written in where the system refuses tiles.
  public static var instructionSetWithoutTiles: String { InstructionSet.selected.withoutTiles.name }

  /// Whether kernels are written for tiles.
  public static var usesTiles: Bool { InstructionSet.selected.contains(.amxTile) }

  /// Why the system refuses the tiles that they are written for; nil where it grants them, and where they use none. Asks the
  /// system where nobody has.
  public static var tileRefusal: String? { usesTiles ? TilePermission.refusal : nil }

  /// What they would be written in without `SWIFTCNN_ISA`.
  public static var bestInstructionSet: String { Processor.host.instructionSet.name }
}
