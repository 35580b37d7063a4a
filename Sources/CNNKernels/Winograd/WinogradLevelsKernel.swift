import CNNCore
import X86Assembler

/// Transforms some neighbouring tiles of 16 channels of integer sums back, A^T m A, and rounds them.
///
/// The filter's matrix G is multiplied by 2, so that its numbers are whole ones, and the sums of F(2 x 2, 3 x 3) come out
/// four times too large, which a shift takes back: integers are those of the convolution itself.
struct WinogradLevelsKernel: Hashable, Sendable {
  let target: CodeTarget
  let shape: WinogradTiles.Shape
  /// Bytes from a row of the result to the next, and from a position of the transformed tile to the next.
  var rowStride, positionStride: Int
  var addsResidual: Bool
  /// What happens to the sums.
  var requantizing: Requantizing

  var name: String {
    "winograd_levels_\(target.vectorName)_f2_\(shape.rows.outputs)x\(shape.columns.outputs)"
      + (addsResidual ? "_add" : "") + (requantizing.suffix.map { "_\($0)" } ?? "")
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, size = requantizing.givesLevels ? 1 : 4
    let input = GeneralRegister.rax, output = GeneralRegister.rsi, tiles = GeneralRegister.rcx
    let bias = GeneralRegister.rdx, residual = GeneralRegister.r8, multipliers = GeneralRegister.r9
    let numbers = RepeatedNumbers(base: .r10)
    func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
    for (index, register) in [input, output, tiles, bias, residual, multipliers, numbers.base].enumerated() {
      k.mov(register, GeneralRegister.rdi[8 * index])
    }
    k.loop(tiles) {
      // Of each pixel of the tile the sums of all channels: one register, or two.
      let halves = 16 / lanes
      func sum(_ row: Int, _ column: Int, _ half: Int) -> WideRegister { register(8 + 4 * half + 2 * row + column) }
      for half in 0..<halves {
        transform(code, input, offset: half * lanes * 4, (0..<8).map(register), t: sum(0, 0, half), sum(0, 1, half))
        for row in 0..<2 {
          for column in 0..<2 {
            let d = sum(row, column, half)
            code.shiftRightSigned(d, register(4 * row + column), 2)
            code.addIntegers(d, d, bias[half * lanes * 4])
          }
        }
      }
      let places = (0..<shape.rows.outputs).flatMap { row in
        (0..<shape.columns.outputs).map { column in
          (0..<halves).map { half in
            RoundedSums(
              sum(row, column, half), offset: row * rowStride + column * 64 + half * lanes * size,
              channel: half * lanes, multipliers, vector: lanes, requantizing)
          }
        }
      }
      code.store(
        places, at: output, residual: addsResidual ? residual : nil, requantizing, numbers,
        temporaries: (0..<8).map(register))
      k.add(input, 64)
      k.add(output, shape.columns.step(of: .f2) * 64)
      if addsResidual { k.add(residual, shape.columns.step(of: .f2) * 64) }
    }
    k.vzeroupper()
    k.ret()
    return code
  }

  /// A^T m A of the numbers so many bytes from `input`: of row r of the results the registers 4 r and 4 r + 1, of eight.
  private func transform(
    _ code: VectorCode, _ input: GeneralRegister, offset: Int, _ m: [WideRegister], t: WideRegister, _ u: WideRegister
  ) {
    func place(_ row: Int, _ column: Int) -> Address { input[(row * 4 + column) * positionStride + offset] }
    for column in 0..<4 {
      code.load(t, place(1, column))
      code.load(u, place(2, column))
      code.addIntegers(m[column], t, u)
      code.subtractIntegers(m[4 + column], t, u)
      code.addIntegers(m[column], m[column], place(0, column))
      code.subtractIntegers(m[4 + column], m[4 + column], place(3, column))
    }
    for row in 0..<2 {
      let r = Array(m[4 * row..<4 * row + 4])
      code.subtractIntegers(t, r[1], r[2])
      code.addIntegers(r[0], r[0], r[1])
      code.addIntegers(r[0], r[0], r[2])  // m0 + m1 + m2
      code.subtractIntegers(r[1], t, r[3])  // m1 - m2 - m3
    }
  }
}
