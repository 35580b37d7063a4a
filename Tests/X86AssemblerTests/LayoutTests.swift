import CNNCore
import Glibc
import Testing

@testable import X86Assembler

/// `count` instructions of one byte.
private func fill(_ k: Assembler, _ count: Int) {
  for _ in 0..<count { k.int3() }
}

private func bytes(_ write: (Assembler) -> Void) throws -> [UInt8] {
  let k = Assembler()
  write(k)
  return try k.finish().bytes
}

private func littleEndian(_ value: Int) -> [UInt8] {
  [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: value >> $0) }
}

@Suite struct LayoutTests {
  @Test func jumpsBackAreShortWhileTheyCanBe() throws {
    for count in 0...140 {
      let plain = try bytes { k in
        let label = k.newLabel()
        k.bind(label)
        fill(k, count)
        k.jump(label)
      }
      let distance = -count - 2
      #expect(
        plain.dropFirst(count)
          == (distance >= -128 ? [0xEB, UInt8(truncatingIfNeeded: distance)] : [0xE9] + littleEndian(-count - 5))[...])
      let conditional = try bytes { k in
        let label = k.newLabel()
        k.bind(label)
        fill(k, count)
        k.jump(.ne, label)
      }
      #expect(
        conditional.dropFirst(count)
          == (distance >= -128
          ? [0x75, UInt8(truncatingIfNeeded: distance)] : [0x0F, 0x85] + littleEndian(-count - 6))[...])
    }
  }

  @Test func jumpsForwardTake32Bits() throws {
    for count in Array(0...140) + [40_000] {
      let plain = try bytes { k in
        let label = k.newLabel()
        k.jump(label)
        fill(k, count)
        k.bind(label)
      }
      #expect(plain.prefix(5) == ([0xE9] + littleEndian(count))[...])
      let conditional = try bytes { k in
        let label = k.newLabel()
        k.jump(.l, label)
        fill(k, count)
        k.bind(label)
      }
      #expect(conditional.prefix(6) == ([0x0F, 0x8C] + littleEndian(count))[...])
    }
  }

  /// What jump is meant is not part of the sweep, where each case stands alone.
  @Test func conditionsHaveTheirCodes() throws {
    let codes: [Condition: UInt8] = [
      .b: 2, .ae: 3, .e: 4, .ne: 5, .be: 6, .a: 7, .s: 8, .ns: 9, .l: 12, .ge: 13, .le: 14, .g: 15,
    ]
    #expect(codes.count == Condition.allCases.count)
    for (condition, code) in codes {
      let back = try bytes { k in
        let label = k.newLabel()
        k.bind(label)
        k.jump(condition, label)
      }
      #expect(back == [0x70 | code, 0xFE])
    }
  }

  @Test func constantsFollowTheCodeAlignedAndOnce() throws {
    let k = Assembler()
    k.vaddps(Zmm(0), Zmm(0), k.constant(1).splat)
    k.vaddps(Ymm(0), Ymm(0), k.constant(2, lanes: 8))
    k.vaddps(Zmm(0), Zmm(0), k.constantVector((0..<16).map { UInt32($0) }))
    k.vaddps(Zmm(0), Zmm(0), k.constant(1).splat)
    k.vaddss(Xmm(0), Xmm(0), k.constant(-0.0))
    k.vaddss(Xmm(0), Xmm(0), k.constant(0.0))
    k.vaddps(Xmm(0), Xmm(0), k.constantVector([7, 8, 9]))
    k.vaddps(Ymm(0), Ymm(0), k.constant(2, lanes: 8))
    #expect(k.byteCount == 10 + 8 + 10 + 10 + 8 + 8 + 8 + 8)
    let code = try k.finish()
    #expect(code.instructionByteCount == k.byteCount)
    let words = stride(from: 128, to: code.bytes.count, by: 4).map { start in
      (0..<4).reduce(UInt32(0)) { $0 | UInt32(code.bytes[start + $1]) << UInt32(8 * $1) }
    }
    #expect(code.bytes[70..<128].allSatisfy { $0 == 0xCC })
    let two = Float(2).bitPattern, one = Float(1).bitPattern
    #expect(words == Array(0..<16) + Array(repeating: two, count: 8) + [7, 8, 9] + [one, 0x8000_0000, 0])
    // The first operand: the distance from behind its instruction to the 1.0 at 128 + 64 + 32 + 12.
    #expect(code.bytes[6..<10] == littleEndian(236 - 10)[...])
  }

  /// The immediate stands between the distance and the end of the instruction that it is counted from.
  @Test func distancesCountTheImmediate() throws {
    let code = try bytes { k in
      let label = k.newLabel()
      k.lea(.rax, label)
      k.vshufps(Zmm(0), Zmm(1), k.constant(3).splat, 5)
      k.bind(label)
    }
    #expect(code[3..<7] == littleEndian(11)[...])
    #expect(code[13..<17] == littleEndian(64 - 18)[...])
    #expect(code[17] == 5)
    let stores = try bytes { k in
      let label = k.newLabel()
      k.mov(Address(base: .label(label), displacement: 16), 0x1234_5678)
      k.bind(label)
    }
    #expect(stores[3..<7] == littleEndian(16)[...])
  }

  @Test func aligningUsesFewInstructions() throws {
    for n in [1, 2, 4, 8, 16, 32, 64] {
      for count in 0...64 {
        let code = try bytes { k in
          fill(k, count)
          k.align(n)
        }
        #expect(code.count == (count + n - 1) / n * n)
      }
    }
    #expect(
      try bytes { k in
        fill(k, 1)
        k.align(16)
      } == [0xCC, 0x66, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0, 0x66, 0x0F, 0x1F, 0x44, 0, 0])
  }

  @Test func theSameCallsGiveTheSameCode() throws {
    func make() throws -> MachineCode {
      let k = Assembler()
      let end = k.newLabel()
      for i in 0..<100 {
        k.note("step \(i)")
        k.vfmadd231ps(Zmm(i % 32), Zmm(1), k.constant(Float(i % 17)).splat)
        k.vaddps(Ymm(i % 16), Ymm(1), k.constant(Float(i % 13), lanes: 8))
        k.jump(.e, end)
      }
      k.bind(end)
      k.ret()
      let code = try k.finish(name: "steps")
      #expect(try k.finish(name: "steps") == code)
      return code
    }
    let code = try make()
    for _ in 0..<10 { #expect(try make() == code) }
    #expect(code.notes.count == 100)
    #expect(code.notes[1].text == "step 1")
    #expect(code.notes[1].offset == 24)
  }

  @Test func emissionIsFast() throws {
    // Of this thread, since other tests run at the same time.
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let times = try (0..<5).map { _ in
      let start = now()
      let k = Assembler()
      for i in 0..<25_000 {
        k.vfmadd231ps(Zmm(i & 31), Zmm(1), GeneralRegister.rdi[i & 1023].splat)
        k.vmovups(Ymm(i & 15), GeneralRegister.rsi[.rcx, 4, 64])
        k.vaddps(Zmm(2), Zmm(3), Zmm(4), .zero(.k1))
        k.add(.rdi, 64)
      }
      _ = try k.finish()
      return now() - start
    }
    // 100,000 instructions.
    #expect(times.min() ?? 1 < 0.05)
  }
}
