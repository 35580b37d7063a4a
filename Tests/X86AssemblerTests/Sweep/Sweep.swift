@testable import X86Assembler

/// One instruction with many operands: what this assembler makes of them, and how another one writes them.
final class Sweep {
  let assembler = Assembler()
  /// Where each case ends in the bytes.
  private(set) var ends: [Int] = []
  /// Each case in Intel's syntax, if they are wanted.
  private(set) var texts: [String] = []
  private let keepsTexts: Bool
  private var randomState: UInt64 = 1

  init(keepsTexts: Bool) { self.keepsTexts = keepsTexts }

  var bytes: [UInt8] { assembler.bytes }

  /// Records a case that has just been emitted.
  func add(_ emitted: Void, _ text: @autoclosure () -> String) {
    ends.append(assembler.bytes.count)
    if keepsTexts { texts.append(text()) }
  }

  /// The bytes of a case.
  func bytes(of index: Int) -> ArraySlice<UInt8> { assembler.bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]] }

  /// One of the elements, the same ones in every run.
  func pick<Element>(_ elements: [Element]) -> Element {
    randomState = randomState &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return elements[Int(randomState >> 33) % elements.count]
  }

  /// A number that identifies the bytes of `cases`, boundaries included (FNV-1a).
  static func digest(_ bytes: some Sequence<UInt8>, ends: [Int]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    for byte in bytes { mix(byte) }
    for end in ends { mix(UInt8(truncatingIfNeeded: end)) }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  var digest: String { Self.digest(bytes, ends: ends) }
}

/// The operands that an instruction is tried with.
extension OpcodeRow {
  var hasEVEX: Bool { encodings != .vexOnly }

  var allowsSplat: Bool { tuple == .full && hasEVEX }

  func registers<V: VectorRegister>(_: V.Type) -> [V] {
    (hasEVEX ? [0, 7, 8, 15, 16, 31] : [0, 7, 8, 15]).map(V.init)
  }

  var widths: [any VectorRegister.Type] {
    ([Xmm.self, Ymm.self, Zmm.self] as [any VectorRegister.Type]).filter { has(byteCount: $0.byteCount) }
  }

  var maskings: [Masking?] { hasEVEX ? [nil, .merge(.k1), .zero(.k7), .merge(.k6), .zero(.k2)] : [nil] }

  var mergings: [Masking?] { hasEVEX ? [nil, .merge(.k1), .merge(.k7)] : [nil] }

  var text: String {
    let name = mnemonic.description
    // GNU's takes EVEX for the instructions that are in both AVX-512 and AVX-VNNI.
    return name.hasSuffix("VEX") ? "{vex} \(name.dropLast(3))" : name
  }

  /// All addresses as the instruction's memory operand, some of them as splats, with their texts.
  func memories<V: VectorRegister>(_: V.Type, splats: Bool = true) -> [(Address, String)] {
    // Where lanes are moved together, displacements count them, and yet the memory is a whole vector.
    let isPacked = ["vcompressps", "vexpandps"].contains(mnemonic.description)
    let size = sizeName(of: isPacked ? V.byteCount : displacementUnit(byteCount: V.byteCount, isSplat: false))
    var result = MemoryCase.sized[size] ?? []
    if splats && allowsSplat {
      let byteCount = width == .w0 ? 4 : 8
      result += MemoryCase.splats["\(sizeName(of: byteCount)) {1to\(V.byteCount / byteCount)}"] ?? []
    }
    return result
  }
}

/// How Intel's syntax names a size in memory.
func sizeName(of byteCount: Int) -> String {
  switch byteCount {
  case 1: "byte ptr"
  case 2: "word ptr"
  case 4: "dword ptr"
  case 8: "qword ptr"
  case 16: "xmmword ptr"
  case 32: "ymmword ptr"
  default: "zmmword ptr"
  }
}

/// An address and its text, without the size.
struct MemoryCase {
  let address: Address
  let text: String

  static let bases: [GeneralRegister] = [.rax, .rsp, .rbp, .rdi, .r8, .r12, .r13, .r15]
  static let indices: [(GeneralRegister, Int)] = [(.rcx, 1), (.rbp, 2), (.r12, 4), (.r13, 8), (.rdi, 8)]
  /// Around where 8 bits end, for a displacement that is not scaled.
  static let nearDisplacements = [0, 1, -1, 64, 127, 128, -128, -129]
  /// Around where 8 bits end for every unit of EVEX's displacements, and the ends of 32 bits.
  static let farDisplacements: [Int] = {
    var result = [0x1234_5678, 0x7FFF_FFFF, -0x8000_0000]
    for unit in [1, 2, 4, 8, 16, 32, 64] {
      for factor in [1, -1, 127, 128, -128, -129] { result.append(factor * unit) }
      result.append(33 * unit / 2)
    }
    return result
  }()

  static let all: [MemoryCase] = {
    var result: [MemoryCase] = []
    for base in bases {
      for displacement in nearDisplacements {
        result.append(MemoryCase(base, displacement))
        for (index, scale) in indices { result.append(MemoryCase(base, index, scale, displacement)) }
      }
    }
    for displacement in farDisplacements {
      result.append(MemoryCase(.rdi, displacement))
      result.append(MemoryCase(.r12, .r9, 4, displacement))
    }
    return result
  }()

  init(_ base: GeneralRegister, _ displacement: Int) {
    address = base[displacement]
    text = "[\(base.text)\(signed(displacement))]"
  }

  init(_ base: GeneralRegister, _ index: GeneralRegister, _ scale: Int, _ displacement: Int) {
    address = base[index, scale, displacement]
    text = "[\(base.text) + \(scale)*\(index.text)\(signed(displacement))]"
  }
}

extension MemoryCase {
  /// All of them by size, since making the texts takes longer than assembling them.
  static let sized: [String: [(Address, String)]] = {
    var result: [String: [(Address, String)]] = [:]
    for byteCount in [1, 2, 4, 8, 16, 32, 64] {
      let size = sizeName(of: byteCount)
      result[size] = all.map { ($0.address, "\(size) \($0.text)") }
    }
    return result
  }()

  /// All of them as splats, by size and number of lanes.
  static let splats: [String: [(Address, String)]] = {
    var result: [String: [(Address, String)]] = [:]
    for size in [4, 8].map(sizeName) {
      for lanes in [2, 4, 8, 16] {
        result["\(size) {1to\(lanes)}"] = all.map { ($0.address.splat, "\(size) \($0.text){1to\(lanes)}") }
      }
    }
    return result
  }()
}

func signed(_ displacement: Int) -> String {
  displacement == 0 ? "" : displacement < 0 ? " - \(-displacement)" : " + \(displacement)"
}

extension VectorRegister {
  var text: String { "\(["x", "y", "", "z"][Self.byteCount / 16 - 1])mm\(number)" }
}

extension MaskRegister {
  var text: String { "k\(number)" }
}

extension Masking? {
  /// As it stands behind the destination.
  var text: String { self.map { " {\($0.register.text)}" + ($0.isZeroing ? " {z}" : "") } ?? "" }
}

extension GeneralRegister {
  private static let oldNames = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]

  /// The register of 64 bits, and its parts.
  var text: String { number < 8 ? "r\(Self.oldNames[number])" : "r\(number)" }
  var text32: String { number < 8 ? "e\(Self.oldNames[number])" : "r\(number)d" }
  var text16: String { number < 8 ? Self.oldNames[number] : "r\(number)w" }
  var text8: String {
    number < 4 ? "\(Self.oldNames[number].prefix(1))l" : number < 8 ? "\(Self.oldNames[number])l" : "r\(number)b"
  }
}
