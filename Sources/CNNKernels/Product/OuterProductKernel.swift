import CNNCore
import X86Assembler

/// The kernel behind the gradient of every filter: the sum over pixels of the products of each of some floats of a pixel
/// in `a` with each of some floats of a pixel in `b`.
///
/// All of a call's pixels are summed in registers, one for each row of the result: a pixel takes one load of `b`'s vector
/// and as many multiply-adds as there are rows, with floats of `a` out of memory. Where the registers do not suffice for
/// all rows, the pixels pass by several times.
///
/// Pixels lie in three loops (columns, rows, images) with strides that the caller gives, so one kernel serves pixels that
/// are read with a stride, with a border left out, and tiles of transformed images.
struct OuterProductKernel: Hashable, Sendable {
  let target: CodeTarget
  /// How many floats of `a`.
  var rows: Int
  /// How many floats of `b`: 16 or 8.
  var lanes: Int
  /// What is multiplied.
  var numbers = Numbers.floats
  /// Whether `ahead` of the arguments is fetched into the second cache, or else `a` and `b` into the first one.
  var fetchesAhead = false

  /// What is multiplied.
  enum Numbers: String, Sendable {
    case floats
    /// Words of two numbers of bfloat16, of which both products are added; each counts as one float.
    case pairs
    /// Floats of `a` with numbers of `b` of bfloat16.
    case widened
  }

  var name: String {
    "outer_product_\(target.vectorName)_\(rows)x\(lanes)" + (numbers == .floats ? "" : "_\(numbers)")
      + (fetchesAhead ? "_ahead" : "")
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    Emitter(kernel: self, code: code).emit()
    return code
  }

  /// The vector registers that a row takes.
  private static func registers(lanes: Int, _ target: CodeTarget) -> Int { max(1, lanes / target.lanes) }

  /// The most rows that are summed at a time.
  static func rowLimit(lanes: Int, _ target: CodeTarget) -> Int {
    // One register for each part of `b`, and without embedded broadcast one for the float of `a`.
    let registers = registers(lanes: lanes, target)
    return (target.registerCount - registers - (target.hasAVX512 ? 0 : 1)) / registers
  }

  /// The lanes of each register of a row.
  fileprivate var columns: [Int] {
    let count = Self.registers(lanes: lanes, target)
    return Array(repeating: lanes / count, count: count)
  }

  /// Rows that are summed together.
  fileprivate var groups: [Range<Int>] {
    let (sizes, counts) = Tiling.cut(rows, Self.rowLimit(lanes: lanes, target))
    var result: [Range<Int>] = [], first = 0
    for (size, count) in zip(sizes, counts) {
      for _ in 0..<count {
        result.append(first..<first + size)
        first += size
      }
    }
    return result
  }
}

/// What an outer product is called with; its code knows the offsets.
struct OuterProductArguments {
  /// The first pixel on both sides.
  var a, b: UnsafeRawPointer
  /// The first row of the result, and bytes to the next.
  var sums: UnsafeMutableRawPointer
  var rowStride: Int
  /// Whether to add to what is there: 1, or 0 to overwrite it.
  var adds: Int
  var pixels: PixelLoops
  /// How many such products there are, and bytes from one to the next.
  var repetitions = 1
  var repetitionA = 0, repetitionB = 0, repetitionSums = 0
  /// What will be read after this call, and bytes to go on by for each pixel of each repetition.
  var ahead: UnsafeRawPointer?
  var aheadStep = 0
}

/// The pixels over which a product is summed: three loops, innermost first, each with the bytes that it goes on by on both
/// sides.
struct PixelLoops: Hashable, Sendable {
  var pixels = 1, pixelA = 0, pixelB = 0
  /// From the end of one row to the beginning of the next.
  var lines = 1, lineA = 0, lineB = 0
  /// From the end of one image to the beginning of the next.
  var images = 1, imageA = 0, imageB = 0

  /// One of the loops before they are put together.
  struct Loop {
    var count, strideA, strideB: Int
  }

  /// Pixels, rows and images with their strides. Loops that continue each other become one.
  init(_ pixels: Loop, _ lines: Loop, _ images: Loop) {
    var loops = [pixels]
    for loop in [lines, images] where loop.count > 1 {
      let last = loops[loops.count - 1]
      if last.count == 1 {
        loops[loops.count - 1] = loop
      } else if last.count * last.strideA == loop.strideA, last.count * last.strideB == loop.strideB {
        loops[loops.count - 1].count *= loop.count
      } else {
        loops.append(loop)
      }
    }
    (self.pixels, pixelA, pixelB) = (loops[0].count, loops[0].strideA, loops[0].strideB)
    if loops.count > 1 {
      self.lines = loops[1].count
      lineA = loops[1].strideA - self.pixels * pixelA
      lineB = loops[1].strideB - self.pixels * pixelB
    }
    if loops.count > 2 {
      self.images = loops[2].count
      imageA = loops[2].strideA - self.lines * loops[1].strideA
      imageB = loops[2].strideB - self.lines * loops[1].strideB
    }
  }

  /// Neighbouring lines of 64 bytes on both sides.
  init(tiles: Int) {
    (pixels, pixelA, pixelB) = (tiles, BlockedTensor.pixelByteCount, BlockedTensor.pixelByteCount)
  }
}

/// Writes the code of one kernel.
private struct Emitter {
  let kernel: OuterProductKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi, a = GeneralRegister.rax, b = GeneralRegister.rsi
  let pixels = GeneralRegister.rcx, lines = GeneralRegister.rdx, images = GeneralRegister.r10
  let pixelA = GeneralRegister.r8, pixelB = GeneralRegister.r9, row = GeneralRegister.r11
  // What stays during a repetition.
  let firstA = GeneralRegister.rbx, firstB = GeneralRegister.r12, firstRow = GeneralRegister.r13
  let repetitions = GeneralRegister.r14, ahead = GeneralRegister.r15

  /// How far ahead `a` is fetched, in bytes, and twice as far `b`: the processor's own fetching stops at the end of every
  /// 4 KiB.
  static let fetchDistance = 1024

  func sum(_ row: Int, _ column: Int) -> WideRegister {
    WideRegister(number: row * kernel.columns.count + column, lanes: kernel.columns[column])
  }

  func emit() {
    let saved = [firstA, firstB, firstRow, repetitions] + (kernel.fetchesAhead ? [ahead] : [])
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    for register in saved { k.push(register) }
    k.mov(firstA, arguments[0])
    k.mov(firstB, arguments[8])
    k.mov(firstRow, arguments[16])
    k.mov(pixelA, arguments[48])
    k.mov(pixelB, arguments[56])
    k.mov(repetitions, arguments[112])
    if kernel.fetchesAhead { k.mov(ahead, arguments[144]) }
    let next = k.newLabel()
    k.bind(next)
    k.mov(row, firstRow)
    for group in kernel.groups { emit(group) }
    k.add(firstA, arguments[120])
    k.add(firstB, arguments[128])
    k.add(firstRow, arguments[136])
    k.dec(repetitions)
    k.jump(.ne, next)
    for register in saved.reversed() { k.pop(register) }
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  /// Sums some rows and leaves `row` at the next one.
  private func emit(_ group: Range<Int>) {
    initialize(group.count)
    fetchNextSums(group.count)
    k.mov(a, firstA)
    k.mov(b, firstB)
    loop(images, count: 88, stepA: 96, stepB: 104) {
      loop(lines, count: 64, stepA: 72, stepB: 80) {
        k.mov(pixels, arguments[40])
        k.loop(pixels) {
          addPixel(group)
          k.add(a, pixelA)
          k.add(b, pixelB)
        }
      }
    }
    for index in 0..<group.count {
      for column in kernel.columns.indices { code.store(self.row[column * 32], sum(index, column)) }
      k.add(row, arguments[24])
    }
  }

  /// A loop whose count and steps are arguments.
  private func loop(_ counter: GeneralRegister, count: Int, stepA: Int, stepB: Int, _ body: () -> Void) {
    k.mov(counter, arguments[count])
    let next = k.newLabel()
    k.bind(next)
    body()
    k.add(a, arguments[stepA])
    k.add(b, arguments[stepB])
    k.dec(counter)
    k.jump(.ne, next)
  }

  /// Begins with what is there or with zeros.
  private func initialize(_ count: Int) {
    let zero = k.newLabel(), start = k.newLabel()
    k.mov(a, arguments[32])
    k.test(a, a)
    k.jump(.e, zero)
    k.mov(a, row)
    for index in 0..<count {
      for column in kernel.columns.indices { code.load(sum(index, column), a[column * 32]) }
      k.add(a, arguments[24])
    }
    k.jump(start)
    k.bind(zero)
    for index in 0..<count {
      for column in kernel.columns.indices { code.zero(sum(index, column)) }
    }
    k.bind(start)
  }

  /// Fetches what the next repetition begins with. Behind the last one are perhaps another thread's sums.
  private func fetchNextSums(_ count: Int) {
    let end = k.newLabel()
    k.cmp(repetitions, 1)
    k.jump(.e, end)
    k.mov(a, row)
    k.add(a, arguments[136])
    for _ in 0..<count {
      k.prefetcht0(a[0])
      k.add(a, arguments[24])
    }
    k.bind(end)
  }

  private func addPixel(_ group: Range<Int>) {
    let columns = kernel.columns, first = group.count * columns.count
    func vector(_ column: Int) -> WideRegister { WideRegister(number: first + column, lanes: columns[column]) }
    for column in columns.indices {
      if kernel.numbers == .widened {
        code.loadBFloat16(vector(column), b[column * 16])
      } else {
        code.load(vector(column), b[column * 32])
      }
    }
    if kernel.fetchesAhead {
      k.prefetcht1(ahead[0])
      k.add(ahead, arguments[152])
    } else {
      k.prefetcht0(a[Self.fetchDistance])
      k.prefetcht0(b[2 * Self.fetchDistance])
    }
    for (index, row) in group.enumerated() {
      if kernel.target.hasAVX512 {
        let word = VectorCode.Operand.memory(a[row * 4].splat)
        if kernel.numbers == .pairs {
          code.multiplyAddPairs(sum(index, 0), vector(0), word)
        } else {
          code.multiplyAdd(sum(index, 0), vector(0), word)
        }
      } else {
        let element = WideRegister(number: first + columns.count, lanes: kernel.target.lanes)
        code.broadcast(element, a[row * 4])
        for column in columns.indices { code.multiplyAdd(sum(index, column), vector(column), element) }
      }
    }
  }
}
