/// What the processor can do and how large its caches are.
public struct Processor: Sendable {
  /// The one that this process runs on, asked once.
  public static let host = Processor(asking: ProcessorQuery())

  /// What its maker calls it; empty if not known.
  public let name: String
  /// Its maker and its design; nil if not known.
  public let design: Design?
  /// The instructions it has whose registers the operating system saves.
  public let instructionSet: InstructionSet
  /// The first-level data cache of a core, in bytes; 0 if not known.
  public let l1ByteCount: Int
  /// The second-level cache, in bytes; 0 if not known.
  public let l2ByteCount: Int
  /// The third-level cache, in bytes; 0 if not known or there is none.
  public let l3ByteCount: Int

  /// Whose design a processor is, by the numbers that makers count theirs by.
  public struct Design: Hashable, Sendable {
    /// As `GenuineIntel` or `AuthenticAMD`.
    public let maker: String
    /// The numbers, with their extensions.
    public let family, model: Int

    /// The design with these numbers.
    public init(maker: String, family: Int, model: Int) {
      (self.maker, self.family, self.model) = (maker, family, model)
    }
  }
}

extension Processor {
  /// - Parameter query: what answers; nil where no code can be generated, and then there is nothing.
  init(asking query: ProcessorQuery?) {
    let basic = query?.identify(leaf: 1) ?? .none
    let isLeaf7Known = (query?.identify(leaf: 0) ?? .none).a >= 7
    let extended = isLeaf7Known ? query?.identify(leaf: 7) ?? .none : .none
    let extended1 = isLeaf7Known && extended.a >= 1 ? query?.identify(leaf: 7, 1) ?? .none : .none
    let saved = basic.has(.c, 27) ? query?.savedRegisters() ?? 0 : 0
    instructionSet = InstructionSet(basic, extended, extended1, savedRegisters: saved)
    name = Self.name(query)
    design = query.map { Design($0.identify(leaf: 0), signature: basic.a) }
    let caches = Self.caches(query)
    l1ByteCount = caches[1]
    l2ByteCount = caches[2]
    l3ByteCount = caches[3]
  }

  /// The name: 48 bytes, 16 in each of three leaves, spaces on its left and NULs on its right.
  private static func name(_ query: ProcessorQuery?) -> String {
    let leaves = 0x8000_0002...0x8000_0004 as ClosedRange<UInt32>
    guard let query, query.identify(leaf: 0x8000_0000).a >= leaves.upperBound else { return "" }
    let words = leaves.flatMap { leaf in
      let answer = query.identify(leaf: leaf)
      return [answer.a, answer.b, answer.c, answer.d]
    }
    let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    return bytes.split { $0 == 0 || $0 == UInt8(ascii: " ") }.map { String(decoding: $0, as: UTF8.self) }
      .joined(separator: " ")
  }

  /// The sizes of the data caches by level.
  private static func caches(_ query: ProcessorQuery?) -> [Int] {
    var sizes = [0, 0, 0, 0]
    guard let query else { return sizes }
    // AMD has Intel's leaf 4 at another number.
    let amdLeaf: UInt32 = 0x8000_001D
    let hasAMDLeaf = query.identify(leaf: 0x8000_0000).a >= amdLeaf && query.identify(leaf: 0x8000_0001).has(.c, 22)
    guard hasAMDLeaf || query.identify(leaf: 0).a >= 4 else { return sizes }
    for number in 0..<16 as Range<UInt32> {
      let answer = query.identify(leaf: hasAMDLeaf ? amdLeaf : 4, number)
      let kind = answer.a & 31, level = Int(answer.a >> 5 & 7)
      if kind == 0 { break }
      let instructionsOnly = 2
      if kind == instructionsOnly || level > 3 { continue }
      let ways = Int(answer.b >> 22) + 1, partitions = Int(answer.b >> 12 & 1023) + 1
      sizes[level] = ways * partitions * (Int(answer.b & 4095) + 1) * (Int(answer.c) + 1)
    }
    return sizes
  }
}

extension Processor.Design {
  /// - Parameters:
  ///   - first: the answer to leaf 0, in which the maker's name is.
  ///   - signature: the first register of that to leaf 1.
  init(_ first: ProcessorQuery.Answer, signature: UInt32) {
    let bytes = [first.b, first.d, first.c].flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
    }
    func bits(_ range: Range<Int>) -> Int { Int(signature >> UInt32(range.lowerBound)) & (1 << range.count - 1) }
    let family = bits(8..<12), model = bits(4..<8)
    // Where four bits do not suffice there are more; the model's also belong to Intel's family 6.
    self.init(
      maker: String(decoding: bytes, as: UTF8.self), family: family == 15 ? family + bits(20..<28) : family,
      model: family == 15 || family == 6 ? model + bits(16..<20) << 4 : model)
  }
}

extension InstructionSet {
  /// - Parameters:
  ///   - basic: the answer to leaf 1.
  ///   - extended, extended1: those to the parts 0 and 1 of leaf 7.
  ///   - savedRegisters: what the operating system saves, by bits.
  init(
    _ basic: ProcessorQuery.Answer, _ extended: ProcessorQuery.Answer, _ extended1: ProcessorQuery.Answer,
    savedRegisters: UInt64
  ) {
    func saves(_ bits: ClosedRange<Int>...) -> Bool {
      bits.joined().allSatisfy { savedRegisters >> UInt64($0) & 1 == 1 }
    }
    // XMM and YMM; besides masks, upper ZMM halves and registers above 15; configuration and data of tiles.
    let savesYmm = saves(1...2), savesZmm = saves(1...2, 5...7), savesTiles = saves(17...18)
    self = .portable
    /// Adds a member where the processor says so and has what it stands on.
    func add(_ member: InstructionSet, to foundation: InstructionSet = .portable, where isThere: Bool) {
      if isThere && isSuperset(of: foundation) { formUnion(member) }
    }
    add(.f16c, where: savesYmm && basic.has(.c, 29))
    add(.fma, where: savesYmm && basic.has(.c, 12))
    add(.avx2, to: .fma, where: basic.has(.c, 28) && extended.has(.b, 5))
    add(.avxVNNI, to: .avx2, where: extended1.has(.a, 4))
    // F, DQ, CD, BW, VL
    add(.avx512, to: .avx2, where: savesZmm && [16, 17, 28, 30, 31].allSatisfy { extended.has(.b, $0) })
    add(.avx512VNNI, to: .avx512, where: extended.has(.c, 11))
    add(.avx512BF16, to: .avx512, where: extended1.has(.a, 5))
    add(.amxTile, to: .avx512, where: savesTiles && extended.has(.d, 24))
    add(.amxInt8, to: .amxTile, where: extended.has(.d, 25))
    add(.amxBF16, to: .amxTile, where: extended.has(.d, 22))
  }
}

/// Code that asks the processor.
struct ProcessorQuery {
  /// The registers after `cpuid`.
  struct Answer {
    var a: UInt32 = 0, b: UInt32 = 0, c: UInt32 = 0, d: UInt32 = 0

    static let none = Answer()

    enum Register { case a, b, c, d }

    func has(_ register: Register, _ bit: Int) -> Bool {
      let bits =
        switch register {
        case .a: a
        case .b: b
        case .c: c
        case .d: d
        }
      return bits >> UInt32(bit) & 1 == 1
    }
  }

  private typealias Identify = @convention(c) (UInt64, UInt64, UnsafeMutableRawPointer) -> Void
  private typealias SavedRegisters = @convention(c) () -> UInt64

  private let memory: ExecutableMemory

  /// Nil on other processors and where the system allows no new code.
  init?() {
    #if arch(x86_64)
      guard let codes = try? [Self.identifyCode(), Self.savedRegistersCode()],
        let memory = try? ExecutableMemory(codes)
      else { return nil }
      self.memory = memory
    #else
      return nil
    #endif
  }

  func identify(leaf: UInt32, _ part: UInt32 = 0) -> Answer {
    var answer = Answer()
    unsafeBitCast(memory.address(of: 0), to: Identify.self)(UInt64(leaf), UInt64(part), &answer)
    return answer
  }

  /// Bit by bit, which kinds of registers the operating system saves; only where it lets programs ask.
  func savedRegisters() -> UInt64 { unsafeBitCast(memory.address(of: 1), to: SavedRegisters.self)() }

  private static func identifyCode() throws -> MachineCode {
    let k = Assembler(), answer = GeneralRegister.rdi
    k.push(.rbx)
    k.mov32(.rax, .rdi)
    k.mov32(.rcx, .rsi)
    k.mov(answer, .rdx)
    k.cpuid()
    k.mov32(answer[0], .rax)
    k.mov32(answer[4], .rbx)
    k.mov32(answer[8], .rcx)
    k.mov32(answer[12], .rdx)
    k.pop(.rbx)
    k.ret()
    return try k.finish(name: "cpuid")
  }

  private static func savedRegistersCode() throws -> MachineCode {
    let k = Assembler()
    k.mov(.rcx, 0)
    k.xgetbv()
    k.shl(.rdx, 32)
    k.or(.rax, .rdx)
    k.ret()
    return try k.finish(name: "xgetbv")
  }
}
