import X86Assembler

/// Transforms filters, G g G^T, where they lie: the taps of a filter are in its last positions.
///
/// A filter is a lane of a vector; the positions of the transformed filter, and so its taps, are `positionStride` bytes
/// apart.
struct WinogradFilterKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  let positionStride: Int

  var name: String { "winograd_filter_\(target.instructionSet.rawValue)_\(transform.name)" }

  private static let filter = GeneralRegister.rax

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, taps = transform.taps
    let count = GeneralRegister.rcx
    k.beginFrame(byteCount: taps * taps * 64)
    k.mov(Self.filter, GeneralRegister.rdi[0])
    k.mov(count, GeneralRegister.rdi[8])
    emitLoop(code, count, lanes: target.lanes)
    // What is left of a panel of whole blocks and a half one.
    if target.lanes == 16 {
      k.mov(count, GeneralRegister.rdi[16])
      emitLoop(code, count, lanes: 8)
    }
    k.endFrame()
    return code
  }

  private func emitLoop(_ code: VectorCode, _ count: GeneralRegister, lanes: Int) {
    let k = code.assembler, top = k.newLabel(), end = k.newLabel()
    k.test(count, count)
    k.jump(.e, end)
    k.align(32)
    k.bind(top)
    emitVector(code, lanes: lanes)
    k.add(Self.filter, lanes * 4)
    k.dec(count)
    k.jump(.ne, top)
    k.bind(end)
  }

  private func emitVector(_ code: VectorCode, lanes: Int) {
    let taps = transform.taps, inputs = transform.inputs, filter = Self.filter
    func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
    // The taps go to the stack first, since their places are written before all of them are used.
    func tap(_ row: Int, _ column: Int) -> Address { GeneralRegister.rsp[(row * taps + column) * lanes * 4] }
    for index in 0..<taps * taps {
      let element = register(index % 4)
      code.load(element, filter[(transform.positions - taps * taps + index) * positionStride])
      code.store(GeneralRegister.rsp[index * lanes * 4], element)
    }
    for row in 0..<inputs {
      // A row of G g: one number for each column of the filter.
      let sums = (0..<taps).map(register)
      for column in 0..<taps {
        multiply(code, row, sums[column]) { .memory(tap($0, column)) }
      }
      let result = register(taps)
      for column in 0..<inputs {
        multiply(code, column, result) { .register(sums[$0]) }
        code.store(filter[(row * inputs + column) * positionStride], result)
      }
    }
  }

  /// d = row `row` of G times the vector whose elements are the operands.
  private func multiply(_ code: VectorCode, _ row: Int, _ d: WideRegister, _ operand: (Int) -> VectorCode.Operand) {
    var isFirst = true
    for (tap, factor) in transform.filterRow(row).enumerated() where factor != 0 {
      let constant = code.constant(Float(factor), lanes: d.lanes)
      if isFirst {
        isFirst = false
        if case .register(let source) = operand(tap) { code.copy(d, source) }
        if case .memory(let address) = operand(tap) { code.load(d, address) }
        if factor != 1 { code.multiply(d, d, constant) }
      } else {
        switch operand(tap) {
        case .register(let source): code.multiplyAdd(d, source, constant)
        case .memory(let address):
          let element = WideRegister(number: code.target.registerCount - 1, lanes: d.lanes)
          code.load(element, address)
          code.multiplyAdd(d, element, constant)
        }
      }
    }
  }
}

/// What a filter transform is called with.
struct WinogradFilterArguments {
  /// The first filters at the first position.
  var filter: UnsafeMutableRawPointer
  /// How many whole vectors, and how many of 8 filters after them.
  var vectors, halves: Int
}
