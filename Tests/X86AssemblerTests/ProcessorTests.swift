import CNNCore
import Testing

@testable import X86Assembler

@Suite struct ProcessorTests {
  /// Linux reads the same bits and leaves out what it does not support.
  @Test func theHostIsWhatLinuxSays() throws {
    let lines = readSystemFile("/proc/cpuinfo").split(separator: "\n")
    let flags = Set(try #require(lines.first { $0.hasPrefix("flags") }).split(separator: " "))
    let host = Processor.host
    var expected = flags.intersection([
      "avx2", "fma", "f16c", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
    ])
    let parts: [Substring] = ["avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"]
    if flags.isSuperset(of: parts) { expected.insert("avx512") }
    #expect(Set(host.instructionSet.names) == Set(expected.map(String.init)))
    let name = try #require(lines.first { $0.hasPrefix("model name") }).split(separator: ":")[1]
    #expect(host.name.split(separator: " ") == name.split(separator: " "))
    func value(_ key: String) throws -> String {
      let line = try #require(lines.first { $0.split(separator: ":")[0].filter { $0 != "\t" } == key })
      return String(line.split(separator: ":")[1].dropFirst())
    }
    let design = try #require(host.design)
    #expect(try design.maker == value("vendor_id"))
    #expect(try design.family == Int(value("cpu family")) && design.model == Int(value("model")))
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
    #expect(processor.instructionSet == .portable)
    #expect(processor.l1ByteCount == 0 && processor.name.isEmpty && processor.design == nil)
  }

  /// Signatures of a Zen 4, a Sapphire Rapids and a Skylake, as their makers list them.
  @Test(
    arguments: [
      (0x00A1_0F11, "AuthenticAMD", 0x19, 0x11), (0x000806F8, "GenuineIntel", 6, 0x8F),
      (0x0005_0654, "GenuineIntel", 6, 0x55), (0x0000_0F4A, "GenuineIntel", 15, 4),
    ] as [(UInt32, String, Int, Int)])
  func aSignatureTellsTheDesign(_ signature: UInt32, _ maker: String, _ family: Int, _ model: Int) {
    func word(_ start: Int) -> UInt32 {
      Array(maker.utf8)[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    let first = ProcessorQuery.Answer(b: word(0), c: word(8), d: word(4))
    #expect(
      Processor.Design(first, signature: signature) == Processor.Design(maker: maker, family: family, model: model))
  }

  /// What a processor answers that has everything, and an operating system that saves all registers.
  private struct Answers {
    // FMA, AVX, F16C
    var basic = ProcessorQuery.Answer(c: 1 << 12 | 1 << 28 | 1 << 29)
    // AVX2 and the five parts of AVX-512; VNNI; AMX BF16, TILE and INT8
    var extended = ProcessorQuery.Answer(
      b: 1 << 5 | 1 << 16 | 1 << 17 | 1 << 28 | 1 << 30 | 1 << 31, c: 1 << 11, d: 1 << 22 | 1 << 24 | 1 << 25)
    // AVX-VNNI, AVX-512 BF16
    var extended1 = ProcessorQuery.Answer(a: 1 << 4 | 1 << 5)
    var saved: UInt64 = 0x600E7

    var instructionSet: InstructionSet { InstructionSet(basic, extended, extended1, savedRegisters: saved) }
  }

  private static let everything: InstructionSet = [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16, .amxInt8, .amxBF16]

  @Test func aProcessorIsWhatItAnswers() {
    #expect(Answers().instructionSet == Self.everything)
    #expect(Self.everything.names == InstructionSet(rawValue: .max).names)
    #expect(Self.everything.contains(.amxTile) && Self.everything.contains(.avx2) && Self.everything.contains(.fma))
    func without(_ bits: UInt32, _ word: WritableKeyPath<Answers, UInt32>) -> InstructionSet {
      var answers = Answers()
      answers[keyPath: word] &= ~bits
      return answers.instructionSet
    }
    // A feature that is not there takes with it what stands on it, and nothing else.
    #expect(without(1 << 29, \.basic.c) == [.avxVNNI, .avx512VNNI, .avx512BF16, .amxInt8, .amxBF16])
    #expect(without(1 << 12, \.basic.c) == .f16c)
    #expect(without(1 << 28, \.basic.c) == [.f16c, .fma])
    #expect(without(1 << 5, \.extended.b) == [.f16c, .fma])
    for bit: UInt32 in [16, 17, 28, 30, 31] { #expect(without(1 << bit, \.extended.b) == [.f16c, .avxVNNI]) }
    #expect(without(1 << 11, \.extended.c) == [.f16c, .avxVNNI, .avx512BF16, .amxInt8, .amxBF16])
    #expect(without(1 << 4, \.extended1.a) == [.f16c, .avx512VNNI, .avx512BF16, .amxInt8, .amxBF16])
    #expect(without(1 << 5, \.extended1.a) == [.f16c, .avxVNNI, .avx512VNNI, .amxInt8, .amxBF16])
    #expect(without(1 << 22, \.extended.d) == [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16, .amxInt8])
    #expect(without(1 << 25, \.extended.d) == [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16, .amxBF16])
    #expect(without(1 << 24, \.extended.d) == [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16])
  }

  @Test func whatTheSystemDoesNotSaveIsNotThere() {
    func with(saved: UInt64) -> InstructionSet {
      var answers = Answers()
      answers.saved = saved
      return answers.instructionSet
    }
    #expect(with(saved: 0) == .portable)
    for bits: UInt64 in [0x3, 0x5] { #expect(with(saved: bits) == .portable) }
    #expect(with(saved: 0x7) == [.f16c, .avxVNNI])
    for bits: UInt64 in [0x67, 0xA7, 0xC7] { #expect(with(saved: bits) == [.f16c, .avxVNNI]) }
    for bits: UInt64 in [0xE7, 0x200E7, 0x400E7] {
      #expect(with(saved: bits) == [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16])
    }
    #expect(with(saved: 0x60007) == [.f16c, .avxVNNI])
  }

  @Test func whatIsLeftWithoutTilesIsAllElse() {
    #expect(Self.everything.withoutTiles == [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16])
    #expect(InstructionSet.avx2.withoutTiles == .avx2 && InstructionSet.amxBF16.withoutTiles == .avx512)
  }

  @Test func aWishLimitsTheInstructionSet() {
    var reports: [String] = []
    func select(_ wish: String?, of present: InstructionSet = Self.everything) -> InstructionSet {
      InstructionSet.select(EnvironmentVariable("SWIFTCNN_ISA", wish) { reports.append($0) }, of: present)
    }
    #expect(select(nil) == Self.everything)
    #expect(select("") == Self.everything)
    // From level to level there is more of it, and each is named as it is wished for.
    let ladder: [(String, InstructionSet)] = [
      ("portable", []), ("avx2", [.f16c, .avx2]), ("avx_vnni", [.f16c, .avxVNNI]),
      ("avx512", [.f16c, .avxVNNI, .avx512]), ("avx512_vnni", [.f16c, .avxVNNI, .avx512VNNI]),
      ("avx512_bf16", [.f16c, .avxVNNI, .avx512VNNI, .avx512BF16]), ("amx", Self.everything),
    ]
    for (name, expected) in ladder {
      #expect(select(name) == expected)
      #expect(expected.name == name)
      // A processor that has less has it still.
      #expect(select(name, of: .portable) == .portable)
      #expect(select("amx", of: expected) == expected)
    }
    #expect(select("avx512_bf16", of: [.avx512BF16]) == .avx512BF16)
    #expect(select("avx512_vnni", of: [.avx512BF16]) == .avx512)
    #expect(([.f16c, .fma] as InstructionSet).name == "portable")
    #expect(reports.isEmpty)
    #expect(select("AVX9", of: [.avx512VNNI]) == .avx512VNNI)
    #expect(
      reports == [
        "swiftcnn: SWIFTCNN_ISA is 'AVX9'; portable, avx2, avx_vnni, avx512, avx512_vnni, avx512_bf16 or amx is "
          + "needed, so avx512_vnni is used\n"
      ])
  }
}
