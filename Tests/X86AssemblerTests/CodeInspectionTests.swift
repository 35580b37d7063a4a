import CNNCore
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
