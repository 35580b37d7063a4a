/// What an instruction's field r/m stands for.
enum Operand {
  case register(Int)
  case memory(Address)
}

/// The encoding of all instructions with a VEX or EVEX prefix.
extension Assembler {
  /// Appends one vector instruction, with EVEX where something needs it and VEX otherwise.
  ///
  /// - Parameters:
  ///   - byteCount: the vector length, 16, 32 or 64.
  ///   - reg, vvvv, rm: the operands by the names of their fields.
  ///   - isGather: whether the index of the address is a vector.
  func encode(
    _ row: OpcodeRow, byteCount: Int, reg: Int, vvvv: Int = 0, rm: Operand, masking: Masking? = nil,
    immediate: Int? = nil, isGather: Bool = false
  ) {
    guard row.has(byteCount: byteCount) else { return fail(row.mnemonic, "has no form of \(byteCount * 8) bits") }
    var operand = Fields(rm)
    guard (reg | vvvv | operand.highest) & ~31 == 0 else {
      return fail(row.mnemonic, "a vector register beyond 0...31")
    }
    guard check(row, rm, masking, isGather: isGather), fits(immediate, row.mnemonic) else { return }
    let needsEVEX =
      byteCount == 64 || (reg | vvvv | operand.highest) > 15 || masking != nil || operand.isSplat
      || row.encodings == .evexOnly
    if needsEVEX {
      guard row.encodings != .vexOnly else {
        return fail(row.mnemonic, "registers above 15, masks and splats do not exist in it")
      }
      operand.displacementUnit = row.displacementUnit(byteCount: byteCount, isSplat: operand.isSplat)
      emitEVEX(row, byteCount: byteCount, reg: reg, vvvv: vvvv, operand, masking, isGather: isGather)
    } else {
      let width: UInt8 = row.width == .w1 ? 1 : 0
      emitVEX(
        row.prefix, row.map, row.opcode, width: width, length: byteCount == 32 ? 1 : 0, reg: reg, vvvv: vvvv, operand)
    }
    emitModRM(reg: reg, rm, displacementUnit: operand.displacementUnit, trailing: immediate == nil ? 0 : 1)
    if let immediate { bytes.append(UInt8(truncatingIfNeeded: immediate)) }
  }

  /// Appends one instruction on mask or general registers that has a VEX prefix.
  func encodeVEX(
    _ prefix: OpcodeRow.Prefix, _ map: OpcodeRow.Map, _ opcode: UInt8, width: UInt8, length: UInt8 = 0, reg: Int,
    vvvv: Int = 0, rm: Operand, mnemonic: StaticString
  ) {
    guard checkAddress(rm, mnemonic) else { return }
    emitVEX(prefix, map, opcode, width: width, length: length, reg: reg, vvvv: vvvv, Fields(rm))
    emitModRM(reg: reg, rm)
  }

  /// The parts of the operand r/m that go into prefixes.
  private struct Fields {
    /// The number of the base register, or of the register itself.
    var base = 0
    var index = 0
    var isRegister = false
    var isSplat = false
    var displacementUnit = 1
    /// The largest number of a vector register in it.
    var highest = 0

    init(_ operand: Operand) {
      switch operand {
      case .register(let number):
        base = number
        highest = number
        isRegister = true
      case .memory(let address):
        if case .register(let register) = address.base { base = register.number }
        switch address.index {
        case .none: break
        case .general(let register): index = register.number
        case .vector(let number, _):
          index = number
          highest = number
        }
        isSplat = address.isSplat
      }
    }
  }

  private func emitVEX(
    _ prefix: OpcodeRow.Prefix, _ map: OpcodeRow.Map, _ opcode: UInt8, width: UInt8, length: UInt8, reg: Int, vvvv: Int,
    _ operand: Fields
  ) {
    let r = UInt8(~reg >> 3 & 1), x = UInt8(~operand.index >> 3 & 1), b = UInt8(~operand.base >> 3 & 1)
    let last = UInt8(~vvvv & 15) << 3 | length << 2 | prefix.rawValue
    if x & b == 1 && width == 0 && map == .m0F {
      bytes.append(0xC5)
      bytes.append(r << 7 | last)
    } else {
      bytes.append(0xC4)
      bytes.append(r << 7 | x << 6 | b << 5 | map.rawValue)
      bytes.append(width << 7 | last)
    }
    bytes.append(opcode)
  }

  private func emitEVEX(
    _ row: OpcodeRow, byteCount: Int, reg: Int, vvvv: Int, _ operand: Fields, _ masking: Masking?, isGather: Bool
  ) {
    let r = UInt8(~reg >> 3 & 1), r4 = UInt8(~reg >> 4 & 1)
    // Bit 4 of a register in r/m is in X, which an address needs for its index.
    let x = UInt8(~(operand.isRegister ? operand.base >> 1 : operand.index) >> 3 & 1)
    let b = UInt8(~operand.base >> 3 & 1)
    // And bit 4 of a vector index is in V', which a gather has no other use for.
    let v4 = UInt8(~(isGather ? operand.index : vvvv) >> 4 & 1)
    let length: UInt8 = byteCount == 64 ? 2 : byteCount == 32 ? 1 : 0
    let zeroing: UInt8 = masking?.isZeroing == true ? 1 : 0
    let splat: UInt8 = operand.isSplat ? 1 : 0
    let mask = UInt8(masking?.register.number ?? 0)
    bytes.append(0x62)
    bytes.append(r << 7 | x << 6 | b << 5 | r4 << 4 | row.map.rawValue)
    bytes.append((row.width == .w0 ? 0 : 0x80) | UInt8(~vvvv & 15) << 3 | 4 | row.prefix.rawValue)
    bytes.append(zeroing << 7 | length << 5 | splat << 4 | v4 << 3 | mask)
    bytes.append(row.opcode)
  }

  /// Appends ModRM, SIB and displacement.
  ///
  /// - Parameters:
  ///   - displacementUnit: what a displacement of 8 bits is multiplied by.
  ///   - trailing: how many bytes of the instruction follow.
  func emitModRM(reg: Int, _ operand: Operand, displacementUnit: Int = 1, trailing: Int = 0) {
    let middle = UInt8(reg & 7) << 3
    guard case .memory(let address) = operand else {
      if case .register(let number) = operand { bytes.append(0xC0 | middle | UInt8(number & 7)) }
      return
    }
    guard case .register(let base) = address.base else {
      bytes.append(middle | 5)
      if case .label(let label) = address.base {
        emitDistance(to: label, displacement: address.displacement, trailing: trailing)
      }
      return
    }
    let displacement = address.displacement
    let low = UInt8(base.number & 7)
    let short = displacement % displacementUnit == 0 ? Int8(exactly: displacement / displacementUnit) : nil
    // Without a displacement, base 5 (rbp, r13) would mean something else.
    let mode: UInt8 = displacement == 0 && low != 5 ? 0 : short != nil ? 0x40 : 0x80
    let index: Int?
    switch address.index {
    case .none: index = nil
    case .general(let register): index = register.number
    case .vector(let number, _): index = number
    }
    if let index {
      bytes.append(mode | middle | 4)
      let scale = UInt8(address.scale.trailingZeroBitCount)
      bytes.append(scale << 6 | UInt8(index & 7) << 3 | low)
    } else {
      bytes.append(mode | middle | low)
      // Base 4 (rsp, r12) announces a second byte.
      if low == 4 { bytes.append(0x24) }
    }
    if mode == 0x40, let short {
      bytes.append(UInt8(bitPattern: short))
    } else if mode == 0x80 {
      emit32(Int32(truncatingIfNeeded: displacement))
    }
  }

  /// Appends 32 bits.
  func emit32(_ value: Int32) {
    let bits = UInt32(bitPattern: value)
    for shift: UInt32 in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
  }
}

/// What an operand must be for the encoding to exist.
extension Assembler {
  private func check(_ row: OpcodeRow, _ rm: Operand, _ masking: Masking?, isGather: Bool) -> Bool {
    if let masking, masking.register == .k0 {
      fail(row.mnemonic, "k0 cannot be a write mask")
      return false
    }
    guard case .memory(let address) = rm else { return true }
    if address.isSplat && row.tuple != .full {
      fail(row.mnemonic, "its memory operand cannot be a splat")
      return false
    }
    return checkAddress(rm, row.mnemonic, isGather: isGather, allowsSplat: true)
  }

  func checkAddress(
    _ operand: Operand, _ mnemonic: StaticString, isGather: Bool = false, allowsSplat: Bool = false
  ) -> Bool {
    guard case .memory(let address) = operand else { return true }
    if address.isSplat && !allowsSplat {
      fail(mnemonic, "its memory operand cannot be a splat")
      return false
    }
    switch address.index {
    case .none: break
    case .general(let register):
      if register == .rsp {
        fail(mnemonic, "rsp cannot be an index")
        return false
      }
    case .vector:
      if !isGather {
        fail(mnemonic, "its index cannot be a vector register")
        return false
      }
    }
    guard [1, 2, 4, 8].contains(address.scale) else {
      fail(mnemonic, "a scale of \(address.scale); 1, 2, 4 or 8 is needed")
      return false
    }
    guard Int32(exactly: address.displacement) != nil else {
      fail(mnemonic, "a displacement of \(address.displacement) bytes, which is beyond 32 bits")
      return false
    }
    if case .label(let label) = address.base { return owns(label, mnemonic) }
    return true
  }

  /// Whether an immediate of 8 bits is in range.
  func fits(_ immediate: Int?, _ mnemonic: StaticString) -> Bool {
    guard let immediate, !(0...255).contains(immediate) else { return true }
    fail(mnemonic, "an immediate of \(immediate), which is beyond 8 bits")
    return false
  }
}
