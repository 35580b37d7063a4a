import CNNCore
import X86Assembler

// The gradient of a filter by Winograd's transforms (Lavin and Gray, 2015, turned around): what
//
//     Y = A^T [ (G g G^T) * (B^T d B) ] A
//
// does to the filter g is linear, so the gradient of g, given dY, is the transpose of that
//
//     dg = G^T [ (A dY A^T) * (B^T d B) ] G
//
// summed over the tiles before the outer transform. Each position of a transformed tile is a product of matrices whose
// depth are the tiles. A tile without `WinogradTransform.shortPosition` adds nothing there.

/// Transforms some neighbouring tiles of the gradient of a convolution's result: A dY A^T for one block of channels.
struct WinogradGradientKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  let shape: WinogradTiles.Shape
  /// Bytes from a row of the gradient to the next, and from a position of the transformed tile to the next.
  var rowStride, positionStride: Int
  /// Of what the gradient is: float32, or bfloat16, which needs AVX-512.
  var element = ElementType.float32

  var name: String {
    "winograd_gradient_\(target.vectorName)_\(transform.name)_\(shape.rows.outputs)x\(shape.columns.outputs)"
      + (element == .float32 ? "" : "_\(element.rawValue)")
  }

  /// The machine code, which is called with `WinogradInputArguments`.
  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, inputs = transform.inputs, outputs = transform.outputs
    let input = GeneralRegister.rax, output = GeneralRegister.rsi, tiles = GeneralRegister.rcx
    let registers = WinogradRegisters(code, transform, rows: inputs), t = registers.temporaries
    k.beginFrame(byteCount: registers.byteCount)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(output, GeneralRegister.rdi[8])
    k.mov(tiles, GeneralRegister.rdi[16])
    k.loop(tiles) {
      code.fetch(input, rows: outputs..<2 * outputs, rowStride, shape, transform)
      for half in 0..<(16 / lanes) {
        let offset = half * lanes * 4
        // What lies beside the result is zero.
        for column in 0..<outputs {
          let d = registers.column(column)
          for row in 0..<outputs {
            if row < shape.rows.outputs, column < shape.columns.outputs {
              code.load(d[row], input[row * rowStride + column * 64 + offset], of: element)
            } else {
              code.zero(d[row])
            }
          }
          code.transformGradient(transform, isShort: shape.rows.isShort, d, t)
          registers.keep(column, rows: shape.rows.positions(of: transform))
        }
        for row in shape.rows.positions(of: transform) {
          let d = registers.row(row, columns: 0..<outputs)
          code.transformGradient(transform, isShort: shape.columns.isShort, d, t)
          for column in shape.columns.positions(of: transform) {
            code.store(output[(row * inputs + column) * positionStride + offset], d[column])
          }
        }
      }
      k.add(input, shape.columns.step(of: transform) * 64)
      k.add(output, 64)
    }
    k.endFrame()
    return code
  }
}

/// Transforms the sums of one pair of blocks of channels back, G^T m G, and writes them as rows of the filter's gradient.
struct WinogradFilterGradientKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  /// Input channels, at most 16.
  var channels: Int
  /// Bytes from a position of the sums to the next.
  var positionStride: Int

  var name: String { "winograd_filter_gradient_\(target.vectorName)_\(transform.name)_\(channels)" }

  /// The machine code, which is called with `TapOrderArguments`; of the strides with that of the result.
  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, inputs = transform.inputs, taps = transform.taps
    let source = GeneralRegister.rax, result = GeneralRegister.rsi, rows = GeneralRegister.rcx
    let registers = WinogradRegisters(code, transform, rows: taps)
    // Behind what does not fit into registers, the taps of 16 channels.
    let order = TapOrder(taps: taps * taps, channels: channels, tapStride: 64)
    k.beginFrame(byteCount: registers.byteCount + order.taps * order.tapStride)
    k.mov(source, GeneralRegister.rdi[0])
    k.mov(result, GeneralRegister.rdi[8])
    k.mov(rows, GeneralRegister.rdi[16])
    let next = k.newLabel()
    k.align(32)
    k.bind(next)
    // The next pair's part of the row: the gradient is out of the caches since the last step.
    let rowByteCount = channels * order.taps * 4
    for place in stride(from: rowByteCount, to: 2 * rowByteCount, by: 64) { k.prefetchw(result[place]) }
    for half in 0..<(16 / lanes) {
      let offset = half * lanes * 4
      for column in 0..<inputs {
        let m = registers.column(column)
        for row in 0..<inputs { code.load(m[row], source[(row * inputs + column) * positionStride + offset]) }
        code.transformFilterGradient(transform, m, registers.temporaries)
        registers.keep(column, rows: 0..<taps)
      }
      for row in 0..<taps {
        let m = registers.row(row, columns: 0..<inputs)
        code.transformFilterGradient(transform, m, registers.temporaries)
        for column in 0..<taps {
          code.store(GeneralRegister.rsp[registers.byteCount + (row * taps + column) * 64 + offset], m[column])
        }
      }
    }
    order.emit(code, from: .rsp, offset: registers.byteCount, to: result)
    k.add(source, BlockedTensor.pixelByteCount)
    k.add(result, GeneralRegister.rdi[32])
    k.dec(rows)
    k.jump(.ne, next)
    k.endFrame()
    return code
  }
}

extension VectorCode {
  /// A of one column of `d`, whose first `outputs` vectors are those of a tile: replaces them by the `inputs` of the
  /// transform, save for the `shortPosition` of a short one. `t` are four temporaries.
  fileprivate func transformGradient(
    _ transform: WinogradTransform, isShort: Bool, _ d: [WideRegister], _ t: [WideRegister]
  ) {
    let lanes = d[0].lanes
    func times(_ value: Double) -> Operand { constant(Float(value), lanes: lanes) }
    let p = WinogradTransform.inner, q = WinogradTransform.outer
    if transform == .f2 {
      zero(d[3])
      subtract(d[3], d[3], d[1])  // -d1
      subtract(d[2], d[0], .register(d[1]))  // d0 - d1
      add(d[1], d[0], d[1])  // d0 + d1
      return
    }
    // Powers of the points: the even ones, which both signs share, and the odd ones.
    copy(t[0], d[0])
    multiplyAdd(t[0], d[2], times(0.5))  // d0 + p^2 d2
    copy(t[2], d[0])
    multiplyAdd(t[2], d[2], times(2))  // d0 + q^2 d2
    copy(t[1], d[1])
    copy(t[3], d[1])
    if transform.outputs - (isShort ? 1 : 0) == 3 {
      copy(d[5], d[2])
    } else {
      multiplyAdd(t[1], d[3], times(0.5))  // d1 + p^2 d3
      multiplyAdd(t[3], d[3], times(2))  // d1 + q^2 d3
      copy(d[5], d[3])
    }
    copy(d[1], t[0])
    multiplyAdd(d[1], t[1], times(p))
    copy(d[2], t[0])
    multiplySubtract(d[2], t[1], times(p))
    copy(d[3], t[2])
    multiplyAdd(d[3], t[3], times(q))
    if !isShort {
      copy(d[4], t[2])
      multiplySubtract(d[4], t[3], times(q))
    }
  }

  /// G^T of one column of `m`: the first `taps` of the vectors become the results. `t` are four temporaries.
  fileprivate func transformFilterGradient(_ transform: WinogradTransform, _ m: [WideRegister], _ t: [WideRegister]) {
    let lanes = m[0].lanes, factors = transform.filterFactors
    func times(_ value: Double) -> Operand { constant(Float(value), lanes: lanes) }
    let p = WinogradTransform.inner, q = WinogradTransform.outer
    add(t[0], m[1], m[2])
    subtract(t[1], m[1], .register(m[2]))
    if transform == .f2 {
      multiply(t[0], t[0], times(factors[1]))
      add(m[0], m[0], t[0])
      multiply(m[1], t[1], times(factors[1]))
      add(m[2], m[3], t[0])
      return
    }
    // Columns of G are powers of the points, times each point's factor.
    let inner = factors[1], outer = factors[3]
    add(t[2], m[3], m[4])
    subtract(t[3], m[3], .register(m[4]))
    multiplyAdd(m[0], t[0], times(inner))
    multiplyAdd(m[0], t[2], times(outer))
    multiply(m[1], t[1], times(inner * p))
    multiplyAdd(m[1], t[3], times(outer * q))
    if transform.taps == 3 {
      copy(m[2], m[5])
    } else {
      copy(m[3], m[5])
      multiplyAdd(m[3], t[1], times(inner * p / 2))
      multiplyAdd(m[3], t[3], times(outer * q * 2))
      zero(m[2])
    }
    multiplyAdd(m[2], t[0], times(inner / 2))
    multiplyAdd(m[2], t[2], times(outer * 2))
  }
}
