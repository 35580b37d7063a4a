@testable import X86Assembler

extension VectorMove: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), m = sweep.pick(shape.maskings), n = sweep.pick(shape.mergings)
      sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(m.text), \(text)")
      sweep.add(self(memory, d, n), "\(shape.text) \(text)\(n.text), \(d.text)")
    }
  }
}

extension VectorStore: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for (memory, text) in shape.memories(V.self) {
      let a = sweep.pick(shape.registers(V.self))
      sweep.add(self(memory, a), "\(shape.text) \(text), \(a.text)")
    }
  }
}

extension ScalarMove: SweepableForm {
  func sweep(_ sweep: Sweep, _ shape: OpcodeRow) { self.sweep(sweep, shape, Xmm.self) }

  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(Xmm.self)
    for (memory, text) in shape.memories(Xmm.self) {
      let d = sweep.pick(registers), m = sweep.pick(shape.maskings), n = sweep.pick(shape.mergings)
      sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(m.text), \(text)")
      sweep.add(self(memory, d, n), "\(shape.text) \(text)\(n.text), \(d.text)")
    }
    for d in registers {
      for a in registers {
        for b in registers {
          let m = sweep.pick(shape.maskings)
          sweep.add(self(d, a, b, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(b.text)")
        }
      }
    }
  }
}

extension GeneralVectorMove: SweepableForm {
  func sweep(_ sweep: Sweep, _ shape: OpcodeRow) { self.sweep(sweep, shape, Xmm.self) }

  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(Xmm.self), isQuad = shape.width == .w1
    for d in registers {
      for general in GeneralRegister.all {
        let text = isQuad ? general.text : general.text32
        sweep.add(self(d, general), "\(shape.text) \(d.text), \(text)")
        sweep.add(self(general, d), "\(shape.text) \(text), \(d.text)")
      }
    }
    for (memory, text) in shape.memories(Xmm.self) {
      let d = sweep.pick(registers)
      sweep.add(self(d, memory), "\(shape.text) \(d.text), \(text)")
      sweep.add(self(memory, d), "\(shape.text) \(text), \(d.text)")
    }
  }
}

extension Broadcast: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in shape.registers(Xmm.self) {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
      for general in GeneralRegister.all where shape.secondOpcode != 0 {
        let m = sweep.pick(shape.maskings)
        sweep.add(self(d, general, m), "\(shape.text) \(d.text)\(m.text), \(general.text32)")
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(m.text), \(text)")
    }
  }
}

extension BlockBroadcast: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.maskings)
      sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(m.text), \(text)")
    }
  }
}

extension Insertion: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for part in shape.registers(Part.self) {
          let m = sweep.pick(shape.maskings), i = sweep.pick([0, 1])
          sweep.add(self(d, a, part, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(part.text), \(i)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), a = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, memory, 1, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(text), 1")
    }
  }
}

extension Extraction: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(Part.self) {
      for a in shape.registers(V.self) {
        for m in shape.maskings {
          let i = sweep.pick([0, 1])
          sweep.add(self(d, a, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(i)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let a = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.mergings)
      sweep.add(self(memory, a, 1, m), "\(shape.text) \(text)\(m.text), \(a.text), 1")
    }
  }
}

extension SignMaskedMove: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), mask = sweep.pick(registers)
      sweep.add(self(d, mask, memory), "\(shape.text) \(d.text), \(mask.text), \(text)")
      sweep.add(self(memory, mask, d), "\(shape.text) \(text), \(mask.text), \(d.text)")
    }
  }
}

extension VectorGather: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for base in MemoryCase.bases {
      for displacement in MemoryCase.nearDisplacements + MemoryCase.farDisplacements {
        let d = sweep.pick(registers)
        // The three registers of a gather must differ.
        let index = sweep.pick(registers.filter { $0 != d }), scale = sweep.pick([1, 2, 4, 8])
        let memory = base[index, scale, displacement]
        // The other assemblers do not agree on the size that belongs before it, and can do without.
        let text = "[\(base.text) + \(scale)*\(index.text)\(signed(displacement))]"
        let m = sweep.pick([Masking.merge(.k1), .merge(.k7)])
        sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(Masking?.some(m).text), \(text)")
        guard d.number < 16, index.number < 16, V.byteCount < 64 else { continue }
        let mask = sweep.pick(registers.filter { $0 != d && $0 != index && $0.number < 16 })
        sweep.add(self(d, memory, mask), "\(shape.text) \(d.text), \(text), \(mask.text)")
      }
    }
  }
}

extension Compression: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let a = sweep.pick(registers), m = sweep.pick(shape.mergings)
      sweep.add(self(memory, a, m), "\(shape.text) \(text)\(m.text), \(a.text)")
    }
  }
}
