/// How a vector instruction is encoded: one line of the table at the head of its page in Intel's manual, volume 2.
///
/// `EVEX.512.66.0F38.W0 B8 /r`, tuple type Full, is `OpcodeRow(.p66, .m0F38, 0xB8)`.
struct OpcodeRow: Sendable {
  /// The prefix that the field `pp` stands for.
  enum Prefix: UInt8, CaseIterable { case np, p66, pF3, pF2 }

  /// The opcode map, field `mm`.
  enum Map: UInt8, CaseIterable { case m0F = 1, m0F38, m0F3A }

  /// The bit W.
  enum Width: CaseIterable {
    case w0, w1
    /// 1 in EVEX, ignored in VEX, where 0 allows the prefix of two bytes.
    case evexW1
  }

  /// What the memory operand holds: it decides whether it can be a splat, and the unit of EVEX's 8-bit displacements.
  enum Tuple: Equatable {
    /// A whole vector or a splat of one element.
    case full
    /// A whole vector.
    case fullMemory
    /// Half of a vector.
    case halfMemory
    /// A quarter of a vector.
    case quarterMemory
    /// As many bytes, whatever the vector's length: Tuple1 Scalar, Tuple4, Tuple8.
    case block(Int)
  }

  /// Which of the two prefixes exist.
  enum Encodings: CaseIterable { case both, vexOnly, evexOnly }

  /// The vector lengths that exist; 64 needs EVEX besides.
  enum Lengths: CaseIterable { case all, from32, only32, only64 }

  var prefix: Prefix
  var map: Map
  var opcode: UInt8
  var width: Width
  var tuple: Tuple
  var encodings: Encodings
  var lengths: Lengths
  /// The opcode of the second form, if there is one: a store, or from a general register.
  var secondOpcode: UInt8
  /// What the field reg holds where it holds no register: `/2` is 2.
  var digit: Int
  let mnemonic: StaticString

  /// The same row for its second form.
  var second: OpcodeRow {
    var row = self
    row.opcode = secondOpcode
    return row
  }

  /// The same row with only one of the two prefixes.
  func with(_ encodings: Encodings) -> OpcodeRow {
    var row = self
    row.encodings = encodings
    return row
  }

  /// Whether a copy between registers is a byte shorter as a store: in VEX, where one above 7 is better in reg.
  func isShorterAsStore(byteCount: Int, _ destination: Int, _ source: Int, _ masking: Masking?) -> Bool {
    destination < 8 && (8...15).contains(source) && encodings != .evexOnly && masking == nil && byteCount < 64
  }

  /// Whether a vector of `byteCount` bytes exists in this instruction.
  func has(byteCount: Int) -> Bool {
    switch lengths {
    case .all: byteCount != 64 || encodings != .vexOnly
    case .from32: byteCount == 32 || byteCount == 64 && encodings != .vexOnly
    case .only32: byteCount == 32
    case .only64: byteCount == 64
    }
  }

  /// The unit of an 8-bit displacement in EVEX.
  func displacementUnit(byteCount: Int, isSplat: Bool) -> Int {
    switch tuple {
    case .full: isSplat ? (width == .w0 ? 4 : 8) : byteCount
    case .fullMemory: byteCount
    case .halfMemory: byteCount / 2
    case .quarterMemory: byteCount / 4
    case .block(let byteCount): byteCount
    }
  }
}

extension Assembler {
  /// The row of the property in which it is written, in the form that the property has.
  func row<Form: VectorForm>(
    _ prefix: OpcodeRow.Prefix, _ map: OpcodeRow.Map, _ opcode: UInt8, _ width: OpcodeRow.Width = .w0,
    _ tuple: OpcodeRow.Tuple = .full, _ encodings: OpcodeRow.Encodings = .both, lengths: OpcodeRow.Lengths = .all,
    second: UInt8 = 0, digit: Int = 0, mnemonic: StaticString = #function
  ) -> Form {
    Form(
      assembler: self,
      row: OpcodeRow(
        prefix: prefix, map: map, opcode: opcode, width: width, tuple: tuple, encodings: encodings, lengths: lengths,
        secondOpcode: second, digit: digit, mnemonic: mnemonic))
  }
}
