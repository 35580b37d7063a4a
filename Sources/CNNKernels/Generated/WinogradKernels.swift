import X86Assembler

/// Transforms some neighbouring tiles of one block of channels: B^T d B.
///
/// A tile begins `outputs` pixels after the one before it. What of it lies beside the image is zero and known while the
/// code is generated.
struct WinogradInputKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  /// The rows and columns of the tile that lie inside the image.
  var rows, columns: Range<Int>
  /// Bytes from an image row to the next, and from a position of the transformed tile to the next.
  var rowStride, positionStride: Int
  /// Whether the factors of `WinogradRowKernel` are applied.
  var appliesFactors = false

  var name: String {
    "winograd_input_\(target.instructionSet.rawValue)_f\(transform.rawValue)_r\(rows.lowerBound)to\(rows.upperBound)"
      + "_c\(columns.lowerBound)to\(columns.upperBound)"
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, inputs = transform.inputs
    let input = GeneralRegister.rax, output = GeneralRegister.rsi, tiles = GeneralRegister.rcx
    let d = (0..<inputs).map { WideRegister(number: $0, lanes: lanes) }
    let t = (0..<4).map { WideRegister(number: inputs + $0, lanes: lanes) }
    k.beginFrame(byteCount: transform.positions * lanes * 4)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(output, GeneralRegister.rdi[8])
    k.mov(tiles, GeneralRegister.rdi[16])
    let next = k.newLabel()
    k.align(32)
    k.bind(next)
    for half in 0..<(16 / lanes) {
      let offset = half * lanes * 4
      for column in 0..<inputs {
        for row in 0..<inputs {
          if rows.contains(row), columns.contains(column) {
            code.load(d[row], input[row * rowStride + column * 64 + offset])
          } else {
            code.zero(d[row])
          }
        }
        if columns.contains(column) { code.transformInput(transform, d, t) }
        for row in 0..<inputs { code.store(GeneralRegister.rsp[(row * inputs + column) * lanes * 4], d[row]) }
      }
      for row in 0..<inputs {
        for column in 0..<inputs { code.load(d[column], GeneralRegister.rsp[(row * inputs + column) * lanes * 4]) }
        code.transformInput(transform, d, t)
        for column in 0..<inputs {
          if appliesFactors {
            let factor = WinogradTransform.filterFactors[row] * WinogradTransform.filterFactors[column]
            code.multiply(d[column], d[column], code.constant(Float(factor), lanes: lanes))
          }
          code.store(output[(row * inputs + column) * positionStride + offset], d[column])
        }
      }
    }
    k.add(input, transform.outputs * 64)
    k.add(output, 64)
    k.dec(tiles)
    k.jump(.ne, next)
    k.endFrame()
    return code
  }
}

/// What an input transform is called with.
struct WinogradInputArguments {
  /// The first tile's first pixel, which may lie beside the image.
  var input: UnsafeRawPointer
  /// The first tile at the first position.
  var output: UnsafeMutableRawPointer
  /// How many tiles, at least 1.
  var tiles: Int
}

/// Transforms some neighbouring tiles of one block of channels back, A^T m A, and applies the epilogue.
struct WinogradOutputKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  /// How many rows and columns of the tile lie inside the result.
  var rows, columns: Int
  /// Bytes from a row of the result to the next, and from a position of the transformed tile to the next.
  var rowStride, positionStride: Int
  var epilogue: Epilogue

  var name: String {
    "winograd_output_\(target.instructionSet.rawValue)_f\(transform.rawValue)_\(rows)x\(columns)"
      + (epilogue.addsResidual ? "_add" : "") + (epilogue.activation.map { "_\($0.function.rawValue)" } ?? "")
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, inputs = transform.inputs, outputs = transform.outputs
    let input = GeneralRegister.rax, output = GeneralRegister.rsi, tiles = GeneralRegister.rcx
    let bias = GeneralRegister.rdx, residual = GeneralRegister.r8
    let m = (0..<inputs).map { WideRegister(number: $0, lanes: lanes) }
    let t = (0..<4).map { WideRegister(number: inputs + $0, lanes: lanes) }
    let biasVector = WideRegister(number: inputs + 4, lanes: lanes)
    k.beginFrame(byteCount: outputs * inputs * lanes * 4)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(output, GeneralRegister.rdi[8])
    k.mov(tiles, GeneralRegister.rdi[16])
    k.mov(bias, GeneralRegister.rdi[24])
    k.mov(residual, GeneralRegister.rdi[32])
    let next = k.newLabel()
    k.align(32)
    k.bind(next)
    for half in 0..<(16 / lanes) {
      let offset = half * lanes * 4
      for column in 0..<inputs {
        for row in 0..<inputs { code.load(m[row], input[(row * inputs + column) * positionStride + offset]) }
        code.transformOutput(transform, m, t)
        for row in 0..<rows { code.store(GeneralRegister.rsp[(row * inputs + column) * lanes * 4], m[row]) }
      }
      if epilogue.hasBias { code.load(biasVector, bias[offset]) }
      for row in 0..<rows {
        for column in 0..<inputs { code.load(m[column], GeneralRegister.rsp[(row * inputs + column) * lanes * 4]) }
        code.transformOutput(transform, m, t)
        for column in 0..<columns {
          let place = row * rowStride + column * 64 + offset
          if epilogue.hasBias { code.add(m[column], m[column], biasVector) }
          if epilogue.addsResidual { code.add(m[column], m[column], .memory(residual[place])) }
          if let activation = epilogue.activation { code.apply(activation, to: m[column], temporaries: t) }
          code.store(output[place], m[column])
        }
      }
    }
    k.add(input, 64)
    k.add(output, outputs * 64)
    if epilogue.addsResidual { k.add(residual, outputs * 64) }
    k.dec(tiles)
    k.jump(.ne, next)
    k.endFrame()
    return code
  }
}

/// What an output transform is called with.
struct WinogradOutputArguments {
  /// The first tile at the first position.
  var input: UnsafeRawPointer
  /// The first tile's first pixel.
  var output: UnsafeMutableRawPointer
  /// How many tiles, at least 1.
  var tiles: Int
  /// 16 floats.
  var bias: UnsafeRawPointer
  /// Laid out like the result.
  var residual: UnsafeRawPointer
}

extension Assembler {
  /// Begins a function with `byteCount` bytes of its own at `rsp`, aligned to a cache line.
  func beginFrame(byteCount: Int) {
    push(.rbp)
    mov(.rbp, .rsp)
    sub(.rsp, byteCount)
    and(.rsp, -64)
  }

  /// Returns from it.
  func endFrame() {
    mov(.rsp, .rbp)
    pop(.rbp)
    vzeroupper()
    ret()
  }
}
