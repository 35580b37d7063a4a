import CNNCore
import X86Assembler

/// The kernel behind every convolution: a tile of a matrix product whose left side is read where it lies.
///
/// Rows are pixels of the input, columns output channels, and the depth is what is summed over: taps of the filter and
/// input channels. `a` is not packed: a row of the tile begins at a constant distance from the tile's first row, and
/// along the depth come runs of neighbouring words (16 of a block) inside loops (over blocks, rows and columns of the
/// filter). A word is 32 bits: a channel of float32, or neighbouring channels of a smaller type, which one instruction
/// multiplies and adds. The filter is packed in the order in which the kernel reads it. All of the depth is summed in
/// registers, in float32 or, of levels, as integers; on the way to memory the epilogue is applied.
struct ProductKernel: Hashable, Sendable {
  let target: CodeTarget
  /// Bytes from the tile's first row of `a` to each row.
  var rows: [Int]
  /// Lanes of each column of registers: 16s, or 8s, the last one perhaps 8 among 16s.
  var columns: [Int]
  /// What is summed over.
  var depth: DepthLoops
  /// Bytes from the tile's first pixel of the output to each row, and from a block of channels to the next.
  var outputRows: [Int]
  var outputBlockStride: Int
  /// Bytes from one tile to the next, for a call that computes several.
  var tileStep, outputTileStep: Int
  /// What happens to the sums.
  var epilogue = Epilogue()
  /// How far ahead the filter is fetched, in bytes; 0 where it comes from a near cache anyway. The processor's own
  /// prefetching stops at the end of every 4 KiB.
  var prefetchDistance = 0
  /// The type of the numbers of `a` and the filter, and of the output and the residual: each float32 or bfloat16; of
  /// levels, uint8 or int16 by signed numbers of the same size, and uint8 or float32.
  var input = ElementType.float32, output = ElementType.float32
  /// In which lane of the output's block the first column begins, where the columns go on into another block.
  var firstLane = 0
  /// Whether the last column is the first of a block of bfloat16 whose other lanes become zero.
  var fillsBlock = false
  /// What happens to sums of levels, beside the addition of a residual; nil where floats are multiplied.
  var requantizing: Requantizing?
  /// Whether words are multiplied as `ProductOfSums` says.
  var multipliesSums = false
}

/// What happens to a convolution's sums on their way to memory: bias, residual and activation, in this order.
public struct Epilogue: Hashable, Sendable {
  /// Whether a number per channel is added.
  public var hasBias = false
  /// Whether a tensor like the result is added.
  public var addsResidual = false
  /// What is applied last.
  public var activation: VectorActivation?

  /// Nothing, or some of it.
  public init(hasBias: Bool = false, addsResidual: Bool = false, activation: VectorActivation? = nil) {
    (self.hasBias, self.addsResidual, self.activation) = (hasBias, addsResidual, activation)
  }

  var temporaryCount: Int { activation?.temporaryCount ?? 0 }
}

/// What a product kernel is called with; its code knows the offsets.
struct ProductArguments {
  /// The first row of the first tile, at the first word of the depth.
  var a: UnsafeRawPointer
  /// The packed filter of these columns.
  var filter: UnsafeRawPointer
  /// One float for each lane of the columns; of levels, an integer.
  var bias: UnsafeRawPointer
  /// The first pixel of the result, and of the residual, which is laid out like it.
  var output: UnsafeMutableRawPointer
  var residual: UnsafeRawPointer
  /// How many tiles, one after the other.
  var tiles: Int
  /// Of levels: one float for each lane of the columns, and the `RepeatedNumbers` of a requantisation.
  var multipliers, numbers: UnsafeRawPointer?
  /// Where sums are multiplied, of each row the integer that is taken from its sums; see `ProductOfSums`.
  var terms: UnsafeRawPointer?
}

extension ProductKernel {
  /// The kernel for tiles of neighbouring pixels of a blocked tensor, whose results are neighbours too.
  /// - Parameters:
  ///   - blocks, blockStride: of input channels, with bytes from one to the next; `lastDepth` are the last one's channels.
  init(
    pixels: Int, columns: [Int], blocks: Int, blockStride: Int, lastDepth: Int, outputBlockStride: Int,
    epilogue: Epilogue = Epilogue(), prefetchDistance: Int = 0, target: CodeTarget
  ) {
    let size = BlockedTensor.pixelByteCount, offsets = (0..<pixels).map { $0 * size }
    self.init(
      target: target, rows: offsets, columns: columns,
      depth: DepthLoops(
        loops: blocks > 1 ? [.init(count: blocks, stride: blockStride)] : [],
        run: blocks > 1 ? BlockedTensor.blockChannels : lastDepth, lastRun: lastDepth),
      outputRows: offsets,
      outputBlockStride: outputBlockStride, tileStep: pixels * size, outputTileStep: pixels * size, epilogue: epilogue,
      prefetchDistance: prefetchDistance)
  }

  /// A readable name, which is the kernel's identity in dumps and profiles.
  var name: String {
    var parts = ["product", input == .uint8 ? "vnni" : target.vectorName, "\(rows.count)x\(columns.reduce(0, +))"]
    parts.append("k" + (depth.loops.map { "\($0.count)" } + ["\(depth.run)"]).joined(separator: "x"))
    if multipliesSums { parts.append("sums") }
    if epilogue.hasBias { parts.append("bias") }
    if epilogue.addsResidual { parts.append("add") }
    if let activation = epilogue.activation { parts.append(activation.function.rawValue) }
    if let suffix = requantizing?.suffix { parts.append(suffix) }
    if input != .float32 || output != .float32 { parts.append("\(input.rawValue)_to_\(output.rawValue)") }
    return parts.joined(separator: "_")
  }

  /// Why there is no code for these types; nil where there is.
  static func refusal(_ input: ElementType, _ output: ElementType, _ target: CodeTarget) -> String? {
    for element in [input, output] where element != .float32 {
      guard element == .bfloat16 else { return "there are no products of \(element.rawValue)" }
      guard BFloat16Reorder.isPossible(on: target) else {
        return "\(target.instructionSet) has no instructions on bfloat16"
      }
    }
    return nil
  }

  /// The registers that a tile of this size takes.
  static func registerCount(
    rows: Int, columns: Int, temporaries: Int, input: ElementType = .float32, multipliesSums: Bool = false,
    _ target: CodeTarget
  ) -> Int {
    // Of two words of the depth all of that; of the last column the sums take the place of the words.
    if multipliesSums { return rows * columns + max(2 * columns + (columns > 1 ? 4 : 2), temporaries) }
    // While summing: one column of the filter's row each, one for `a` where that is no operand in memory, and one for
    // products that are added by an instruction of its own.
    let own = (embedsBroadcast(input, target) ? 0 : 1) + (input == .int16 ? 1 : 0)
    return rows * columns + max(columns + own, temporaries)
  }

  /// Whether a word of `a` is an operand in memory. Levels are unsigned, which those are not.
  static func embedsBroadcast(_ input: ElementType, _ target: CodeTarget) -> Bool {
    target.hasAVX512 && !input.isInteger
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    ProductEmitter(kernel: self, code: code).emit()
    return code
  }
}

/// Writes the code of one `ProductKernel`.
private struct ProductEmitter {
  let kernel: ProductKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  // Arguments, then what moves along the depth. Only registers that a callee may change, as long as they suffice.
  let tile = GeneralRegister.r8, filter = GeneralRegister.r9, output = GeneralRegister.r10
  let residual = GeneralRegister.r11, tiles = GeneralRegister.rcx, bias = GeneralRegister.rdx
  let a = GeneralRegister.rax, b = GeneralRegister.rsi
  let counters: [GeneralRegister] = [.rdi, .rbx, .r12]
  // Of levels.
  let terms = GeneralRegister.r13
  let multipliers = GeneralRegister.r14, numbers = RepeatedNumbers(base: .r15)

  /// `a` points into the middle of the tile, where one byte of displacement (times 4) reaches the most rows.
  var bias0: Int {
    let middle = (kernel.rows.min() ?? 0) + min((kernel.rows.max() ?? 0) - (kernel.rows.min() ?? 0), 896) / 2
    return kernel.target.hasAVX512 ? middle / 4 * 4 : 0
  }

  func accumulator(_ row: Int, _ column: Int) -> WideRegister {
    WideRegister(number: row * kernel.columns.count + column, lanes: kernel.columns[column])
  }
  func free(_ index: Int, lanes: Int) -> WideRegister {
    WideRegister(number: kernel.rows.count * kernel.columns.count + index, lanes: lanes)
  }

  func emit() {
    var saved = Array(counters.prefix(kernel.depth.loops.count).dropFirst())
    if kernel.multipliesSums { saved.append(terms) }
    if kernel.requantizing != nil { saved += [multipliers, numbers.base] }
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    for register in saved { k.push(register) }
    let arguments = GeneralRegister.rdi
    k.mov(tile, arguments[0])
    k.mov(filter, arguments[8])
    k.mov(bias, arguments[16])
    k.mov(output, arguments[24])
    k.mov(residual, arguments[32])
    k.mov(tiles, arguments[40])
    if kernel.requantizing != nil {
      k.mov(multipliers, arguments[48])
      k.mov(numbers.base, arguments[56])
    }
    if kernel.multipliesSums { k.mov(terms, arguments[64]) }
    if bias0 != 0 { k.add(tile, bias0) }

    k.loop(tiles) {
      k.mov(a, tile)
      k.mov(b, filter)
      initialize()
      kernel.depth.emit(k, a, counters: counters, run)
      finish()
      k.add(tile, kernel.tileStep)
      k.add(output, kernel.outputTileStep)
      if kernel.epilogue.addsResidual { k.add(residual, kernel.outputTileStep) }
      if kernel.multipliesSums { k.add(terms, kernel.rows.count * 4) }
    }

    for register in saved.reversed() { k.pop(register) }
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  private func initialize() {
    if kernel.multipliesSums { return initializeWithTerms() }
    var offset = 0
    for (column, lanes) in kernel.columns.enumerated() {
      for row in kernel.rows.indices {
        if !kernel.epilogue.hasBias {
          code.zero(accumulator(row, column))
        } else if row == 0 {
          code.load(accumulator(0, column), bias[offset])
        } else {
          code.copy(accumulator(row, column), accumulator(0, column))
        }
      }
      offset += lanes * 4
    }
  }

  /// The bias less the terms of the rows and those of the columns, which the filter begins with.
  private func initializeWithTerms() {
    var offset = 0
    for (column, lanes) in kernel.columns.enumerated() {
      let first = accumulator(0, column)
      if kernel.epilogue.hasBias { code.load(first, bias[offset]) } else { code.zero(first) }
      code.subtractIntegers(first, first, b[offset])
      offset += lanes * 4
    }
    k.add(b, offset)
    for row in kernel.rows.indices.reversed() {
      code.broadcast(free(0, lanes: kernel.target.lanes), terms[row * 4])
      for (column, lanes) in kernel.columns.enumerated() {
        code.subtractIntegers(accumulator(row, column), accumulator(0, column), free(0, lanes: lanes))
      }
    }
  }

  /// Neighbouring words of the depth.
  private func run(_ depth: Int) {
    let filterRow = kernel.columns.reduce(0, +) * 4
    let paired = kernel.multipliesSums ? depth / 2 * 2 : 0
    for index in stride(from: 0, to: paired, by: 2) { pair(index, filterRow) }
    for index in paired..<depth {
      var offset = index * filterRow
      for (column, lanes) in kernel.columns.enumerated() {
        code.load(free(column, lanes: lanes), b[offset])
        if kernel.prefetchDistance > 0, offset % 64 == 0 { k.prefetcht1(b[offset + kernel.prefetchDistance]) }
        offset += lanes * 4
      }
      for row in kernel.rows.indices {
        let address = a[kernel.rows[row] - bias0 + index * 4]
        if ProductKernel.embedsBroadcast(kernel.input, kernel.target) {
          for (column, lanes) in kernel.columns.enumerated() {
            multiplyAdd(accumulator(row, column), free(column, lanes: lanes), .memory(address.splat))
          }
        } else {
          let number = kernel.columns.count
          code.broadcast(free(number, lanes: kernel.columns.max() ?? 8), address)
          for (column, lanes) in kernel.columns.enumerated() {
            multiplyAdd(
              accumulator(row, column), free(column, lanes: lanes), .register(free(number, lanes: lanes)))
          }
        }
      }
    }
    k.add(b, depth * filterRow)
  }

  /// Two neighbouring words of the depth by half as many products; see `ProductOfSums`.
  private func pair(_ index: Int, _ filterRow: Int) {
    let last = kernel.columns.count - 1, vector = kernel.target.lanes
    func word(_ column: Int, _ number: Int) -> WideRegister {
      free(2 * column + number, lanes: kernel.columns[column])
    }
    for number in 0..<2 {
      var offset = (index + number) * filterRow
      for (column, lanes) in kernel.columns.enumerated() {
        code.load(word(column, number), b[offset])
        if kernel.prefetchDistance > 0, offset % 64 == 0 { k.prefetcht1(b[offset + kernel.prefetchDistance]) }
        offset += lanes * 4
      }
    }
    let x = (0..<2).map { free(2 * last + 2 + $0, lanes: vector) }
    for row in kernel.rows.indices {
      for number in 0..<2 { code.broadcast(x[number], a[kernel.rows[row] - bias0 + (index + number) * 4]) }
      for column in 0...last {
        let s = column == last ? x : (0..<2).map { free(2 * last + 4 + $0, lanes: vector) }
        for number in 0..<2 { code.addWords(s[number], x[number], word(column, 1 - number)) }
        code.addProductsOfWords(accumulator(row, column), s[0], .register(s[1]), temporary: s[0])
      }
    }
  }

  /// d += w x, or the sum of the products of a word's numbers.
  private func multiplyAdd(_ d: WideRegister, _ w: WideRegister, _ x: VectorCode.Operand) {
    switch (kernel.input, x) {
    case (.bfloat16, _): code.multiplyAddPairs(d, w, x)
    case (.uint8, .register(let x)): code.addProductsOfBytes(d, x, .register(w))
    case (.int16, _):
      code.addProductsOfWords(d, w, x, temporary: free(kernel.columns.count + 1, lanes: d.lanes))
    default: code.multiplyAdd(d, w, x)
    }
  }

  /// Sums of levels become levels, or the floats that they stand for; see `Requantization`.
  private func finish(_ requantizing: Requantizing) {
    let size = kernel.output.byteCount, blockLanes = BlockedTensor.pixelByteCount / size
    let sums = kernel.rows.count * kernel.columns.count
    let temporaries = (0..<kernel.target.registerCount - sums).map { free($0, lanes: kernel.target.lanes) }
    var rows: [[RoundedSums]] = []
    for row in kernel.rows.indices {
      var places: [RoundedSums] = []
      var lane = 0
      for (column, count) in kernel.columns.enumerated() {
        let place = lane + kernel.firstLane
        places.append(
          RoundedSums(
            accumulator(row, column),
            offset: kernel.outputRows[row] + place / blockLanes * kernel.outputBlockStride
              + (place % blockLanes - kernel.firstLane) * size,
            channel: lane, multipliers, vector: kernel.target.lanes, requantizing))
        lane += count
      }
      rows.append(places)
    }
    code.store(
      rows, at: output, residual: kernel.epilogue.addsResidual ? residual : nil, requantizing, numbers,
      temporaries: temporaries)
  }

  private func finish() {
    if let requantizing = kernel.requantizing { return finish(requantizing) }
    let epilogue = kernel.epilogue, size = kernel.output.byteCount
    let blockLanes = BlockedTensor.pixelByteCount / size, isRounded = kernel.output == .bfloat16
    let temporaries = (0..<epilogue.temporaryCount).map { free($0, lanes: kernel.target.lanes) }
    for row in kernel.rows.indices {
      var lane = kernel.firstLane
      for (column, lanes) in kernel.columns.enumerated() {
        let sum = accumulator(row, column)
        let offset =
          kernel.outputRows[row] + lane / blockLanes * kernel.outputBlockStride
          + (lane % blockLanes - kernel.firstLane) * size
        if epilogue.addsResidual {
          code.add(sum, sum, residual[offset], of: kernel.output, temporary: free(0, lanes: lanes))
        }
        if let activation = epilogue.activation {
          code.apply(activation, to: sum, temporaries: temporaries, isRounded: isRounded)
        }
        if isRounded {
          let fills = kernel.fillsBlock && column == kernel.columns.count - 1
          code.storeRounded(output[offset], sum, fillsBlock: fills)
        } else {
          code.store(output[offset], sum)
        }
        lane += lanes
      }
    }
  }
}
