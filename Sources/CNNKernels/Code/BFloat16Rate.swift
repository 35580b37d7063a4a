import CNNRuntime
import X86Assembler

/// How fast `vdpbf16ps` is: the processor's flag says that it is there, not whether it is of use.
enum BFloat16Rate {
  /// This processor's, as `CodeTarget.bfloat16Rate`; known by its design, or measured once.
  static let host: Double = {
    let processor = Processor.host
    guard processor.instructionSet.contains(.avx512BF16) else { return 0 }
    return processor.design.flatMap(known) ?? measured() ?? 0
  }()

  /// That of designs on which it was measured, or whose maker tells it.
  static func known(_ design: Processor.Design) -> Double? {
    switch (design.maker, design.family, design.model) {
    // Zen 4, Zen 5
    case ("AuthenticAMD", 0x19, _), ("AuthenticAMD", 0x1A, _): 1
    // Sapphire Rapids, Emerald Rapids
    case ("GenuineIntel", 6, 0x8F), ("GenuineIntel", 6, 0xCF): 0.25
    default: nil
    }
  }

  /// Measures it, which takes a tenth of a millisecond: as a power of two, so that it is the same each time. Nil where no code
  /// can be made.
  static func measured() -> Double? {
    let target = CodeTarget(Processor.host.instructionSet), library = KernelLibrary(target)
    let kernels = [false, true].map { isBFloat16 in
      library.kernel(isBFloat16, name: isBFloat16 ? "rate_bf16" : "rate_float32") {
        code(isBFloat16: isBFloat16, target)
      }
    }
    guard (try? library.finish()) != nil else { return nil }
    var least = [Int.max, Int.max]
    // In turns, so that both meet the same clock; the first times warm up.
    for _ in 0..<20 {
      for (index, kernel) in kernels.enumerated() {
        var rounds = 200
        let start = monotonicNanoseconds()
        kernel(&rounds)
        least[index] = min(least[index], monotonicNanoseconds() - start)
      }
    }
    return rounded(Double(least[0]) / Double(max(1, least[1])))
  }

  /// The power of two that is nearest, from 1/8 to 2.
  static func rounded(_ ratio: Double) -> Double {
    [0.125, 0.25, 0.5, 1, 2].min { abs($0 / ratio - ratio / $0) < abs($1 / ratio - ratio / $1) } ?? 0.125
  }

  /// As many sums at a time as hide how long each takes, some rounds.
  private static func code(isBFloat16: Bool, _ target: CodeTarget) -> VectorCode {
    let code = VectorCode(target), k = code.assembler, rounds = GeneralRegister.rcx
    let registers = (0..<24).map { WideRegister(number: $0, lanes: 16) }
    k.mov(rounds, GeneralRegister.rdi[0])
    for register in registers { code.zero(register) }
    k.loop(rounds) {
      for register in registers {
        if isBFloat16 {
          code.multiplyAddPairs(register, register, .register(register))
        } else {
          code.multiplyAdd(register, register, register)
        }
      }
    }
    k.vzeroupper()
    k.ret()
    return code
  }
}
