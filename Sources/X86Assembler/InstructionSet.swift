import CNNCore
import Glibc

/// What kernels are written in, the least capable first.
public enum InstructionSet: String, Sendable, Comparable, CaseIterable {
  /// Swift and OpenBLAS, no generated code.
  case portable
  /// 16 vector registers of 256 bits: AVX2 and FMA.
  case avx2
  /// 32 vector registers of 512 bits and masks: AVX-512 F, DQ, BW, VL and CD.
  case avx512

  /// The best that the processor has, or less where `SWIFTCNN_ISA` says so.
  public static let selected: InstructionSet = select(
    getenv("SWIFTCNN_ISA").map { String(cString: $0) }, on: Processor.host
  ) { message in writeToErrorStream(message) }

  /// The best that a processor has.
  public static func best(on processor: Processor) -> InstructionSet {
    guard processor.avx2 && processor.fma else { return .portable }
    return processor.avx512 ? .avx512 : .avx2
  }

  static func select(_ wish: String?, on processor: Processor, report: (String) -> Void) -> InstructionSet {
    let best = best(on: processor)
    guard let wish, !wish.isEmpty else { return best }
    guard let limit = InstructionSet(rawValue: wish) else {
      report("swiftcnn: SWIFTCNN_ISA is '\(wish)'; portable, avx2 or avx512 is needed, so \(best.rawValue) is used\n")
      return best
    }
    return min(limit, best)
  }

  /// Whether `a` is the less capable.
  public static func < (a: InstructionSet, b: InstructionSet) -> Bool { a.rank < b.rank }

  private var rank: Int {
    switch self {
    case .portable: 0
    case .avx2: 1
    case .avx512: 2
    }
  }
}
