import CNNCore
import X86Assembler

/// Transforms some neighbouring tiles of one block of channels: B^T d B.
///
/// What of a tile lies beside the image is known while the code is generated: zero, or of levels the one that stands for it.
/// Levels, 0 to 255, become numbers of 16 bits, of which F(2 x 2, 3 x 3) makes ones from -510 to 1020: exact integers; those
/// of bfloat16 become float32.
struct WinogradInputKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  let shape: WinogradTiles.Shape
  /// Bytes from an image row to the next, and from a position of the transformed tile to the next.
  var rowStride, positionStride: Int
  /// Whether `WinogradFewTilesKernel.inputFactors` are applied.
  var appliesFactors = false
  /// Of what the image is: float32, or what a block of is read half by half. bfloat16 needs AVX-512.
  var element = ElementType.float32
  /// Whether what the next row of tiles reads is fetched: each tile's rows are too short for the processor to do so.
  var fetchesAhead = false

  private var isOfLevels: Bool { element == .uint8 }

  var name: String {
    let rows = shape.rows.inside, columns = shape.columns.inside
    return "winograd_input_\(target.vectorName)_\(transform.name)"
      + (isOfLevels ? "_levels" : element == .float32 ? "" : "_\(element.rawValue)")
      + "_r\(rows.lowerBound)to\(rows.upperBound)_c\(columns.lowerBound)to\(columns.upperBound)"
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, inputs = transform.inputs
    let input = GeneralRegister.rax, output = GeneralRegister.rsi, tiles = GeneralRegister.rcx
    let registers = WinogradRegisters(code, transform, rows: inputs), t = registers.temporaries
    k.beginFrame(byteCount: registers.byteCount)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(output, GeneralRegister.rdi[8])
    k.mov(tiles, GeneralRegister.rdi[16])
    if isOfLevels { code.broadcast(registers.spare, GeneralRegister.rdi[24]) }
    let factors = WinogradFewTilesKernel.inputFactors
    k.loop(tiles) {
      if fetchesAhead {
        code.fetch(input, rows: transform.inputs..<transform.inputs + transform.outputs, rowStride, shape, transform)
      }
      for half in 0..<(16 / lanes) {
        let offset = half * lanes * 4
        for column in shape.columns.inputs(of: transform) {
          let d = registers.column(column)
          for row in shape.rows.inputs(of: transform) {
            if shape.rows.inside.contains(row), shape.columns.inside.contains(column) {
              let place = row * rowStride + column * 64 + (element == .float32 ? offset : offset / 2)
              load(d[row], input[place], code)
            } else if isOfLevels {
              code.copy(d[row], registers.spare)
            } else {
              code.zero(d[row])
            }
          }
          if isOfLevels || shape.columns.inside.contains(column) {
            apply(d, t, isShort: shape.rows.isShort, code)
          } else if shape.rows.isShort {
            code.zero(d[5])
          }
          registers.keep(column, rows: shape.rows.positions(of: transform))
        }
        for row in shape.rows.positions(of: transform) {
          let d = registers.row(row, columns: shape.columns.inputs(of: transform))
          apply(d, t, isShort: shape.columns.isShort, code)
          for column in shape.columns.positions(of: transform) {
            if appliesFactors {
              let factor = factors[row] * factors[column]
              code.multiply(d[column], d[column], code.constant(Float(factor), lanes: lanes))
            }
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

extension WinogradInputKernel {
  private func load(_ d: WideRegister, _ address: Address, _ code: VectorCode) {
    if isOfLevels { code.loadByteWords(d, address) } else { code.load(d, address, of: element) }
  }

  private func apply(_ d: [WideRegister], _ t: [WideRegister], isShort: Bool, _ code: VectorCode) {
    if isOfLevels {
      code.transformInput(d, t[0], sum: code.addWords, difference: code.subtractWords)
    } else {
      code.transformInput(transform, isShort: isShort, d, t)
    }
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
  /// Of levels, what stands for 0, twice, in 16 bits each.
  var border: UInt32 = 0
}

/// Transforms some neighbouring tiles of one block of channels back, A^T m A, and applies the epilogue.
struct WinogradOutputKernel: Hashable, Sendable {
  let target: CodeTarget
  let transform: WinogradTransform
  let shape: WinogradTiles.Shape
  /// Bytes from a row of the result to the next, and from a position of the transformed tile to the next.
  var rowStride, positionStride: Int
  var epilogue: Epilogue
  /// Of what the result and the residual are: float32 or bfloat16, which needs AVX-512.
  var element = ElementType.float32
  /// Whether these are the last channels of a block of bfloat16, whose other half becomes zero.
  var fillsBlock = false

  var name: String {
    "winograd_output_\(target.vectorName)_\(transform.name)_\(shape.rows.outputs)x\(shape.columns.outputs)"
      + (epilogue.addsResidual ? "_add" : "") + (epilogue.activation.map { "_\($0.function.rawValue)" } ?? "")
      + (element == .float32 ? "" : "_\(element.rawValue)") + (fillsBlock ? "_half" : "")
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    let k = code.assembler, lanes = target.lanes, inputs = transform.inputs
    let input = GeneralRegister.rax, output = GeneralRegister.rsi, tiles = GeneralRegister.rcx
    let bias = GeneralRegister.rdx, residual = GeneralRegister.r8
    let registers = WinogradRegisters(code, transform, rows: transform.outputs)
    let t = registers.temporaries, biasVector = registers.spare
    k.beginFrame(byteCount: registers.byteCount)
    k.mov(input, GeneralRegister.rdi[0])
    k.mov(output, GeneralRegister.rdi[8])
    k.mov(tiles, GeneralRegister.rdi[16])
    k.mov(bias, GeneralRegister.rdi[24])
    k.mov(residual, GeneralRegister.rdi[32])
    k.loop(tiles) {
      for half in 0..<(16 / lanes) {
        let offset = half * lanes * 4
        for column in shape.columns.positions(of: transform) {
          let m = registers.column(column)
          for row in shape.rows.positions(of: transform) {
            code.load(m[row], input[(row * inputs + column) * positionStride + offset])
          }
          code.transformOutput(transform, isShort: shape.rows.isShort, m, t)
          registers.keep(column, rows: 0..<shape.rows.outputs)
        }
        if epilogue.hasBias { code.load(biasVector, bias[offset]) }
        for row in 0..<shape.rows.outputs {
          let m = registers.row(row, columns: shape.columns.positions(of: transform))
          code.transformOutput(transform, isShort: shape.columns.isShort, m, t)
          for column in 0..<shape.columns.outputs {
            let place = row * rowStride + column * 64 + offset
            if epilogue.hasBias { code.add(m[column], m[column], biasVector) }
            if epilogue.addsResidual { code.add(m[column], m[column], residual[place], of: element, temporary: t[0]) }
            if let activation = epilogue.activation {
              code.apply(activation, to: m[column], temporaries: t, isRounded: element == .bfloat16)
            }
            if element == .bfloat16 {
              code.storeRounded(output[place], m[column], fillsBlock: fillsBlock)
            } else {
              code.store(output[place], m[column])
            }
          }
        }
      }
      k.add(input, 64)
      k.add(output, shape.columns.step(of: transform) * 64)
      if epilogue.addsResidual { k.add(residual, shape.columns.step(of: transform) * 64) }
    }
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
  /// 16 floats; of levels, integers.
  var bias: UnsafeRawPointer
  /// Laid out like the result.
  var residual: UnsafeRawPointer
  /// Of levels: 16 floats, and the `RepeatedNumbers` of a requantisation.
  var multipliers, numbers: UnsafeRawPointer?
}

extension VectorCode {
  /// Fetches some rows of the pixels that belong to a tile alone into the second cache.
  func fetch(
    _ tile: GeneralRegister, rows: Range<Int>, _ rowStride: Int, _ shape: WinogradTiles.Shape,
    _ transform: WinogradTransform
  ) {
    for row in rows {
      for column in 0..<shape.columns.step(of: transform) {
        assembler.prefetcht1(tile[row * rowStride + column * BlockedTensor.pixelByteCount])
      }
    }
  }
}

extension WinogradTiles.Shape.Side {
  /// The inputs that it reads.
  func inputs(of transform: WinogradTransform) -> Range<Int> { 0..<transform.inputs - (isShort ? 1 : 0) }

  /// Pixels from a tile to the next one like it.
  func step(of transform: WinogradTransform) -> Int { transform.outputs - (isShort ? 1 : 0) }

  /// The positions that it has.
  func positions(of transform: WinogradTransform) -> [Int] {
    (0..<transform.inputs).filter { !isShort || $0 != WinogradTransform.shortPosition }
  }
}

extension Assembler {
  /// Begins a function with `byteCount` bytes of its own at `rsp`, aligned to a cache line.
  /// - Parameter saved: registers that the caller has afterwards as before.
  func beginFrame(byteCount: Int, saving saved: [GeneralRegister] = []) {
    push(.rbp)
    mov(.rbp, .rsp)
    for register in saved { push(register) }
    sub(.rsp, byteCount)
    and(.rsp, -64)
  }

  /// Returns from it.
  func endFrame(saving saved: [GeneralRegister] = []) {
    mov(.rsp, .rbp)
    if !saved.isEmpty { sub(.rsp, 8 * saved.count) }
    for register in saved.reversed() { pop(register) }
    pop(.rbp)
    vzeroupper()
    ret()
  }
}
