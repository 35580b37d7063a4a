/// The encoding of instructions on general registers.
extension Assembler {
  /// How many bits the operands have, as far as the encoding tells.
  enum GeneralWidth {
    /// A byte; the registers above 3 need a REX prefix, or they would be ah, ch, dh and bh.
    case byte
    case word, double, quad
  }

  /// Appends one instruction with a ModRM byte.
  ///
  /// - Parameters:
  ///   - isEscaped: whether 0F stands before the opcode.
  ///   - reg: the register or the part of the opcode in the field reg.
  ///   - byteRegisters: the registers of one byte among the operands.
  ///   - trailing: how many bytes the caller will append.
  /// - Returns: false after a mistake, when the caller must append nothing.
  @discardableResult
  func encodeGeneral(
    _ mnemonic: StaticString, _ opcode: UInt8, isEscaped: Bool = false, _ width: GeneralWidth = .quad, reg: Int,
    rm: Operand, byteRegisters: [GeneralRegister] = [], trailing: Int = 0
  ) -> Bool {
    guard checkAddress(rm, mnemonic) else { return false }
    if width == .word { bytes.append(0x66) }
    var rex = UInt8(reg >> 3) << 2
    if width == .quad { rex |= 8 }
    switch rm {
    case .register(let number): rex |= UInt8(number >> 3)
    case .memory(let address):
      if case .register(let base) = address.base { rex |= UInt8(base.number >> 3) }
      if case .general(let index) = address.index { rex |= UInt8(index.number >> 3) << 1 }
    }
    if rex != 0 || byteRegisters.contains(where: { $0.number > 3 }) { bytes.append(0x40 | rex) }
    if isEscaped { bytes.append(0x0F) }
    bytes.append(opcode)
    emitModRM(reg: reg, rm, trailing: trailing)
    return true
  }

  /// Appends the shorter of two instructions with an immediate, of 8 or of 32 bits.
  func encodeGeneral(
    _ mnemonic: StaticString, byteOpcode: UInt8, opcode: UInt8, _ width: GeneralWidth = .quad, reg: Int, rm: Operand,
    immediate: Int
  ) {
    if let byte = Int8(exactly: immediate) {
      if encodeGeneral(mnemonic, byteOpcode, width, reg: reg, rm: rm, trailing: 1) {
        bytes.append(UInt8(bitPattern: byte))
      }
    } else if let long = int32(immediate, mnemonic) {
      if encodeGeneral(mnemonic, opcode, width, reg: reg, rm: rm, trailing: 4) { emit32(long) }
    }
  }

  /// An immediate of 32 bits, which the processor extends by its sign.
  func int32(_ immediate: Int, _ mnemonic: StaticString) -> Int32? {
    let result = Int32(exactly: immediate)
    if result == nil { fail(mnemonic, "an immediate of \(immediate), which is beyond 32 bits") }
    return result
  }

  /// Appends an instruction that has a register in its opcode.
  func encodeGeneral(_ opcode: UInt8, _ width: GeneralWidth, register: GeneralRegister) {
    let rex: UInt8 = (width == .quad ? 8 : 0) | UInt8(register.number >> 3)
    if rex != 0 { bytes.append(0x40 | rex) }
    bytes.append(opcode | UInt8(register.number & 7))
  }
}
