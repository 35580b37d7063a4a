@testable import X86Assembler

extension SweptInstruction {
  static let general: [SweptInstruction] = [
    .init("mov") { s in
      let k = s.assembler
      s.pairs { a, b in s.add(k.mov(a, b), "mov \(a.text), \(b.text)") }
      s.memories { r, address, text in
        s.add(k.mov(r, address), "mov \(r.text), qword ptr \(text)")
        s.add(k.mov(address, r), "mov qword ptr \(text), \(r.text)")
        let i = s.pick(Sweep.immediates)
        s.add(k.mov(address, i), "mov qword ptr \(text), \(i)")
      }
      for r in GeneralRegister.all {
        for i in Sweep.immediates + [0x8000_0000, 0xFFFF_FFFF, 0x1_0000_0000, -0x8000_0001, .max, .min] {
          // The other assembler is told which of the three forms is meant.
          let text =
            UInt32(exactly: i) != nil
            ? "mov \(r.text32), \(i)" : "\(Int32(exactly: i) == nil ? "movabs" : "mov") \(r.text), \(i)"
          s.add(k.mov(r, i), text)
        }
      }
    },
    .init("mov32") { s in
      let k = s.assembler
      s.pairs { a, b in s.add(k.mov32(a, b), "mov \(a.text32), \(b.text32)") }
      s.memories { r, address, text in
        s.add(k.mov32(r, address), "mov \(r.text32), dword ptr \(text)")
        s.add(k.mov32(address, r), "mov dword ptr \(text), \(r.text32)")
        let i = s.pick(Sweep.immediates + [0xFFFF_FFFF])
        s.add(k.mov32(address, i), "mov dword ptr \(text), \(i)")
      }
    },
    .init("mov16") { s in
      s.memories { r, address, text in
        s.add(s.assembler.mov16(address, r), "mov word ptr \(text), \(r.text16)")
      }
    },
    .init("mov8") { s in
      s.memories { r, address, text in s.add(s.assembler.mov8(address, r), "mov byte ptr \(text), \(r.text8)") }
      for r in GeneralRegister.all {
        s.add(s.assembler.mov8(GeneralRegister.rax[0], r), "mov byte ptr [rax], \(r.text8)")
      }
    },
    .init("movzx8") { s in
      s.pairs { a, b in s.add(s.assembler.movzx8(a, b), "movzx \(a.text32), \(b.text8)") }
      s.loads("movzx", size: "byte ptr", \.text32) { $0.movzx8($1, $2) }
    },
    .init("movzx16") { $0.loads("movzx", size: "word ptr", \.text32) { $0.movzx16($1, $2) } },
    .init("movsxd") { $0.loads("movsxd", size: "dword ptr", \.text) { $0.movsxd($1, $2) } },
    .init("lea") { $0.loads("lea", size: "", \.text) { $0.lea($1, $2) } },
    .init("add") { $0.arithmetic("add", $0.assembler.add) },
    .init("or") { $0.arithmetic("or", $0.assembler.or) },
    .init("and") { $0.arithmetic("and", $0.assembler.and) },
    .init("sub") { $0.arithmetic("sub", $0.assembler.sub) },
    .init("xor") { $0.arithmetic("xor", $0.assembler.xor) },
    .init("cmp") { $0.arithmetic("cmp", $0.assembler.cmp) },
    .init("shl") { $0.shifts("shl", $0.assembler.shl) },
    .init("shr") { $0.shifts("shr", $0.assembler.shr) },
    .init("sar") { $0.shifts("sar", $0.assembler.sar) },
    .init("test") { s in
      s.pairs { a, b in s.add(s.assembler.test(a, b), "test \(a.text), \(b.text)") }
      for r in GeneralRegister.all {
        for i in Sweep.immediates { s.add(s.assembler.test(r, i), "test \(r.text), \(i)") }
      }
    },
    .init("imul") { s in
      s.pairs { a, b in
        s.add(s.assembler.imul(a, b), "imul \(a.text), \(b.text)")
        let i = s.pick(Sweep.immediates)
        s.add(s.assembler.imul(a, b, i), "imul \(a.text), \(b.text), \(i)")
      }
      s.loads("imul", size: "qword ptr", \.text) { $0.imul($1, $2) }
    },
    .init("inc") { $0.singles("inc", \.text) { $0.inc($1) } },
    .init("inc32") { s in
      s.memories { _, address, text in s.add(s.assembler.inc32(address), "inc dword ptr \(text)") }
    },
    .init("dec") { $0.singles("dec", \.text) { $0.dec($1) } },
    .init("neg") { $0.singles("neg", \.text) { $0.neg($1) } },
    .init("push") { $0.singles("push", \.text) { $0.push($1) } },
    .init("pop") { $0.singles("pop", \.text) { $0.pop($1) } },
    .init("call") { $0.singles("call", \.text) { $0.call($1) } },
    .init("jump") { $0.singles("jmp", \.text) { $0.jump($1) } },
    .init("prefetcht0") { $0.prefetches("prefetcht0") { $0.prefetcht0($1) } },
    .init("prefetcht1") { $0.prefetches("prefetcht1") { $0.prefetcht1($1) } },
    .init("prefetcht2") { $0.prefetches("prefetcht2") { $0.prefetcht2($1) } },
    .init("prefetchnta") { $0.prefetches("prefetchnta") { $0.prefetchnta($1) } },
    .init("prefetchw") { $0.prefetches("prefetchw") { $0.prefetchw($1) } },
    .init("ret") { $0.add($0.assembler.ret(), "ret") },
    .init("int3") { $0.add($0.assembler.int3(), "int3") },
    .init("cpuid") { $0.add($0.assembler.cpuid(), "cpuid") },
    .init("xgetbv") { $0.add($0.assembler.xgetbv(), "xgetbv") },
    .init("rdtsc") { $0.add($0.assembler.rdtsc(), "rdtsc") },
    .init("lfence") { $0.add($0.assembler.lfence(), "lfence") },
    .init("sfence") { $0.add($0.assembler.sfence(), "sfence") },
    .init("pause") { $0.add($0.assembler.pause(), "pause") },
    .init("vzeroupper") { $0.add($0.assembler.vzeroupper(), "vzeroupper") },
  ]
}

extension Sweep {
  /// Around where 8 bits end, and the ends of 32 bits.
  fileprivate static let immediates = [0, 1, -1, 2, 127, 128, -128, -129, 255, 0x1234_5678, 0x7FFF_FFFF, -0x8000_0000]

  fileprivate func pairs(_ body: (GeneralRegister, GeneralRegister) -> Void) {
    for a in GeneralRegister.all {
      for b in GeneralRegister.all { body(a, b) }
    }
  }

  fileprivate func memories(_ body: (GeneralRegister, Address, String) -> Void) {
    for memory in MemoryCase.all { body(pick(GeneralRegister.all), memory.address, memory.text) }
  }

  fileprivate func loads(
    _ name: String, size: String, _ text: KeyPath<GeneralRegister, String>,
    _ emit: (Assembler, GeneralRegister, Address) -> Void
  ) {
    memories { r, address, memory in
      add(emit(assembler, r, address), "\(name) \(r[keyPath: text]), \(size) \(memory)")
    }
  }

  fileprivate func singles(
    _ name: String, _ text: KeyPath<GeneralRegister, String>, _ emit: (Assembler, GeneralRegister) -> Void
  ) {
    for r in GeneralRegister.all { add(emit(assembler, r), "\(name) \(r[keyPath: text])") }
  }

  fileprivate func prefetches(_ name: String, _ emit: (Assembler, Address) -> Void) {
    for memory in MemoryCase.all { add(emit(assembler, memory.address), "\(name) byte ptr \(memory.text)") }
  }

  fileprivate func arithmetic(_ name: String, _ form: Arithmetic) {
    pairs { a, b in add(form(a, b), "\(name) \(a.text), \(b.text)") }
    memories { r, address, text in
      add(form(r, address), "\(name) \(r.text), qword ptr \(text)")
      add(form(address, r), "\(name) qword ptr \(text), \(r.text)")
      let i = pick(Self.immediates)
      add(form(address, i), "\(name) qword ptr \(text), \(i)")
    }
    for r in GeneralRegister.all {
      for i in Self.immediates { add(form(r, i), "\(name) \(r.text), \(i)") }
    }
  }

  fileprivate func shifts(_ name: String, _ form: ConstantShift) {
    for r in GeneralRegister.all {
      for count in [0, 1, 2, 31, 32, 63] { add(form(r, count), "\(name) \(r.text), \(count)") }
    }
  }
}
