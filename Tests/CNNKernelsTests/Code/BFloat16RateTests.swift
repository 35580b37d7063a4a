import CNNRuntime
import Testing
import X86Assembler

@testable import CNNKernels

@Suite struct BFloat16RateTests {
  private static let hasVectors = Processor.host.instructionSet.contains(.avx512BF16)

  @Test func itIsKnownOfSomeDesigns() {
    func known(_ maker: String, _ family: Int, _ model: Int) -> Double? {
      BFloat16Rate.known(Processor.Design(maker: maker, family: family, model: model))
    }
    #expect(known("AuthenticAMD", 0x19, 0x11) == 1 && known("AuthenticAMD", 0x1A, 0x02) == 1)
    #expect(known("GenuineIntel", 6, 0x8F) == 0.25 && known("GenuineIntel", 6, 0xCF) == 0.25)
    #expect(known("GenuineIntel", 6, 0x55) == nil && known("AuthenticAMD", 6, 0x8F) == nil)
  }

  /// What is known of this processor is what it does.
  @Test(.enabled(if: hasVectors)) func itIsMeasuredAsItIsKnown() throws {
    let measured = try #require(BFloat16Rate.measured())
    #expect((0.125...2).contains(measured) && BFloat16Rate.host > 0)
    if let known = Processor.host.design.flatMap(BFloat16Rate.known) { #expect(measured == known) }
  }

  @Test(arguments: [(0.01, 0.125), (0.23, 0.25), (0.27, 0.25), (0.52, 0.5), (0.94, 1), (1.1, 1), (5, 2)])
  func aMeasurementIsAPowerOfTwo(_ ratio: Double, _ expected: Double) {
    #expect(BFloat16Rate.rounded(ratio) == expected)
  }

  @Test func aTargetSaysWhyItsProductsOfBFloat16AreNotUsed() {
    #expect(CodeTarget(.avx512BF16, bfloat16Rate: 1).bfloat16Refusal == nil)
    #expect(CodeTarget(.avx512BF16, bfloat16Rate: 2).bfloat16Refusal == nil)
    for (rate, percent) in [(0.5, 100), (0.25, 50), (0.125, 25)] {
      #expect(
        CodeTarget(.avx512BF16, bfloat16Rate: rate).bfloat16Refusal
          == "slower: products of bfloat16 on vectors run at \(percent) % of float32's rate here")
    }
    #expect(CodeTarget(.avx512, bfloat16Rate: 1).bfloat16Refusal == "avx512 has no instructions on bfloat16")
  }
}
