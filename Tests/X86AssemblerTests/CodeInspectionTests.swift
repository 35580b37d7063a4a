import CDebuggerInterface
import CNNCore
import Glibc
import Testing

@testable import X86Assembler

private func code(_ name: String) throws -> MachineCode {
  let k = Assembler()
  k.note("the sum")
  k.vaddps(Ymm(0), Ymm(0), k.constant(1, lanes: 8))
  k.note("back")
  k.ret()
  return try k.finish(name: name)
}

@Suite struct CodeInspectionTests {
  @Test func codesAndListingsAreWritten() throws {
    try withTemporaryFolder { folder in
      let codes = [try code("first"), try code("second")]
      let inspection = CodeInspection(dumpFolder: folder)
      _ = try ExecutableMemory(codes, ways: ExecutableMemory.Way.allCases, inspection: inspection)
      #expect(try readFile("\(folder)/first.bin") == codes[0].bytes)
      #expect(try readFile("\(folder)/second.bin") == codes[1].bytes)
      #expect(
        String(decoding: try readFile("\(folder)/first.txt"), as: UTF8.self) == """
          ; first: 9 bytes of instructions, 96 with constants
          ; objdump -D -b binary -mi386:x86-64 -M intel first.bin
               0:  ; the sum
               8:  ; back

          """)
    }
  }

  @Test func perfFindsTheNames() throws {
    try withTemporaryFolder { folder in
      let map = "\(folder)/perf.map"
      let inspection = CodeInspection(perfMap: map)
      var expected = ""
      for name in ["first", "second"] {
        let memory = try ExecutableMemory([code(name)], ways: [.memoryFile], inspection: inspection)
        expected += "\(String(UInt(bitPattern: memory.address(of: 0)), radix: 16)) 9 \(name)\n"
      }
      #expect(String(decoding: try readFile(map), as: UTF8.self) == expected)
    }
  }

  @Test func aFolderThatIsMissingDoesNoHarm() throws {
    let inspection = CodeInspection(dumpFolder: "/nowhere/at/all", perfMap: "/nowhere/perf.map")
    _ = try ExecutableMemory([code("first")], ways: [.memoryFile], inspection: inspection)
  }
}

/// gdb itself is not asked here: `gdb -ex 'set env SWIFTCNN_JIT_GDB=1' -ex 'break name' -ex run` does that.
@Suite(.serialized) struct DebuggerTests {
  private func registeredFiles() -> [[UInt8]] {
    var files: [[UInt8]] = []
    var entry = debugger_descriptor().pointee.first_entry
    while let current = entry {
      files.append(
        Array(UnsafeRawBufferPointer(start: current.pointee.symfile_addr, count: Int(current.pointee.symfile_size))))
      entry = current.pointee.next_entry
    }
    return files
  }

  @Test func codesAreRegisteredWhileTheyLive() throws {
    func make(_ name: String) throws -> ExecutableMemory {
      try ExecutableMemory(
        [code(name), code("other")], ways: [.memoryFile], inspection: CodeInspection(registersWithDebugger: true))
    }
    #expect(registeredFiles().isEmpty)
    var first: ExecutableMemory? = try make("first"), second: ExecutableMemory? = try make("second")
    var third: ExecutableMemory? = try make("third")
    #expect(registeredFiles().count == 3)
    #expect(registeredFiles().allSatisfy { $0.starts(with: Array("\u{7F}ELF".utf8)) })
    withExtendedLifetime(second) { second = nil }
    #expect(registeredFiles().count == 2)
    withExtendedLifetime(third) { third = nil }
    #expect(registeredFiles().count == 1)
    #expect(debugger_descriptor().pointee.action_flag == 0)
    withExtendedLifetime(first) { first = nil }
    #expect(registeredFiles().isEmpty)
  }

  @Test func theFileNamesTheCodes() throws {
    let codes = [try code("first"), try code("second")]
    let start = try #require(UnsafeRawPointer(bitPattern: 0x7000_0000))
    let bytes = SymbolFile.bytes([(codes[0], start), (codes[1], start + 128)])
    try withTemporaryFolder { folder in
      try writeFile(bytes, to: "\(folder)/code.o")
      #expect(system("objdump -h -t \(folder)/code.o > \(folder)/symbols") == 0)
      let text = String(decoding: try readFile("\(folder)/symbols"), as: UTF8.self)
      let lines = text.split(separator: "\n").map { $0.split(whereSeparator: \.isWhitespace) }
      #expect(lines.contains(["0", ".text", "000000e0", "0000000070000000", "0000000070000000", "00000180", "2**6"]))
      #expect(lines.contains(["0000000070000000", "g", "F", ".text", "0000000000000009", "first"]))
      #expect(lines.contains(["0000000070000080", "g", "F", ".text", "0000000000000009", "second"]))
    }
  }
}
