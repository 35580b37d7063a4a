/// A quarter of a vector's width to a whole vector: each lane is widened to 4 times as many bits.
public struct WidenQuarter: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From the lowest lanes of a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Xmm, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking)
  }

  /// From memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking)
  }
}

/// Half of a vector's width to a whole vector: each lane is widened to twice as many bits.
public struct WidenHalf: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From the lowest lanes of a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: V.Half, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking)
  }

  /// From memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking)
  }
}

/// A vector to a quarter of its width: each lane is narrowed to a quarter of its bits.
public struct NarrowQuarter: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// To the lowest lanes of a register.
  public func callAsFunction<V: VectorRegister>(_ destination: Xmm, _ source: V, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: source.number, rm: .register(destination.number), masking: masking)
  }

  /// To memory; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(_ destination: Address, _ source: V, _ masking: Masking? = nil) {
    assembler.encodeStore(row, byteCount: V.byteCount, destination, source.number, masking)
  }
}

/// A vector to half of its width: each lane is narrowed to half of its bits.
public struct NarrowHalf: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// To the lowest lanes of a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V.Half, _ source: V, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: source.number, rm: .register(destination.number), masking: masking)
  }

  /// To memory; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(_ destination: Address, _ source: V, _ masking: Masking? = nil) {
    assembler.encodeStore(row, byteCount: V.byteCount, destination, source.number, masking)
  }
}

/// Floats to half of their width; the immediate says how to round.
public struct NarrowHalfI: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// To the lowest lanes of a register.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V.Half, _ source: V, _ rounding: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: source.number, rm: .register(destination.number), masking: masking,
      immediate: rounding)
  }

  /// To memory; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(
    _ destination: Address, _ source: V, _ rounding: Int, _ masking: Masking? = nil
  ) {
    assembler.encodeStore(row, byteCount: V.byteCount, destination, source.number, masking, immediate: rounding)
  }
}

/// Floats to bfloat16, in a register of half the width.
public struct NarrowToBrain: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V.Half, _ source: V, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking)
  }
}
