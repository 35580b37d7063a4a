/// The operands that most vector instructions have. A form is what the property of a mnemonic returns: calling it
/// appends the instruction. The letters are Intel's: R a register in the field reg, V one in vvvv, M a register or
/// memory in r/m, I an immediate.
protocol VectorForm {
  var assembler: Assembler { get }
  var row: OpcodeRow { get set }
  init(assembler: Assembler, row: OpcodeRow)
}

/// Destination, source, source or memory.
public struct RVM: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// With two registers.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ a: V, _ b: V, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: .register(b.number), masking: masking)
  }

  /// With a register and memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ a: V, _ b: Address, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: .memory(b), masking: masking)
  }
}

/// Destination, source, source or memory, immediate.
public struct RVMI: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// With two registers.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ a: V, _ b: V, _ immediate: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: .register(b.number), masking: masking,
      immediate: immediate)
  }

  /// With a register and memory.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ a: V, _ b: Address, _ immediate: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: .memory(b), masking: masking,
      immediate: immediate)
  }
}

/// Destination, source or memory.
public struct RM: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: V, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking)
  }

  /// From memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking)
  }
}

/// Destination, source or memory, immediate.
public struct RMI: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From a register.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ source: V, _ immediate: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking,
      immediate: immediate)
  }

  /// From memory.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ source: Address, _ immediate: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking,
      immediate: immediate)
  }
}

/// Destination, source, immediate: the destination is in vvvv, and reg holds a part of the opcode.
public struct VMI: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From a register.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ source: V, _ immediate: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: row.digit, vvvv: destination.number, rm: .register(source.number),
      masking: masking, immediate: immediate)
  }

  /// From memory, which needs EVEX.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ source: Address, _ immediate: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row.with(.evexOnly), byteCount: V.byteCount, reg: row.digit, vvvv: destination.number, rm: .memory(source),
      masking: masking, immediate: immediate)
  }
}

/// Destination, source, source or memory, of which only the lowest lane is computed.
public struct ScalarRVM: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// With two registers.
  public func callAsFunction(_ destination: Xmm, _ a: Xmm, _ b: Xmm, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: 16, reg: destination.number, vvvv: a.number, rm: .register(b.number), masking: masking)
  }

  /// With a register and memory.
  public func callAsFunction(_ destination: Xmm, _ a: Xmm, _ b: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: 16, reg: destination.number, vvvv: a.number, rm: .memory(b), masking: masking)
  }
}

/// Destination, source, source or memory, and a fourth register that chooses between the lanes of the two.
public struct RVMR: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// With registers.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ a: V, _ b: V, _ choice: V) {
    encode(destination, a, .register(b.number), choice)
  }

  /// With memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ a: V, _ b: Address, _ choice: V) {
    encode(destination, a, .memory(b), choice)
  }

  private func encode<V: VectorRegister>(_ destination: V, _ a: V, _ b: Operand, _ choice: V) {
    guard (0...15).contains(choice.number) else {
      return assembler.fail(row.mnemonic, "a vector register beyond 0...15")
    }
    // The fourth register stands where other instructions have an immediate.
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: b, immediate: choice.number << 4)
  }
}

/// Comparison of two vectors: to a mask with EVEX, to lanes of all ones or all zeros with VEX.
public struct VectorComparison: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// To a mask, with two registers; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(
    _ destination: MaskRegister, _ a: V, _ b: V, _ predicate: Int, _ masking: Masking? = nil
  ) {
    toMask(destination, a, .register(b.number), predicate, masking)
  }

  /// To a mask, with a register and memory; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(
    _ destination: MaskRegister, _ a: V, _ b: Address, _ predicate: Int, _ masking: Masking? = nil
  ) {
    toMask(destination, a, .memory(b), predicate, masking)
  }

  /// To lanes, with two registers.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ a: V, _ b: V, _ predicate: Int) {
    toLanes(destination, a, .register(b.number), predicate)
  }

  /// To lanes, with a register and memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ a: V, _ b: Address, _ predicate: Int) {
    toLanes(destination, a, .memory(b), predicate)
  }

  private func toMask<V: VectorRegister>(
    _ destination: MaskRegister, _ a: V, _ b: Operand, _ predicate: Int, _ masking: Masking?
  ) {
    guard masking?.isZeroing != true else { return assembler.fail(row.mnemonic, "a zeroing mask on a mask") }
    assembler.encode(
      row.with(.evexOnly), byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: b, masking: masking,
      immediate: predicate)
  }

  private func toLanes<V: VectorRegister>(_ destination: V, _ a: V, _ b: Operand, _ predicate: Int) {
    guard row.encodings != .evexOnly else { return assembler.fail(row.mnemonic, "its result can only be a mask") }
    assembler.encode(
      row.with(.vexOnly), byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: b, immediate: predicate)
  }
}
