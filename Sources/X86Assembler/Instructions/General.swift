/// Arithmetic on general registers with two operands, of which the first is the destination too.
public struct Arithmetic {
  let assembler: Assembler
  /// The part of the opcode that tells the eight instructions apart.
  var digit: Int
  let mnemonic: StaticString

  private var opcode: UInt8 { UInt8(digit) << 3 }

  /// Register and register.
  public func callAsFunction(_ a: GeneralRegister, _ b: GeneralRegister) {
    assembler.encodeGeneral(mnemonic, opcode | 1, reg: b.number, rm: .register(a.number))
  }

  /// Register and memory.
  public func callAsFunction(_ a: GeneralRegister, _ b: Address) {
    assembler.encodeGeneral(mnemonic, opcode | 3, reg: a.number, rm: .memory(b))
  }

  /// Memory and register.
  public func callAsFunction(_ a: Address, _ b: GeneralRegister) {
    assembler.encodeGeneral(mnemonic, opcode | 1, reg: b.number, rm: .memory(a))
  }

  /// Register and a number of 32 bits.
  public func callAsFunction(_ a: GeneralRegister, _ b: Int) {
    // rax has a form that is a byte shorter.
    if a == .rax && Int8(exactly: b) == nil, let long = assembler.int32(b, mnemonic) {
      assembler.bytes += [0x48, opcode | 5]
      return assembler.emit32(long)
    }
    assembler.encodeGeneral(
      mnemonic, byteOpcode: 0x83, opcode: 0x81, reg: digit, rm: .register(a.number), immediate: b)
  }

  /// 64 bits of memory and a number of 32 bits.
  public func callAsFunction(_ a: Address, _ b: Int) {
    assembler.encodeGeneral(mnemonic, byteOpcode: 0x83, opcode: 0x81, reg: digit, rm: .memory(a), immediate: b)
  }
}

/// Shifts of a general register by a constant.
public struct ConstantShift {
  let assembler: Assembler
  var digit: Int
  let mnemonic: StaticString

  /// Shifts by 0...63 bits.
  public func callAsFunction(_ register: GeneralRegister, _ count: Int) {
    guard (0...63).contains(count) else { return assembler.fail(mnemonic, "by \(count) bits; 0...63 is needed") }
    if count == 1 {
      assembler.encodeGeneral(mnemonic, 0xD1, reg: digit, rm: .register(register.number))
    } else {
      assembler.encodeGeneral(mnemonic, 0xC1, reg: digit, rm: .register(register.number), trailing: 1)
      assembler.bytes.append(UInt8(count))
    }
  }
}

extension Assembler {
  // MARK: - Moves

  /// Copies a register.
  public func mov(_ destination: GeneralRegister, _ source: GeneralRegister) {
    encodeGeneral("mov", 0x89, reg: source.number, rm: .register(destination.number))
  }

  /// Any number, in the shortest of three forms.
  public func mov(_ destination: GeneralRegister, _ value: Int) {
    if let positive = UInt32(exactly: value) {
      encodeGeneral(0xB8, .double, register: destination)
      emit32(Int32(bitPattern: positive))
    } else if let long = Int32(exactly: value) {
      encodeGeneral("mov", 0xC7, reg: 0, rm: .register(destination.number))
      emit32(long)
    } else {
      encodeGeneral(0xB8, .quad, register: destination)
      emit32(Int32(truncatingIfNeeded: value))
      emit32(Int32(truncatingIfNeeded: value >> 32))
    }
  }

  /// Loads 64 bits.
  public func mov(_ destination: GeneralRegister, _ source: Address) {
    encodeGeneral("mov", 0x8B, reg: destination.number, rm: .memory(source))
  }

  /// Stores 64 bits.
  public func mov(_ destination: Address, _ source: GeneralRegister) {
    encodeGeneral("mov", 0x89, reg: source.number, rm: .memory(destination))
  }

  /// Stores a number of 32 bits in 64.
  public func mov(_ destination: Address, _ value: Int) {
    guard let long = int32(value, "mov") else { return }
    if encodeGeneral("mov", 0xC7, reg: 0, rm: .memory(destination), trailing: 4) { emit32(long) }
  }

  /// Copies the lower half of a register; the upper half is cleared.
  public func mov32(_ destination: GeneralRegister, _ source: GeneralRegister) {
    encodeGeneral("mov32", 0x89, .double, reg: source.number, rm: .register(destination.number))
  }

  /// Loads 32 bits; the upper half is cleared.
  public func mov32(_ destination: GeneralRegister, _ source: Address) {
    encodeGeneral("mov32", 0x8B, .double, reg: destination.number, rm: .memory(source))
  }

  /// Stores 32 bits.
  public func mov32(_ destination: Address, _ source: GeneralRegister) {
    encodeGeneral("mov32", 0x89, .double, reg: source.number, rm: .memory(destination))
  }

  /// Stores a number in 32 bits; it may be signed or not.
  public func mov32(_ destination: Address, _ value: Int) {
    guard let bits = Int32(exactly: value) ?? UInt32(exactly: value).map({ Int32(bitPattern: $0) }) else {
      return fail("mov32", "an immediate of \(value), which is beyond 32 bits")
    }
    if encodeGeneral("mov32", 0xC7, .double, reg: 0, rm: .memory(destination), trailing: 4) { emit32(bits) }
  }

  /// Stores 16 bits.
  public func mov16(_ destination: Address, _ source: GeneralRegister) {
    encodeGeneral("mov16", 0x89, .word, reg: source.number, rm: .memory(destination))
  }

  /// Stores a byte.
  public func mov8(_ destination: Address, _ source: GeneralRegister) {
    encodeGeneral("mov8", 0x88, .byte, reg: source.number, rm: .memory(destination), byteRegisters: [source])
  }

  /// Loads a byte; the other bits are cleared.
  public func movzx8(_ destination: GeneralRegister, _ source: Address) {
    encodeGeneral("movzx8", 0xB6, isEscaped: true, .double, reg: destination.number, rm: .memory(source))
  }

  /// The lowest byte of a register; the other bits are cleared.
  public func movzx8(_ destination: GeneralRegister, _ source: GeneralRegister) {
    encodeGeneral(
      "movzx8", 0xB6, isEscaped: true, .double, reg: destination.number, rm: .register(source.number),
      byteRegisters: [source])
  }

  /// Loads 16 bits; the others are cleared.
  public func movzx16(_ destination: GeneralRegister, _ source: Address) {
    encodeGeneral("movzx16", 0xB7, isEscaped: true, .double, reg: destination.number, rm: .memory(source))
  }

  /// Loads 32 bits with their sign.
  public func movsxd(_ destination: GeneralRegister, _ source: Address) {
    encodeGeneral("movsxd", 0x63, reg: destination.number, rm: .memory(source))
  }

  /// The address itself.
  public func lea(_ destination: GeneralRegister, _ address: Address) {
    encodeGeneral("lea", 0x8D, reg: destination.number, rm: .memory(address))
  }

  /// The address of a label.
  public func lea(_ destination: GeneralRegister, _ label: Label) {
    lea(destination, Address(base: .label(label)))
  }

  /// Saves a register on the stack.
  public func push(_ register: GeneralRegister) { encodeGeneral(0x50, .double, register: register) }

  /// Takes a register from the stack.
  public func pop(_ register: GeneralRegister) { encodeGeneral(0x58, .double, register: register) }

  // MARK: - Arithmetic

  /// a + b.
  public var add: Arithmetic { Arithmetic(assembler: self, digit: 0, mnemonic: #function) }
  /// a or b.
  public var or: Arithmetic { Arithmetic(assembler: self, digit: 1, mnemonic: #function) }
  /// a and b.
  public var and: Arithmetic { Arithmetic(assembler: self, digit: 4, mnemonic: #function) }
  /// a - b.
  public var sub: Arithmetic { Arithmetic(assembler: self, digit: 5, mnemonic: #function) }
  /// a xor b.
  public var xor: Arithmetic { Arithmetic(assembler: self, digit: 6, mnemonic: #function) }
  /// Sets the flags by a - b.
  public var cmp: Arithmetic { Arithmetic(assembler: self, digit: 7, mnemonic: #function) }

  /// Shifts left.
  public var shl: ConstantShift { ConstantShift(assembler: self, digit: 4, mnemonic: #function) }
  /// Shifts right, filled with 0.
  public var shr: ConstantShift { ConstantShift(assembler: self, digit: 5, mnemonic: #function) }
  /// Shifts right, filled with the sign.
  public var sar: ConstantShift { ConstantShift(assembler: self, digit: 7, mnemonic: #function) }

  /// Sets the flags by a and b.
  public func test(_ a: GeneralRegister, _ b: GeneralRegister) {
    encodeGeneral("test", 0x85, reg: b.number, rm: .register(a.number))
  }

  /// Sets the flags by a and a number of 32 bits.
  public func test(_ a: GeneralRegister, _ b: Int) {
    guard let long = int32(b, "test") else { return }
    if a == .rax {
      bytes += [0x48, 0xA9]
    } else {
      encodeGeneral("test", 0xF7, reg: 0, rm: .register(a.number))
    }
    emit32(long)
  }

  /// a * b, the low 64 bits.
  public func imul(_ a: GeneralRegister, _ b: GeneralRegister) {
    encodeGeneral("imul", 0xAF, isEscaped: true, reg: a.number, rm: .register(b.number))
  }

  /// a * b, the low 64 bits.
  public func imul(_ a: GeneralRegister, _ b: Address) {
    encodeGeneral("imul", 0xAF, isEscaped: true, reg: a.number, rm: .memory(b))
  }

  /// The destination becomes a * a number of 32 bits.
  public func imul(_ destination: GeneralRegister, _ a: GeneralRegister, _ b: Int) {
    encodeGeneral(
      "imul", byteOpcode: 0x6B, opcode: 0x69, reg: destination.number, rm: .register(a.number), immediate: b)
  }

  /// + 1; the carry flag stays.
  public func inc(_ register: GeneralRegister) { encodeGeneral("inc", 0xFF, reg: 0, rm: .register(register.number)) }

  /// 32 bits of memory + 1; the carry flag stays.
  public func inc32(_ address: Address) { encodeGeneral("inc32", 0xFF, .double, reg: 0, rm: .memory(address)) }

  /// - 1; the carry flag stays.
  public func dec(_ register: GeneralRegister) { encodeGeneral("dec", 0xFF, reg: 1, rm: .register(register.number)) }

  /// The negative.
  public func neg(_ register: GeneralRegister) { encodeGeneral("neg", 0xF7, reg: 3, rm: .register(register.number)) }
}
