import CNNCore
import Glibc
import Testing

@testable import X86Assembler

private let rdi = GeneralRegister.rdi, rsi = GeneralRegister.rsi, rdx = GeneralRegister.rdx, rcx = GeneralRegister.rcx

/// out, a, b, count
private typealias Function =
  @convention(c) (
    UnsafeMutablePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int
  ) -> Int

/// Writes a function and calls it on `a` and `b`; returns what it wrote and what it returned.
private func run(
  _ a: [Float] = [0], _ b: [Float] = [0], count: Int = 0, ways: [ExecutableMemory.Way] = [.memoryFile],
  _ write: (Assembler) -> Void
) throws -> (out: [Float], value: Int) {
  let k = Assembler()
  write(k)
  k.ret()
  let memory = try ExecutableMemory([k.finish()], ways: ways, inspection: CodeInspection())
  let function = unsafeBitCast(memory.address(of: 0), to: Function.self)
  var out = [Float](repeating: -1, count: max(a.count, 64))
  let value = function(&out, a, b, count)
  return (out, value)
}

/// out = a + b for whole vectors.
private func addVectors<V: VectorRegister>(_ k: Assembler, _: V.Type) {
  let next = k.newLabel(), end = k.newLabel()
  k.test(rcx, rcx)
  k.jump(.le, end)
  k.bind(next)
  k.vmovups(V(0), rsi[])
  k.vaddps(V(0), V(0), rdx[])
  k.vmovups(rdi[], V(0))
  for register in [rdi, rsi, rdx] { k.add(register, V.byteCount) }
  k.sub(rcx, V.laneCount)
  k.jump(.g, next)
  k.bind(end)
  k.vzeroupper()
}

private let hasAVX2 = Processor.host.instructionSet.contains(.avx2)
private let hasAVX512 = Processor.host.instructionSet.contains(.avx512)

@Suite struct RunningTests {
  @Test(.enabled(if: hasAVX2), arguments: ExecutableMemory.Way.allCases)
  func vectorsAreAdded(way: ExecutableMemory.Way) throws {
    let a = (0..<96).map { Float($0) }, b = (0..<96).map { Float($0 * $0) }
    let sum = zip(a, b).map { $0 + $1 }
    #expect(try run(a, b, count: 96, ways: [way]) { addVectors($0, Xmm.self) }.out == sum)
    #expect(try run(a, b, count: 96, ways: [way]) { addVectors($0, Ymm.self) }.out == sum)
    #expect(try run(a, b, count: 0, ways: [way]) { addVectors($0, Ymm.self) }.out.allSatisfy { $0 == -1 })
    if hasAVX512 { #expect(try run(a, b, count: 96, ways: [way]) { addVectors($0, Zmm.self) }.out == sum) }
  }

  @Test(.enabled(if: hasAVX2)) func constantsAreRead() throws {
    let out = try run { k in
      k.vmovups(Ymm(0), k.constant(2.5, lanes: 8))
      k.vbroadcastss(Ymm(1), k.constant(4))
      k.vmulps(Ymm(0), Ymm(0), Ymm(1))
      k.vaddps(Ymm(0), Ymm(0), k.constantVector((0..<8).map { Float($0).bitPattern }))
      k.vpermilps(Ymm(0), Ymm(0), 0b00_01_10_11)
      k.vmovups(rdi[], Ymm(0))
      k.vzeroupper()
    }.out
    #expect(out[0..<9] == [13, 12, 11, 10, 17, 16, 15, 14, -1])
  }

  @Test(.enabled(if: hasAVX512)) func masksAndSplatsWork() throws {
    let (out, value) = try run { k in
      k.mov(.rax, 0b1011)
      k.kmovw(.k1, .rax)
      k.vmovups(Zmm(17), k.constant(3, lanes: 16))
      k.vfmadd231ps(Zmm(17), Zmm(17), k.constant(2).splat, .merge(.k1))
      k.vmovups(rdi[], Zmm(17))
      k.vmovups(Zmm(18), Zmm(17), .zero(.k1))
      k.vmovups(rdi[64], Zmm(18))
      k.vmovups(rdi[128], Zmm(18), .merge(.k1))
      k.vcmpps(.k2, Zmm(18), k.constant(0).splat, 0)
      k.kmovw(.rax, .k2)
      k.vzeroupper()
    }
    for (start, other) in [(0, 3), (16, 0), (32, -1)] {
      let expected = (0..<16).map { 0b1011 >> $0 & 1 == 1 ? Float(9) : Float(other) }
      #expect(Array(out[start..<start + 16]) == expected)
    }
    #expect(value == 0xFFF4)
  }

  @Test func numbersAreComputed() throws {
    #expect(try run(count: 10) { $0.lea(.rax, rcx[rcx, 4, 100]) }.value == 150)
    for value in [0, 1, -1, 0xFFFF_FFFF, 0x8000_0000, -0x8000_0000, 0x1234_5678_9ABC, .max, .min] {
      #expect(try run { $0.mov(.rax, value) }.value == value)
    }
    #expect(
      try run(count: 7) { k in
        k.imul(.rax, rcx, 1000)
        k.sub(.rax, 1)
        k.shl(.rax, 4)
        k.neg(.rax)
      }.value == -(6999 * 16))
    // A sum that a loop makes, jumping forward out of it.
    #expect(
      try run(count: 100) { k in
        let next = k.newLabel(), end = k.newLabel()
        k.xor(.rax, .rax)
        k.bind(next)
        k.test(rcx, rcx)
        k.jump(.e, end)
        k.add(.rax, rcx)
        k.dec(rcx)
        k.jump(next)
        k.bind(end)
      }.value == 5050)
  }

  @Test func allCodesOfABlockCanBeCalled() throws {
    let codes = try (0..<300).map { number in
      let k = Assembler()
      k.mov(.rax, number)
      for _ in 0..<(number % 70) { k.mov(rcx, rcx) }
      k.ret()
      return try k.finish(name: "number\(number)")
    }
    let memory = try ExecutableMemory(codes)
    for number in codes.indices {
      let address = memory.address(of: number)
      #expect(UInt(bitPattern: address) % 64 == 0)
      #expect(unsafeBitCast(address, to: (@convention(c) () -> Int).self)() == number)
    }
    _ = try ExecutableMemory([])
  }

  @Test func memoryIsNeverWritableAndExecutable() async {
    // In a process of its own: beside other suites, other code may lie where this was by the time that is looked at.
    await #expect(processExitsWith: .success) {
      let k = Assembler()
      k.ret()
      let code = try k.finish()
      for way in ExecutableMemory.Way.allCases {
        var memory: ExecutableMemory? = try ExecutableMemory([code], ways: [way], inspection: CodeInspection())
        let start = String(UInt(bitPattern: try #require(memory).address(of: 0)), radix: 16) + "-"
        func protection() throws -> [Substring] {
          String(decoding: try readFile("/proc/self/maps"), as: UTF8.self).split(separator: "\n")
            .filter { $0.hasPrefix(start) }.map { $0.split(separator: " ")[1] }
        }
        #expect(try protection() == ["r-xp"], "\(way)")
        memory = nil
        #expect(try protection().allSatisfy { !$0.contains("x") }, "\(way)")
      }
    }
  }

  @Test func aSystemThatRefusesIsAnError() throws {
    #expect(throws: CNNError.self) { try ExecutableMemory([], ways: [], inspection: CodeInspection()) }
  }
}
