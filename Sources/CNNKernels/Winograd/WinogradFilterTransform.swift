import X86Assembler

/// Code that transforms filters, G g G^T, of which each is a lane of vectors.
struct WinogradFilterTransform: Hashable, Sendable {
  let transform: WinogradTransform
  /// Bytes from one position of the transformed filters to the next.
  let positionStride: Int

  /// Transforms what lies at the addresses `tap` of each of one or two vectors, with registers 0 to 8 and the last one.
  ///
  /// The vectors take turns at each position, so that a whole cache line is written at once.
  /// - Parameter store: stores a vector so many bytes from the first position.
  func emit(
    _ code: VectorCode, parts: Int, lanes: Int, tap: (_ tap: Int, _ part: Int) -> Address,
    store: (_ position: Int, _ part: Int, _ vector: WideRegister) -> Void
  ) {
    let taps = transform.taps, inputs = transform.inputs
    func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
    let element = register(code.target.registerCount - 1)
    for row in 0..<inputs {
      // A row of G g: one number for each column of the filter.
      let sums = (0..<parts).map { part in (0..<taps).map { register(part * taps + $0) } }
      for part in 0..<parts {
        for column in 0..<taps {
          multiply(code, row, sums[part][column]) { index in
            code.load(element, tap(index * taps + column, part))
            return element
          }
        }
      }
      let result = register(parts * taps)
      for column in 0..<inputs {
        for part in 0..<parts {
          multiply(code, column, result) { sums[part][$0] }
          store((row * inputs + column) * positionStride, part, result)
        }
      }
    }
  }

  /// d = row `row` of G times the vector whose elements are the operands.
  private func multiply(_ code: VectorCode, _ row: Int, _ d: WideRegister, _ operand: (Int) -> WideRegister) {
    var isFirst = true
    for (tap, factor) in transform.filterRow(row).enumerated() where factor != 0 {
      let constant = code.constant(Float(factor), lanes: d.lanes), element = operand(tap)
      if isFirst {
        isFirst = false
        if factor == 1 { code.copy(d, element) } else { code.multiply(d, element, constant) }
      } else {
        code.multiplyAdd(d, element, constant)
      }
    }
  }
}
