import CNNCore
import X86Assembler

/// The kernel of products of bfloat16 or bytes by tiles: `ProductKernel`'s matrix product with up to 2 x 2 tiles of sums in place of
/// vector registers.
///
/// The left side is read where it lies: a tile's row is a pixel's block of 64 bytes of channels, and its rows are pixels at
/// a constant distance. On the right are the packed filter's tiles of 64 bytes of input by 16 output channels, in the order
/// in which they are read. All of the depth is summed in tiles; then these go to the stack, and from there through the
/// epilogue, in float32, to the places of those pixels that are results. So a tile may run over a border between two rows of an image.
struct TileProductKernel: Hashable, Sendable {
  let target: CodeTarget
  /// How many tiles of pixels follow each other, and of output channels stand side by side: up to 2 of each, or 4 and 1.
  var tileRows, tileColumns: Int
  /// The pixels of a tile, up to 16.
  var pixels: Int
  /// Bytes of the left side from one pixel to the next, and from one tile to the next.
  var pixelStride, nextTile: Int
  /// Loops along the depth, outermost first.
  var loops: [DepthLoops.Loop]
  /// How many lines of 64 bytes each step of the depth fetches of what is read next: into the first cache where that is
  /// soon, else into the second.
  var fetchedLines = 0
  var fetchesSoon = false
  /// How the results lie.
  var output: Output
  /// What happens to the sums.
  var epilogue: Epilogue
  /// What happens to sums of bytes, beside the addition of a residual; nil where bfloat16 is multiplied.
  var requantizing: Requantizing?

  /// How results, and residuals like them, lie.
  struct Output: Hashable, Sendable {
    /// float32, bfloat16 or uint8.
    var element: ElementType
    /// Whether a pixel's block of bfloat16 is written whole; else half of it, beside another half.
    var isWholeBlock = true
    /// Bytes from one pixel to the next, and of float32 from a block of 16 channels to the next.
    var pixelStride, blockStride: Int
  }

  /// Bytes of a filter's tile.
  static let filterTileByteCount = 1024

  /// Whether there is code for a target.
  static func isPossible(on target: CodeTarget) -> Bool {
    target.instructionSet.isSuperset(of: [.amxBF16, .avx512BF16])
  }

  /// Whether there is code for products of bytes.
  static func isPossibleOfBytes(on target: CodeTarget) -> Bool {
    target.instructionSet.isSuperset(of: [.amxInt8, .avx512])
  }

  /// The shapes of its tiles: sums in the first four, then two of the left side and two of the right.
  static func configuration(pixels: Int) -> TileConfiguration {
    var tiles = TileConfiguration()
    for tile in TileRegister.all[..<6] { tiles[tile] = .init(rows: pixels, rowByteCount: 64) }
    for tile in TileRegister.all[6...] { tiles[tile] = .init(rows: 16, rowByteCount: 64) }
    return tiles
  }

  /// What sets these shapes, and what gives them up.
  static func setting(pixels: Int, _ library: KernelLibrary) -> (configure: GeneratedKernel, release: GeneratedKernel) {
    let configuration = configuration(pixels: pixels), target = library.target
    let configure = library.kernel(configuration, name: "tiles_of_\(pixels)_pixels") {
      let code = VectorCode(target)
      code.assembler.configureTiles(configuration)
      code.assembler.ret()
      return code
    }
    let release = library.kernel(TileConfiguration(), name: "tiles_released") {
      let code = VectorCode(target)
      code.assembler.tilerelease()
      code.assembler.ret()
      return code
    }
    return (configure, release)
  }

  /// A readable name, which is the kernel's identity in dumps and profiles.
  var name: String {
    var parts = [requantizing == nil ? "tiles_bf16" : "tiles_int8", "\(tileRows * pixels)x\(tileColumns * 16)"]
    parts.append("k" + (loops.map { "\($0.count)" } + ["\(requantizing == nil ? 32 : 64)"]).joined(separator: "x"))
    if fetchedLines > 0 { parts.append("fetch\(fetchedLines)\(fetchesSoon ? "soon" : "")") }
    if output.element == .float32 { parts.append("float32") }
    if epilogue.hasBias { parts.append("bias") }
    if epilogue.addsResidual { parts.append("add") }
    if let activation = epilogue.activation { parts.append(activation.function.rawValue) }
    if let suffix = requantizing?.suffix { parts.append(suffix) }
    return parts.joined(separator: "_")
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    TileProductEmitter(kernel: self, code: code).emit()
    return code
  }
}

/// Neighbouring results of a round of a `TileProductKernel`.
struct TileSpan: BitwiseCopyable, Sendable {
  /// The first one's place among the round's sums, in bytes, and how many there are.
  var source, pixels: Int
  /// Where the first one goes, in bytes.
  var output: Int
}

/// What one round of a `TileProductKernel` computes.
struct TileRound: BitwiseCopyable, Sendable {
  /// Where its first pixel lies, in bytes.
  var input: Int
  /// How many spans its results are.
  var spans: Int
}

/// What a `TileProductKernel` is called with; its code knows the offsets.
struct TileProductArguments {
  var input, filter, bias: UnsafeRawPointer
  var output: UnsafeMutableRawPointer
  var residual: UnsafeRawPointer
  /// What is fetched.
  var fetched: UnsafeRawPointer
  /// What is computed in one round after the other.
  var rounds: UnsafePointer<TileRound>
  var spans: UnsafePointer<TileSpan>
  var roundCount: Int
  /// Of products of bytes: the multiplier of each output channel, and the numbers of a `Requantization`.
  var multipliers, constants: UnsafeRawPointer
}

/// Writes the code of one `TileProductKernel`.
private struct TileProductEmitter {
  let kernel: TileProductKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let input = GeneralRegister.r10, filter = GeneralRegister.rcx, output = GeneralRegister.r11
  let fetched = GeneralRegister.rdx, rounds = GeneralRegister.r8, spans = GeneralRegister.r9
  let roundCount = GeneralRegister.r15
  /// The distance of rows, of the left side and of everything else.
  let leftStride = GeneralRegister.r13, lineStride = GeneralRegister.r14
  // While summing: both sides, as they move along the depth.
  let a = GeneralRegister.rax, b = GeneralRegister.rsi
  let counters: [GeneralRegister] = [.rdi, .rbx, .r12]
  // Afterwards: a result's sums, its place and that of its residual.
  let sums = GeneralRegister.rax, place = GeneralRegister.rsi, term = GeneralRegister.rdi
  let pixelCount = GeneralRegister.rbx, spanCount = GeneralRegister.r12
  let preserved: [GeneralRegister] = [.rbx, .r12, .r13, .r14, .r15]

  func sum(_ row: Int, _ column: Int) -> TileRegister { TileRegister.all[row * kernel.tileColumns + column] }
  func left(_ row: Int) -> TileRegister { TileRegister.all[4 + row % 2] }
  func right(_ column: Int) -> TileRegister { TileRegister.all[6 + column] }
  /// Bytes on the stack from the sums of one column of tiles to those of the next, and of all.
  var columnByteCount: Int { kernel.tileRows * kernel.pixels * 64 }
  var sumByteCount: Int { kernel.tileColumns * columnByteCount }
  var residual: Address { GeneralRegister.rsp[sumByteCount + 8] }
  /// Where the coefficients of pieces lie, behind those.
  var pieces: Int { sumByteCount + 64 }
  var hasPieces: Bool { kernel.requantizing?.hasPieces == true }
  var stackByteCount: Int { pieces + (hasPieces ? ActivationPieces.byteCount : 0) }

  func emit() {
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    for register in preserved { k.push(register) }
    // Behind the sums, how many spans the last round has, none before the first; and where residuals are.
    k.sub(.rsp, stackByteCount)
    k.and(.rsp, -64)
    let arguments = GeneralRegister.rdi, waitingSpans = GeneralRegister.rsp[sumByteCount]
    for (index, register) in [input, filter, .rax, output, .rbx, fetched, rounds, spans, roundCount].enumerated() {
      k.mov(register, arguments[8 * index])
    }
    k.mov(residual, .rbx)
    if let requantizing = kernel.requantizing {
      k.mov(.rsi, arguments[8 * 9])
      for column in 0..<kernel.tileColumns {
        let place = requantizing.byteOffset(ofChannel: 16 * column)
        code.load(multiplier(column), GeneralRegister.rsi[place])
        if requantizing.hasInverses {
          code.load(inverse(column), GeneralRegister.rsi[place + 64])
          code.load(zeroPoint(column), GeneralRegister.rsi[place + 128])
        }
      }
      k.mov(.rsi, arguments[8 * 10])
      for constant in RequantizationConstant.floats {
        code.broadcast(register(of: constant), GeneralRegister.rsi[4 * constant.rawValue])
      }
      if hasPieces {
        for offset in stride(from: 0, to: ActivationPieces.byteCount, by: 64) {
          code.load(register(0), GeneralRegister.rsi[4 * RequantizationConstant.allCases.count + offset])
          code.store(GeneralRegister.rsp[pieces + offset], register(0))
        }
      }
    }
    if kernel.epilogue.hasBias {
      for column in 0..<kernel.tileColumns { code.load(bias(column), GeneralRegister.rax[64 * column]) }
    }
    k.mov(leftStride, kernel.pixelStride)
    k.mov(lineStride, 64)
    k.mov(waitingSpans, 0)

    // A round's sums go to memory after the next one's products in the program, so that the processor does both at once.
    let next = k.newLabel(), last = k.newLabel(), end = k.newLabel()
    k.align(32)
    k.bind(next)
    k.test(roundCount, roundCount)
    k.jump(.e, last)
    multiply()
    k.bind(last)
    k.mov(spanCount, waitingSpans)
    finish()
    k.test(roundCount, roundCount)
    k.jump(.e, end)
    storeSums()
    k.mov(.rax, rounds[8])
    k.mov(waitingSpans, .rax)
    k.add(rounds, MemoryLayout<TileRound>.stride)
    k.dec(roundCount)
    k.jump(next)
    k.bind(end)

    k.lea(.rsp, GeneralRegister.rbp[-8 * preserved.count])
    for register in preserved.reversed() { k.pop(register) }
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  /// The sums of one round.
  private func multiply() {
    k.mov(a, rounds[0])
    k.add(a, input)
    k.mov(b, filter)
    for row in 0..<kernel.tileRows {
      for column in 0..<kernel.tileColumns { k.tilezero(sum(row, column)) }
    }
    loop(0)
  }

  /// Loop number `level` and those within it. Leaves `a` where the loop would go on.
  private func loop(_ level: Int) {
    guard level < kernel.loops.count else { return step() }
    let loop = kernel.loops[level]
    k.mov(counters[level], loop.count)
    k.loop(counters[level]) {
      self.loop(level + 1)
      let advanced = level + 1 < kernel.loops.count ? kernel.loops[level + 1].count * kernel.loops[level + 1].stride : 0
      if loop.stride != advanced { k.add(a, loop.stride - advanced) }
    }
  }

  /// 32 channels of the depth. Where another thread has a part of the processor, loads and products take turns, and fewer
  /// changes between the two were measured to be an eighth faster; where none has, the order makes no difference.
  private func step() {
    for line in 0..<kernel.fetchedLines {
      let address = fetched[64 * line]
      if kernel.fetchesSoon { k.prefetcht0(address) } else { k.prefetcht1(address) }
    }
    if kernel.fetchedLines > 0 { k.add(fetched, 64 * kernel.fetchedLines) }
    for column in 0..<kernel.tileColumns {
      k.tileloadd(right(column), b[lineStride, 1, column * TileProductKernel.filterTileByteCount])
    }
    for first in stride(from: 0, to: kernel.tileRows, by: 2) {
      let rows = first..<min(first + 2, kernel.tileRows)
      for row in rows { k.tileloadd(left(row), a[leftStride, 1, row * kernel.nextTile]) }
      for column in 0..<kernel.tileColumns {
        for row in rows {
          if kernel.requantizing == nil {
            k.tdpbf16ps(sum(row, column), left(row), right(column))
          } else {
            k.tdpbusd(sum(row, column), left(row), right(column))
          }
        }
      }
    }
    k.add(b, kernel.tileColumns * TileProductKernel.filterTileByteCount)
  }

  // MARK: - The way to memory

  private func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: 16) }
  private func bias(_ column: Int) -> WideRegister { register(30 + column) }
  private func multiplier(_ column: Int) -> WideRegister { register(28 + column) }
  private func inverse(_ column: Int) -> WideRegister { register(26 + column) }
  private func zeroPoint(_ column: Int) -> WideRegister { register(18 + column) }
  private func register(of constant: RequantizationConstant) -> WideRegister { register(20 + constant.rawValue) }

  private func storeSums() {
    for column in 0..<kernel.tileColumns {
      for row in 0..<kernel.tileRows {
        let offset = column * columnByteCount + row * kernel.pixels * 64
        k.tilestored(GeneralRegister.rsp[lineStride, 1, offset], sum(row, column))
      }
    }
  }

  /// The epilogue of the sums that lie on the stack, if there are any.
  private func finish() {
    let nextSpan = k.newLabel(), spanEnd = k.newLabel(), end = k.newLabel()
    k.test(spanCount, spanCount)
    k.jump(.e, end)
    k.bind(nextSpan)
    k.mov(sums, spans[0])
    k.add(sums, .rsp)
    k.mov(pixelCount, spans[8])
    k.mov(place, spans[16])
    if kernel.epilogue.addsResidual {
      k.mov(term, place)
      k.add(term, residual)
    }
    k.add(place, output)
    let several = 4
    if isShort {
      // What counts the pixels costs as much as what is done to each.
      let nextPixels = k.newLabel(), rest = k.newLabel()
      k.sub(pixelCount, several)
      k.jump(.l, rest)
      k.align(16)
      k.bind(nextPixels)
      finish(0..<several)
      advance(several)
      k.sub(pixelCount, several)
      k.jump(.ge, nextPixels)
      k.bind(rest)
      k.add(pixelCount, several)
      k.jump(.e, spanEnd)
    }
    k.loop(pixelCount, alignment: 16) {
      finish(0..<1)
      advance(1)
    }
    k.bind(spanEnd)
    k.add(spans, MemoryLayout<TileSpan>.stride)
    k.dec(spanCount)
    k.jump(.ne, nextSpan)
    k.bind(end)
  }

  /// Whether little is done to each pixel.
  private var isShort: Bool { kernel.epilogue.temporaryCount == 0 && kernel.requantizing?.function == nil }

  private func advance(_ pixels: Int) {
    k.add(sums, 64 * pixels)
    k.add(place, kernel.output.pixelStride * pixels)
    if kernel.epilogue.addsResidual { k.add(term, kernel.output.pixelStride * pixels) }
  }

  /// The epilogue of 16 or 32 channels of some pixels, counted from the next one.
  private func finish(_ pixels: Range<Int>) {
    guard let requantizing = kernel.requantizing else {
      for pixel in pixels { finish(pixel: pixel) }
      return
    }
    if requantizing.hasPieces { return finishByPieces(pixels) }
    for pixel in pixels { finish(pixel: pixel, requantizing) }
  }

  /// The epilogue of a pixel's sums of bfloat16.
  private func finish(pixel: Int) {
    let epilogue = kernel.epilogue, columns = 0..<kernel.tileColumns, offset = pixel * kernel.output.pixelStride
    let temporaries = (0..<max(1, epilogue.temporaryCount)).map { register(2 + $0) }
    for column in columns {
      let x = register(column), sum = sums[column * columnByteCount + pixel * 64]
      if epilogue.hasBias { code.add(x, bias(column), .memory(sum)) } else { code.load(x, sum) }
      if epilogue.addsResidual {
        if kernel.output.element == .bfloat16 {
          code.loadBFloat16(temporaries[0], term[offset + column * 32])
          code.add(x, x, temporaries[0])
        } else {
          code.add(x, x, .memory(term[offset + column * kernel.output.blockStride]))
        }
      }
      if let activation = epilogue.activation {
        code.apply(activation, to: x, temporaries: temporaries, isRounded: kernel.output.element == .bfloat16)
      }
      if kernel.output.element != .bfloat16 { code.store(place[offset + column * kernel.output.blockStride], x) }
    }
    guard kernel.output.element == .bfloat16 else { return }
    if kernel.tileColumns == 2 {
      code.roundToBFloat16(register(0), register(0), register(1))
    } else {
      // What is behind these 16 channels becomes 0.
      code.roundToBFloat16(register(0), register(0))
    }
    code.store(place[offset], WideRegister(number: 0, lanes: kernel.output.isWholeBlock ? 16 : 8))
  }

  /// Sums of bytes become levels, or the floats that they stand for; see `Requantization`.
  private func finish(pixel: Int, _ requantizing: Requantizing) {
    let offset = pixel * kernel.output.pixelStride
    for column in 0..<kernel.tileColumns {
      let x = register(column)
      scale(x, pixel: pixel, column: column, temporary: register(2))
      if let function = requantizing.function {
        code.apply(function, to: x, temporaries: (2..<2 + ExactActivation.temporaryCount).map(register))
        if requantizing.givesLevels {
          let own = requantizing.hasInverses
          code.multiplyInto(
            x, own ? inverse(column) : register(of: .inverse),
            adding: .register(own ? zeroPoint(column) : register(of: .zeroPoint)))
        }
      }
      if requantizing.givesLevels {
        code.maximum(x, x, register(of: .minimum))
        code.minimum(x, x, register(of: .maximum))
        code.toIntegers(x, x)
        code.storeBytes(place[offset + column * 16], x)
      } else {
        code.store(place[offset + column * kernel.output.blockStride], x)
      }
    }
  }

  /// x = the sums of 16 channels of a pixel, multiplied, and the term.
  private func scale(_ x: WideRegister, pixel: Int, column: Int, temporary t: WideRegister) {
    code.addIntegers(x, bias(column), sums[column * columnByteCount + pixel * 64])
    code.toFloats(x, x)
    if kernel.epilogue.addsResidual {
      code.loadBytes(t, term[pixel * kernel.output.pixelStride + column * 16])
      code.multiplyInto(t, register(of: .residualMultiplier), adding: .register(register(of: .term)))
      code.multiplyInto(x, multiplier(column), adding: .register(t))
    } else {
      code.multiplyInto(x, multiplier(column), adding: .register(register(of: .term)))
    }
  }

  /// Sums of bytes become levels by `ActivationPieces`.
  private func finishByPieces(_ pixels: Range<Int>) {
    let temporaries = (8..<14).map(register)
    var positions: [(register: WideRegister, offset: Int)] = []
    for pixel in pixels {
      for column in 0..<kernel.tileColumns {
        let x = register(positions.count)
        scale(x, pixel: pixel, column: column, temporary: temporaries[0])
        code.limitToIntegers(x, maximum: register(of: .maximum))
        positions.append((x, pixel * kernel.output.pixelStride + column * 16))
      }
    }
    code.storePieces(
      [positions], at: place,
      coefficients: ActivationPieces.coefficients(kernel.target) { GeneralRegister.rsp[pieces + $0] },
      temporaries: temporaries)
  }
}
