@testable import X86Assembler

extension WidenQuarter: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(V.self) {
      for a in shape.registers(Xmm.self) {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.maskings)
      sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(m.text), \(text)")
    }
  }
}

extension WidenHalf: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(V.self) {
      for a in shape.registers(V.Half.self) {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let d = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.maskings)
      sweep.add(self(d, memory, m), "\(shape.text) \(d.text)\(m.text), \(text)")
    }
  }
}

extension NarrowQuarter: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(Xmm.self) {
      for a in shape.registers(V.self) {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let a = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.mergings)
      sweep.add(self(memory, a, m), "\(shape.text) \(text)\(m.text), \(a.text)")
    }
  }
}

extension NarrowHalf: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(V.Half.self) {
      for a in shape.registers(V.self) {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let a = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.mergings)
      sweep.add(self(memory, a, m), "\(shape.text) \(text)\(m.text), \(a.text)")
    }
  }
}

extension NarrowHalfI: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(V.Half.self) {
      for a in shape.registers(V.self) {
        for m in shape.maskings {
          let i = sweep.pick([0, 4])
          sweep.add(self(d, a, i, m), "\(shape.text) \(d.text)\(m.text), \(a.text), \(i)")
        }
      }
    }
    for (memory, text) in shape.memories(V.self) {
      let a = sweep.pick(shape.registers(V.self)), m = sweep.pick(shape.mergings)
      sweep.add(self(memory, a, 4, m), "\(shape.text) \(text)\(m.text), \(a.text), 4")
    }
  }
}

extension NarrowToBrain: SweepableForm {
  func sweep<V: VectorRegister>(_ sweep: Sweep, _ shape: OpcodeRow, _: V.Type) {
    for d in shape.registers(V.Half.self) {
      for a in shape.registers(V.self) {
        for m in shape.maskings {
          sweep.add(self(d, a, m), "\(shape.text) \(d.text)\(m.text), \(a.text)")
        }
      }
    }
  }
}
