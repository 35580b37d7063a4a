import CNNCore
import Glibc
import Testing

@testable import X86Assembler

/// What an outside assembler made of the sweep of each instruction: Tests/X86AssemblerTests/encodings.txt.
///
/// Of each instruction the number of cases, a digest of all their bytes, and a few cases in full for the reader.
private struct GoldenEncodings {
  struct Entry: Equatable {
    var count = ""
    var digest = ""
    var samples: [String] = []
  }

  static let path = "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/encodings.txt"

  var entries: [String: Entry] = [:]

  init() throws {
    var name = ""
    for line in String(decoding: try readFile(Self.path), as: UTF8.self).split(separator: "\n") {
      if line.hasPrefix("  ") {
        entries[name]?.samples.append(String(line.dropFirst(2)))
      } else if !line.hasPrefix("#") {
        let words = line.split(separator: " ").map { String($0) }
        name = words[0]
        entries[name] = Entry(count: words[1], digest: words[2])
      }
    }
  }

  /// The entry of a sweep with texts whose bytes are `bytes`.
  static func entry(_ sweep: Sweep, bytes: [UInt8]) -> Entry {
    let count = sweep.ends.count
    // Without a rhythm that would meet the same operands in each sweep.
    let chosen = Set((1...4).map { ($0 * 7919 + bytes.count) % count }).sorted()
    return Entry(
      count: String(count), digest: Sweep.digest(bytes, ends: sweep.ends),
      samples: chosen.map { "\(hexadecimal(sweep.bytes(of: $0)))  \(sweep.texts[$0])" })
  }

  static func write(_ entries: [(String, Entry)]) throws {
    var text = "# Made by `make asm-golden` from the bytes of an outside assembler.\n"
    text += "# Of each instruction: name, number of cases, digest of their bytes (FNV-1a), a few of the cases.\n"
    for (name, entry) in entries {
      text += "\(name) \(entry.count) \(entry.digest)\n"
      for sample in entry.samples { text += "  \(sample)\n" }
    }
    try writeFile(text.utf8, to: path)
  }
}

private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// What `make asm-check` and `make asm-golden` ask for: `compare` or `write`.
private let outsideWish = getenv("SWIFTCNN_ASM_CHECK").map { String(cString: $0) }

@Suite struct EncodingTests {
  @Test func everyEncodingIsThatOfTheOutsideAssembler() throws {
    let golden = try GoldenEncodings()
    var caseCount = 0
    for instruction in SweptInstruction.all {
      let sweep = instruction.sweep()
      #expect(sweep.assembler.failure == nil, "\(instruction.name)")
      let entry = golden.entries[instruction.name]
      #expect(entry?.count == String(sweep.ends.count), "\(instruction.name): run `make asm-golden`")
      #expect(entry?.digest == sweep.digest, "\(instruction.name): run `make asm-check` to see where it differs")
      caseCount += sweep.ends.count
    }
    #expect(Set(golden.entries.keys) == Set(SweptInstruction.all.map(\.name)))
    #expect(caseCount > 350_000)
  }

  @Test func everyInstructionIsSwept() throws {
    let folder = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let swept = Set(SweptInstruction.all.map(\.name))
    for file in ["FloatArithmetic", "IntegerArithmetic", "Moves", "Masks", "Tiles", "General", "Control"] {
      let source = String(
        decoding: try readFile("\(folder)/Sources/X86Assembler/Instructions/\(file).swift"), as: UTF8.self)
      for line in source.split(separator: "\n") {
        for start in ["  public var ", "  public func "] where line.hasPrefix(start) {
          let name = line.dropFirst(start.count).prefix { $0.isLetter || $0.isNumber }
          if name != "callAsFunction" { #expect(swept.contains(String(name)), "\(name) is not in the sweep") }
        }
      }
    }
  }

  @Test func aFaultInAnyFieldOfAnyRowIsNoticed() {
    var faultCount = 0
    for instruction in SweptInstruction.all {
      guard let row = instruction.row else { continue }
      let digest = instruction.sweep().digest
      for (field, faulty) in faults(in: row) {
        #expect(instruction.sweep(row: faulty).digest != digest, "\(instruction.name): \(field)")
        faultCount += 1
      }
    }
    #expect(faultCount > 1000)
  }

  /// The row with one field changed at a time. What a sweep of existing operands cannot show is left out: it is in
  /// the negative tests.
  private func faults(in row: OpcodeRow) -> [(String, OpcodeRow)] {
    var result: [(String, OpcodeRow)] = []
    func add(_ field: String, _ change: (inout OpcodeRow) -> Void) {
      var faulty = row
      change(&faulty)
      result.append((field, faulty))
    }
    for prefix in OpcodeRow.Prefix.allCases where prefix != row.prefix { add("prefix") { $0.prefix = prefix } }
    for map in OpcodeRow.Map.allCases where map != row.map { add("map") { $0.map = map } }
    for bit in 0..<8 { add("opcode") { $0.opcode ^= 1 << UInt8(bit) } }
    add("width") { $0.width = row.width == .w1 ? .w0 : .w1 }
    let name = row.mnemonic.description
    if row.encodings != .vexOnly && name != "vcvtneps2bf16" {  // which has no memory operand
      // The unit of displacements, and whether splats exist.
      let unit = row.displacementUnit(byteCount: 64, isSplat: false)
      add("tuple") { $0.tuple = .block(unit == 1 ? 2 : unit / 2) }
      if row.tuple == .full { add("tuple") { $0.tuple = .fullMemory } }
    }
    // In these the operands decide between VEX and EVEX.
    if !["vcmpps", "vpcmpd", "vgatherdps"].contains(name) {
      for encodings in OpcodeRow.Encodings.allCases where encodings != row.encodings {
        let isSame = encodings == .both && (row.encodings == .vexOnly || row.lengths == .only64)
        if !isSame { add("encodings") { $0.encodings = encodings } }
      }
    }
    if row.lengths == .all { add("lengths") { $0.lengths = .from32 } }
    if row.secondOpcode != 0 { add("second opcode") { $0.secondOpcode ^= 1 } }
    if row.digit != 0 { add("digit") { $0.digit ^= 2 } }
    return result
  }

  @Test(.enabled(if: outsideWish != nil, "only make asm-check and make asm-golden have the outside assemblers"))
  func outsideAssemblersAgree() throws {
    let witnesses = OutsideAssembler.allCases.filter(\.isThere)
    try #require(!witnesses.isEmpty, "neither llvm-mc nor as is installed")
    var entries: [(String, GoldenEncodings.Entry)] = []
    var caseCount = 0
    for instruction in SweptInstruction.all {
      let sweep = instruction.sweep(keepsTexts: true)
      var confirmed: [UInt8]?
      for witness in witnesses {
        // Of two encodings of one length, GNU's takes the other for registers above 15.
        if instruction.name == "vmovq" && witness == .gnu { continue }
        let bytes = try withTemporaryFolder { try witness.assemble(sweep.texts, in: $0) }
        if let difference = firstDifference(sweep, bytes) {
          Issue.record("\(witness): \(difference)")
        } else {
          confirmed = bytes
        }
      }
      guard let confirmed else { continue }
      entries.append((instruction.name, GoldenEncodings.entry(sweep, bytes: confirmed)))
      caseCount += sweep.ends.count
    }
    print("\(caseCount) encodings of \(entries.count) instructions, beside those of \(witnesses.map(\.rawValue))")
    if outsideWish == "write" {
      try #require(entries.count == SweptInstruction.all.count, "not all are confirmed")
      try GoldenEncodings.write(entries)
    } else {
      let golden = try GoldenEncodings()
      for (name, entry) in entries { #expect(golden.entries[name] == entry, "run `make asm-golden`") }
    }
  }

  private func firstDifference(_ sweep: Sweep, _ bytes: [UInt8]) -> String? {
    let ours = sweep.bytes
    if bytes == ours { return nil }
    let place = zip(bytes, ours).enumerated().first { $1.0 != $1.1 }?.offset ?? min(bytes.count, ours.count)
    let index = sweep.ends.firstIndex { $0 > place } ?? sweep.ends.count - 1
    let start = index == 0 ? 0 : sweep.ends[index - 1]
    let own = hexadecimal(sweep.bytes(of: index)), theirs = hexadecimal(bytes.dropFirst(start).prefix(16))
    return "\(sweep.texts[index]): \(own), theirs begins \(theirs)"
  }
}
