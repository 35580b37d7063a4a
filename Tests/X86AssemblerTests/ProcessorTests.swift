import CNNCore
import Testing

@testable import X86Assembler

@Suite struct ProcessorTests {
  /// Linux reads the same bits and leaves out what it does not support.
  @Test func theHostIsWhatLinuxSays() throws {
    let lines = readSystemFile("/proc/cpuinfo").split(separator: "\n")
    let flags = Set(try #require(lines.first { $0.hasPrefix("flags") }).split(separator: " "))
    let host = Processor.host
    #expect(host.avx2 == flags.contains("avx2"))
    #expect(host.fma == flags.contains("fma"))
    #expect(host.f16c == flags.contains("f16c"))
    let parts: [Substring] = ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"]
    #expect(host.avx512 == flags.isSuperset(of: parts))
    #expect(host.vnni == flags.contains("avx512_vnni"))
    #expect(host.bf16 == flags.contains("avx512_bf16"))
    let name = try #require(lines.first { $0.hasPrefix("model name") }).split(separator: ":")[1]
    #expect(host.name.split(separator: " ") == name.split(separator: " "))
  }

  @Test func theCachesAreWhatLinuxSays() {
    func size(_ index: Int) -> Int {
      let text = readSystemFile("/sys/devices/system/cpu/cpu0/cache/index\(index)/size").prefix { $0.isNumber }
      return Int(text).map { $0 * 1024 } ?? 0
    }
    let host = Processor.host
    // 0 and 1 are the two of level 1. Where a virtual machine shows none, none is known.
    for (index, own) in [(0, host.l1ByteCount), (2, host.l2ByteCount), (3, host.l3ByteCount)] where size(index) > 0 {
      #expect(own == size(index))
    }
  }

  @Test func whereNoCodeCanBeMadeThereIsNothing() {
    let processor = Processor(asking: nil)
    #expect(!processor.avx2 && !processor.fma && !processor.avx512)
    #expect(processor.l1ByteCount == 0 && processor.name.isEmpty)
    #expect(InstructionSet.best(on: processor) == .portable)
  }

  @Test func aWishLimitsTheInstructionSet() {
    let best = InstructionSet.best(on: .host), none = Processor(asking: nil)
    var reports: [String] = []
    func select(_ wish: String?, on processor: Processor = .host) -> InstructionSet {
      InstructionSet.select(wish, on: processor) { reports.append($0) }
    }
    #expect(select(nil) == best)
    #expect(select("") == best)
    #expect(select("portable") == .portable)
    #expect(select("avx2") == min(.avx2, best))
    #expect(select("avx512") == best)
    #expect(select("avx512", on: none) == .portable)
    #expect(reports.isEmpty)
    #expect(select("AVX9") == best)
    #expect(
      reports == [
        "swiftcnn: SWIFTCNN_ISA is 'AVX9'; portable, avx2 or avx512 is needed, so \(best.rawValue) is used\n"
      ])
    #expect(InstructionSet.allCases == InstructionSet.allCases.sorted())
  }
}
