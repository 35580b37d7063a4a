import CNNCore
import X86Assembler

/// Brings a filter into the order in which products read it: for every summed channel and tap, the result's channels side
/// by side.
///
/// Of bfloat16 two channels share a word: both are rounded and interleaved, in the second one's turn.
///
/// In the parameter the numbers of one channel are neighbours and those of different channels far apart. So four
/// neighbours are loaded for each lane of a vector, and transposed in registers.
struct FilterPackingKernel: Hashable, Sendable {
  /// A number that each lane has, or two that share a word, in one round of the loop.
  struct Column: Hashable, Sendable {
    /// Bytes from the lane's first number to this one, or to the first of two, and from the round's first vector to the
    /// vector of these.
    let source, place: Int
    /// What it is multiplied by, beside the lane's scale.
    var factor: Float = 1
  }

  let target: CodeTarget
  /// The lanes that are written, 8 or 16, and those for which there are channels; the others become zero.
  let lanes, usedLanes: Int
  /// Bytes from the numbers of one lane to those of the next.
  let laneStride: Int
  /// How many bytes of each lane may be read in a round from its first number on, or from the first one of each channel that
  /// lies behind these; at least 16, unless lanes are neighbours.
  let span: Int
  let columns: [Column]
  /// Bytes from a word's first number to its second one, of bfloat16; nil where words are float32.
  var halfStride: Int?
  /// Bytes from one round to the next.
  let sourceStep, placeStep: Int
  /// What transforms the columns, which are then the filter's taps.
  var transform: WinogradFilterTransform?
  /// Whether results go past the caches.
  var isStreamed = false

  /// Whether there is code for lanes so far apart.
  static func isPossible(lanes: Int, usedLanes: Int, laneStride: Int, span: Int) -> Bool {
    laneStride == 4 ? lanes == usedLanes : span >= 16
  }

  var name: String {
    let kind = transform.map { "winograd_\($0.transform.name)_" } ?? ""
    return "pack_\(kind)\(target.vectorName)_\(usedLanes)of\(lanes)x\(columns.count)"
      + (halfStride == nil ? "" : "_bfloat16")
  }

  func code() -> VectorCode {
    let code = VectorCode(target)
    Emitter(kernel: self, code: code).emit()
    return code
  }
}

/// What it is called with.
struct FilterPackingArguments {
  /// What each lane is multiplied by.
  var scale: SIMD16<Float>
  /// The first round's numbers of the first lane, and the place of its first vector.
  var source: UnsafeRawPointer
  var place: UnsafeMutableRawPointer
  /// How many rounds, at least 1.
  var rounds: Int
}

/// Writes the code of one kernel.
private struct Emitter {
  let kernel: FilterPackingKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let source = GeneralRegister.rax, place = GeneralRegister.rdx, rounds = GeneralRegister.rcx

  /// The lanes of a register, and the registers of all lanes.
  var width: Int { min(kernel.lanes, kernel.target.lanes) }
  var parts: Range<Int> { 0..<kernel.lanes / width }

  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: width) }
  /// Column `index` of four, which was a row of them.
  func row(_ index: Int, _ part: Int) -> WideRegister { register(part * 4 + index) }
  func temporary(_ index: Int) -> WideRegister { register(8 + index) }
  func scale(_ part: Int) -> WideRegister { register(12 + part) }
  /// The order in which rounded numbers become words.
  var order: WideRegister { register(14) }

  /// A number of a column.
  private struct Number {
    let column: Int
    /// Whether it is the second one of a word.
    let isSecond: Bool
    /// Where it is, and from where on its lane may be read.
    let source, first: Int
  }

  /// All numbers of a round in the order in which they lie, of a word the first one before the second one.
  private var numbers: [Number] {
    let halves = kernel.halfStride.map { [0, $0] } ?? [0]
    return halves.enumerated().flatMap { half, distance in
      kernel.columns.indices.map {
        Number(
          column: $0, isSecond: half == 1, source: kernel.columns[$0].source + distance,
          first: distance < kernel.span ? 0 : distance)
      }
    }.sorted { $0.source < $1.source }
  }

  func emit() {
    k.beginFrame(byteCount: kernel.columns.count * 64)
    k.mov(source, GeneralRegister.rdi[64])
    k.mov(place, GeneralRegister.rdi[72])
    k.mov(rounds, GeneralRegister.rdi[80])
    for part in parts { code.load(scale(part), GeneralRegister.rdi[part * width * 4]) }
    if kernel.halfStride != nil {
      code.load(order, k.constantVector((0..<width).map { UInt32($0 | ($0 + width) << 16) }))
    }
    k.loop(rounds) {
      if kernel.laneStride == 4 { emitCopies() } else { emitFours() }
      kernel.transform?.emit(
        code, parts: parts.count, lanes: width, tap: { GeneralRegister.rsp[$0 * 64 + $1 * width * 4] },
        store: { store(place[$0 + $1 * width * 4], $2) })
      k.add(source, kernel.sourceStep)
      k.add(place, kernel.placeStep)
    }
    // What went past the caches is there for other threads too.
    if kernel.isStreamed { k.sfence() }
    k.endFrame()
  }

  /// Lanes that are neighbours need not be transposed.
  private func emitCopies() {
    for number in numbers {
      for part in parts { code.load(row(0, part), source[number.source + part * width * 4]) }
      finish(number) { row(0, $0) }
    }
  }

  /// Four neighbours at a time, of which the columns take some.
  private func emitFours() {
    var rest = numbers[...]
    while let first = rest.first {
      let start = min(first.source, first.first + kernel.span - 16)
      let four = rest.prefix { $0.source < start + 16 && $0.first == first.first }
      rest = rest.dropFirst(four.count)
      let needed = four.map { ($0.source - start) / 4 }
      for part in parts { transpose(part, at: start, needed) }
      for (number, index) in zip(four, needed) { finish(number) { row(index, $0) } }
    }
  }

  /// Loads four neighbours of each lane, and makes of them those of the vectors that are needed.
  private func transpose(_ part: Int, at start: Int, _ needed: [Int]) {
    // Row k holds lanes k, k + 4... in its parts of 128 bits, so that what follows stays within these.
    for index in 0..<4 {
      for quarter in 0..<width / 4 {
        let lane = part * width + quarter * 4 + index, d = row(index, part).number
        guard lane < kernel.usedLanes else {
          if quarter == 0 { code.zero(row(index, part)) }
          continue
        }
        let address = source[start + lane * kernel.laneStride]
        if quarter == 0 {
          k.vmovups(Xmm(d), address)
        } else if width == 16 {
          k.vinsertf32x4(Zmm(d), Zmm(d), address, quarter)
        } else {
          k.vinsertf128(Ymm(d), Ymm(d), address, quarter)
        }
      }
    }
    let r = (0..<4).map { row($0, part) }, t = (0..<4).map(temporary)
    for half in 0..<2 where needed.contains(where: { $0 / 2 == half }) {
      code.unpack(t[2 * half], r[0], r[1], upper: half == 1)
      code.unpack(t[2 * half + 1], r[2], r[3], upper: half == 1)
    }
    for number in needed {
      let half = number / 2
      code.shuffle(r[number], t[2 * half], t[2 * half + 1], number % 2 == 0 ? 0b01_00_01_00 : 0b11_10_11_10)
    }
  }

  /// Scales a column and writes it, to the stack where it will be transformed or waits for the other half of its words.
  private func finish(_ number: Number, _ vector: (_ part: Int) -> WideRegister) {
    let column = kernel.columns[number.column]
    for part in parts {
      if column.factor == 1 {
        code.multiply(vector(part), vector(part), scale(part))
      } else {
        code.multiply(temporary(0), scale(part), code.constant(column.factor, lanes: width))
        code.multiply(vector(part), vector(part), temporary(0))
      }
    }
    for part in parts {
      let waiting = GeneralRegister.rsp[number.column * 64 + part * width * 4]
      if kernel.transform != nil || kernel.halfStride != nil && !number.isSecond {
        code.store(waiting, vector(part))
        continue
      }
      if kernel.halfStride != nil {
        code.load(temporary(0), waiting)
        code.roundToBFloat16(temporary(0), temporary(0), vector(part))
        code.permuteWords(vector(part), temporary(0), order)
      }
      store(place[column.place + part * width * 4], vector(part))
    }
  }

  private func store(_ address: Address, _ vector: WideRegister) {
    if kernel.isStreamed { code.stream(address, vector) } else { code.store(address, vector) }
  }
}
