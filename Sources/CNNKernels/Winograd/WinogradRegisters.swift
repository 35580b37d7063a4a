import X86Assembler

/// Where the numbers of a tile are between a transform of its columns and one of its rows: as many rows as possible in
/// registers, the others on the stack.
struct WinogradRegisters {
  private let code: VectorCode
  private let inputs, lanes: Int
  /// How many rows are in registers.
  private let kept: Int
  /// Four temporaries.
  let temporaries: [WideRegister]
  /// One more register.
  let spare: WideRegister

  /// - Parameter rows: the rows of numbers that there are between the transforms.
  init(_ code: VectorCode, _ transform: WinogradTransform, rows: Int) {
    self.code = code
    let inputs = transform.inputs, lanes = code.target.lanes, limit = code.target.registerCount
    // Kept rows of all columns, the rest of one column, the temporaries and the spare one.
    let kept = (1...rows).last { $0 * inputs + inputs - $0 + 5 <= limit } ?? 1
    let first = kept * inputs + inputs - kept
    temporaries = (0..<4).map { WideRegister(number: first + $0, lanes: lanes) }
    spare = WideRegister(number: first + 4, lanes: lanes)
    (self.inputs, self.lanes, self.kept) = (inputs, lanes, kept)
  }

  /// Bytes on the stack.
  var byteCount: Int { inputs * inputs * lanes * 4 }

  /// The registers of a column's numbers.
  func column(_ column: Int) -> [WideRegister] {
    (0..<inputs).map {
      WideRegister(number: $0 < kept ? column * kept + $0 : inputs * kept + $0 - kept, lanes: lanes)
    }
  }

  /// Puts those of a transformed column's numbers on the stack that the next column would overwrite.
  func keep(_ column: Int, rows: some Sequence<Int>) {
    let registers = self.column(column)
    for row in rows where row >= kept { code.store(place(row, column), registers[row]) }
  }

  /// The registers of a row's numbers, after all columns; rows in ascending order.
  func row(_ row: Int, columns: some Sequence<Int>) -> [WideRegister] {
    if row < kept { return (0..<inputs).map { self.column($0)[row] } }
    let registers = (0..<inputs).map { self.column($0)[0] }
    for column in columns { code.load(registers[column], place(row, column)) }
    return registers
  }

  private func place(_ row: Int, _ column: Int) -> Address {
    GeneralRegister.rsp[(row * inputs + column) * lanes * 4]
  }
}
