@testable import X86Assembler

/// A form that can be tried with many operands. `shape` is the instruction's own row, which says what operands there
/// are; the form's row may have been tampered with.
protocol SweepableForm: VectorForm, SendableMetatype {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type)
}

extension SweepableForm {
  func sweep(_ sweep: Sweep, _ shape: OpcodeRow) {
    for width in shape.widths { self.sweep(sweep, shape, width) }
  }
}

extension RVM: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for b in registers {
          let m = sweep.pick(shape.maskings)
          sweep.add(self(d, a, b, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(b.text)")
        }
      }
    }
    for (b, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), a = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, b, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(text)")
    }
  }
}

extension RVMI: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for b in registers {
          let m = sweep.pick(shape.maskings), i = sweep.pick([0, 1, 0x7F, 0x80, 0xFF])
          sweep.add(self(d, a, b, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(b.text), \(i)")
        }
      }
    }
    for (b, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), a = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, b, 3, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(text), 3")
    }
  }
}

extension RM: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (a, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(text)")
    }
  }
}

extension RMI: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for m in shape.maskings {
          let i = sweep.pick([0, 1, 0x7F, 0x80, 0xFF])
          sweep.add(self(d, a, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(i)")
        }
      }
    }
    for (a, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, 9, m), "\(shape.text) \(d.text)\(m.text), \(text), 9")
    }
  }
}

extension VMI: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for m in shape.maskings {
          let i = sweep.pick([0, 1, 31, 0xFF])
          sweep.add(self(d, a, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(i)")
        }
      }
    }
    for (a, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, 23, m), "\(shape.text) \(d.text)\(m.text), \(text), 23")
    }
  }
}

extension ScalarRVM: SweepableForm {
  func sweep(_ sweep: Sweep, _ shape: OpcodeRow) { self.sweep(sweep, shape, Xmm.self) }

  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(Xmm.self)
    for d in registers {
      for a in registers {
        for b in registers {
          let m = sweep.pick(shape.maskings)
          sweep.add(self(d, a, b, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(b.text)")
        }
      }
    }
    for (b, text) in shape.memories(Xmm.self) {
      let d = sweep.pick(registers), a = sweep.pick(registers), m = sweep.pick(shape.maskings)
      sweep.add(self(d, a, b, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(text)")
    }
  }
}

extension RVMR: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self)
    for d in registers {
      for a in registers {
        for b in registers {
          for c in registers {
            sweep.add(self(d, a, b, c), "\(shape.text) \(d.text), \(a.text), \(b.text), \(c.text)")
          }
        }
      }
    }
    for (b, text) in shape.memories(V.self) {
      let d = sweep.pick(registers), a = sweep.pick(registers), c = sweep.pick(registers)
      sweep.add(self(d, a, b, c), "\(shape.text) \(d.text), \(a.text), \(text), \(c.text)")
    }
  }
}

extension VectorComparison: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    let registers = shape.registers(V.self), masks = [MaskRegister.k0, .k1, .k7]
    for d in masks {
      for a in registers {
        for b in registers {
          let m = sweep.pick(shape.mergings), i = sweep.pick([0, 2, 5, 7])
          sweep.add(self(d, a, b, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(b.text), \(i)")
        }
      }
    }
    for (b, text) in shape.memories(V.self) {
      let d = sweep.pick(masks), a = sweep.pick(registers), m = sweep.pick(shape.mergings)
      sweep.add(self(d, a, b, 2, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(text), 2")
    }
    guard shape.encodings == .both, V.byteCount < 64 else { return }
    let lowRegisters = registers.filter { $0.number < 16 }
    for d in lowRegisters {
      for a in lowRegisters {
        for b in lowRegisters {
          sweep.add(self(d, a, b, 13), "\(shape.text) \(d.text), \(a.text), \(b.text), 13")
        }
      }
    }
    for (b, text) in shape.memories(V.self, splats: false) {
      let d = sweep.pick(lowRegisters), a = sweep.pick(lowRegisters)
      sweep.add(self(d, a, b, 1), "\(shape.text) \(d.text), \(a.text), \(text), 1")
    }
  }
}
