/// A whole vector between registers and memory.
public struct VectorMove: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// Loads.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking)
  }

  /// Stores; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(_ destination: Address, _ source: V, _ masking: Masking? = nil) {
    assembler.encodeStore(row.second, byteCount: V.byteCount, destination, source.number, masking)
  }

  /// Copies.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: V, _ masking: Masking? = nil) {
    if row.isShorterAsStore(byteCount: V.byteCount, destination.number, source.number, masking) {
      assembler.encode(row.second, byteCount: V.byteCount, reg: source.number, rm: .register(destination.number))
    } else {
      assembler.encode(
        row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking)
    }
  }
}

/// A whole vector to memory.
public struct VectorStore: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// Stores.
  public func callAsFunction<V: VectorRegister>(_ destination: Address, _ source: V) {
    assembler.encodeStore(row, byteCount: V.byteCount, destination, source.number, nil)
  }
}

/// The lowest lane of a vector.
public struct ScalarMove: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// Loads, and clears the other lanes.
  public func callAsFunction(_ destination: Xmm, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: 16, reg: destination.number, rm: .memory(source), masking: masking)
  }

  /// Stores; the mask can only be merging.
  public func callAsFunction(_ destination: Address, _ source: Xmm, _ masking: Masking? = nil) {
    assembler.encodeStore(row.second, byteCount: 16, destination, source.number, masking)
  }

  /// The lowest lane of `b` and the others of `a`.
  public func callAsFunction(_ destination: Xmm, _ a: Xmm, _ b: Xmm, _ masking: Masking? = nil) {
    if a.number < 16 && row.isShorterAsStore(byteCount: 16, destination.number, b.number, masking) {
      assembler.encode(
        row.second, byteCount: 16, reg: b.number, vvvv: a.number, rm: .register(destination.number))
    } else {
      assembler.encode(
        row, byteCount: 16, reg: destination.number, vvvv: a.number, rm: .register(b.number), masking: masking)
    }
  }
}

/// The lowest 32 or 64 bits of a vector, also from and to a general register.
public struct GeneralVectorMove: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From a general register; the other lanes are cleared.
  public func callAsFunction(_ destination: Xmm, _ source: GeneralRegister) {
    assembler.encode(row, byteCount: 16, reg: destination.number, rm: .register(source.number))
  }

  /// To a general register; of 32 bits, the upper half is cleared.
  public func callAsFunction(_ destination: GeneralRegister, _ source: Xmm) {
    assembler.encode(row.second, byteCount: 16, reg: source.number, rm: .register(destination.number))
  }

  /// Loads; the other lanes are cleared.
  public func callAsFunction(_ destination: Xmm, _ source: Address) {
    let row = row.width == .w0 ? row : shorter(.pF3, 0x7E)
    assembler.encode(row, byteCount: 16, reg: destination.number, rm: .memory(source))
  }

  /// Stores.
  public func callAsFunction(_ destination: Address, _ source: Xmm) {
    let row = row.width == .w0 ? row.second : shorter(.p66, 0xD6)
    assembler.encodeStore(row, byteCount: 16, destination, source.number, nil)
  }

  /// For 64 bits of memory there are opcodes that in VEX do without W.
  private func shorter(_ prefix: OpcodeRow.Prefix, _ opcode: UInt8) -> OpcodeRow {
    var result = row
    result.prefix = prefix
    result.opcode = opcode
    result.width = .evexW1
    return result
  }
}

/// One element in every lane.
public struct Broadcast: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking)
  }

  /// From the lowest lane of a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Xmm, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, rm: .register(source.number), masking: masking)
  }

  /// From the lowest bits of a general register, for integers and with EVEX.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ source: GeneralRegister, _ masking: Masking? = nil
  ) {
    guard row.secondOpcode != 0 else { return assembler.fail(row.mnemonic, "its source cannot be a general register") }
    assembler.encode(
      row.second.with(.evexOnly), byteCount: V.byteCount, reg: destination.number, rm: .register(source.number),
      masking: masking)
  }
}

/// Several elements of memory, repeated.
public struct BlockBroadcast: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// From memory.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking? = nil) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, rm: .memory(source), masking: masking)
  }
}

/// A vector with one part replaced.
public struct Insertion<Part: VectorRegister>: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// `a` with `part` in place of its part number `position`.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ a: V, _ part: Part, _ position: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: .register(part.number),
      masking: masking, immediate: position)
  }

  /// `a` with `part` in place of its part number `position`.
  public func callAsFunction<V: VectorRegister>(
    _ destination: V, _ a: V, _ part: Address, _ position: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: a.number, rm: .memory(part), masking: masking,
      immediate: position)
  }
}

/// One part of a vector.
public struct Extraction<Part: VectorRegister>: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// The part number `position` of `source`.
  public func callAsFunction<V: VectorRegister>(
    _ destination: Part, _ source: V, _ position: Int, _ masking: Masking? = nil
  ) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: source.number, rm: .register(destination.number), masking: masking,
      immediate: position)
  }

  /// Stores the part number `position` of `source`; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(
    _ destination: Address, _ source: V, _ position: Int, _ masking: Masking? = nil
  ) {
    assembler.encodeStore(row, byteCount: V.byteCount, destination, source.number, masking, immediate: position)
  }
}

/// Loads and stores of the lanes whose sign bit is set in a vector register, as AVX2 has them.
public struct SignMaskedMove: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// Loads; the other lanes become 0.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ mask: V, _ source: Address) {
    assembler.encode(row, byteCount: V.byteCount, reg: destination.number, vvvv: mask.number, rm: .memory(source))
  }

  /// Stores; the other lanes of the memory are not touched.
  public func callAsFunction<V: VectorRegister>(_ destination: Address, _ mask: V, _ source: V) {
    assembler.encode(
      row.second, byteCount: V.byteCount, reg: source.number, vvvv: mask.number, rm: .memory(destination))
  }
}

/// The elements that each lane's index points to.
public struct VectorGather: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// With a write mask, which the instruction clears; it can only be merging.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ masking: Masking) {
    guard !masking.isZeroing else { return assembler.fail(row.mnemonic, "a zeroing mask") }
    encode(row.with(.evexOnly), destination, source, mask: 0, masking)
  }

  /// With the lanes whose sign bit is set in `mask`, which the instruction clears.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: Address, _ mask: V) {
    encode(row.with(.vexOnly), destination, source, mask: mask.number, nil)
  }

  private func encode<V: VectorRegister>(
    _ row: OpcodeRow, _ destination: V, _ source: Address, mask: Int, _ masking: Masking?
  ) {
    guard case .vector(_, V.byteCount) = source.index else {
      return assembler.fail(row.mnemonic, "its index must be a vector register as wide as its destination")
    }
    assembler.encode(
      row, byteCount: V.byteCount, reg: destination.number, vvvv: mask, rm: .memory(source), masking: masking,
      isGather: true)
  }
}

/// The lanes of a mask, moved together.
public struct Compression: VectorForm {
  let assembler: Assembler
  var row: OpcodeRow

  /// To a register.
  public func callAsFunction<V: VectorRegister>(_ destination: V, _ source: V, _ masking: Masking? = nil) {
    assembler.encode(
      row, byteCount: V.byteCount, reg: source.number, rm: .register(destination.number), masking: masking)
  }

  /// To memory; the mask can only be merging.
  public func callAsFunction<V: VectorRegister>(_ destination: Address, _ source: V, _ masking: Masking? = nil) {
    assembler.encodeStore(row, byteCount: V.byteCount, destination, source.number, masking)
  }
}

extension Assembler {
  /// Appends an instruction that writes memory, where lanes cannot be zeroed.
  func encodeStore(
    _ row: OpcodeRow, byteCount: Int, _ destination: Address, _ source: Int, _ masking: Masking?, immediate: Int? = nil
  ) {
    guard masking?.isZeroing != true else { return fail(row.mnemonic, "a zeroing mask on memory") }
    guard !destination.isSplat else { return fail(row.mnemonic, "a splat cannot be written") }
    encode(
      row, byteCount: byteCount, reg: source, rm: .memory(destination), masking: masking, immediate: immediate)
  }
}
