extension Assembler {
  /// 16 mask bits.
  public var kmovw: MaskMove {
    MaskMove(assembler: self, prefix: .np, generalPrefix: .np, width: 0, generalWidth: 0, mnemonic: #function)
  }
  /// 32 mask bits.
  public var kmovd: MaskMove {
    MaskMove(assembler: self, prefix: .p66, generalPrefix: .pF2, width: 1, generalWidth: 0, mnemonic: #function)
  }
  /// 64 mask bits.
  public var kmovq: MaskMove {
    MaskMove(assembler: self, prefix: .np, generalPrefix: .pF2, width: 1, generalWidth: 1, mnemonic: #function)
  }

  /// a and b, of 16 bits.
  public var kandw: MaskOperation { MaskOperation(assembler: self, opcode: 0x41, mnemonic: #function) }
  /// a or b, of 16 bits.
  public var korw: MaskOperation { MaskOperation(assembler: self, opcode: 0x45, mnemonic: #function) }
  /// Not (a xor b), of 16 bits.
  public var kxnorw: MaskOperation { MaskOperation(assembler: self, opcode: 0x46, mnemonic: #function) }
  /// a xor b, of 16 bits.
  public var kxorw: MaskOperation { MaskOperation(assembler: self, opcode: 0x47, mnemonic: #function) }

  /// Sets the flags by a or b, of 16 bits: zero if all are 0, carry (`.b`) if all are 1.
  public func kortestw(_ a: MaskRegister, _ b: MaskRegister) {
    encodeVEX(.np, .m0F, 0x98, width: 0, reg: a.number, rm: .register(b.number), mnemonic: "kortestw")
  }
}

/// Mask bits between mask registers, general registers and memory.
public struct MaskMove {
  let assembler: Assembler
  var prefix: OpcodeRow.Prefix
  var generalPrefix: OpcodeRow.Prefix
  var width: UInt8
  var generalWidth: UInt8
  let mnemonic: StaticString

  /// Copies.
  public func callAsFunction(_ destination: MaskRegister, _ source: MaskRegister) {
    encode(0x90, destination.number, .register(source.number))
  }

  /// Loads.
  public func callAsFunction(_ destination: MaskRegister, _ source: Address) {
    encode(0x90, destination.number, .memory(source))
  }

  /// Stores.
  public func callAsFunction(_ destination: Address, _ source: MaskRegister) {
    encode(0x91, source.number, .memory(destination))
  }

  /// From a general register.
  public func callAsFunction(_ destination: MaskRegister, _ source: GeneralRegister) {
    encodeGeneral(0x92, destination.number, source.number)
  }

  /// To a general register, the other bits of which are cleared.
  public func callAsFunction(_ destination: GeneralRegister, _ source: MaskRegister) {
    encodeGeneral(0x93, destination.number, source.number)
  }

  private func encode(_ opcode: UInt8, _ reg: Int, _ rm: Operand) {
    assembler.encodeVEX(prefix, .m0F, opcode, width: width, reg: reg, rm: rm, mnemonic: mnemonic)
  }

  private func encodeGeneral(_ opcode: UInt8, _ reg: Int, _ rm: Int) {
    assembler.encodeVEX(
      generalPrefix, .m0F, opcode, width: generalWidth, reg: reg, rm: .register(rm), mnemonic: mnemonic)
  }
}

/// Destination, two sources, all mask registers.
public struct MaskOperation {
  let assembler: Assembler
  var opcode: UInt8
  let mnemonic: StaticString

  /// With two mask registers.
  public func callAsFunction(_ destination: MaskRegister, _ a: MaskRegister, _ b: MaskRegister) {
    assembler.encodeVEX(
      .np, .m0F, opcode, width: 0, length: 1, reg: destination.number, vvvv: a.number, rm: .register(b.number),
      mnemonic: mnemonic)
  }
}
