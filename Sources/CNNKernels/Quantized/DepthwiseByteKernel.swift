import CNNCore
import X86Assembler

/// Some rows of a depthwise convolution of bytes: four channels to each lane of a vector, of some neighbouring columns.
///
/// One instruction multiplies four bytes by four weights and adds the products to 32 bits. The four bytes of a channel are
/// made to be those of four rows of the image, one below the other: the bytes of four rows are put in turns, once for each
/// column that is read, and lie in memory that stays in the first cache. Every window that reads the column uses them, with
/// the weights of its own rows. So do several rows of results, whose weights are 0 where they do not read a row.
///
/// Without such an instruction two rows are put in turns, as 16 bits.
///
/// Putting bytes in turns takes the channels out of their order, and packing sums to bytes brings them back; see
/// `channel(_:_:)`.
struct DepthwiseByteKernel: Hashable, Sendable {
  let target: CodeTarget
  /// The lanes of a vector. Of a few channels AVX-512 computes fewer as well.
  let lanes: Int
  /// Columns of the window, and the distance between two of them and between two outputs.
  var taps, dilation, stride: Int
  /// The rows that are read, in groups of `rowsPerGroup`.
  var groups: Int
  /// How many columns of results are computed.
  var outputs: Int
  /// Whether each channel has a level of its own around the image.
  var hasZeroPoints = false
  /// What happens to the sums.
  var requantizing: Requantizing

  /// How many rows are put in turns.
  var rowsPerGroup: Int { target.rowsOfBytes }

  /// Which of the `4 * lanes` channels each lane of the four vectors of sums holds.
  static func channelOrder(lanes: Int) -> [Int] {
    (0..<4 * lanes).map { index in
      let (vector, lane) = index.quotientAndRemainder(dividingBy: lanes)
      return lane / 4 * 16 + vector * 4 + lane % 4
    }
  }

  /// The columns that are read.
  var columns: Int { (outputs - 1) * stride + (taps - 1) * dilation + 1 }
  /// Bytes of a column of a group, and of a group.
  var columnByteCount: Int { 16 * lanes }
  var groupByteCount: Int { columns * columnByteCount }
  /// Bytes of the weights of a row of results.
  var filterByteCount: Int { groups * taps * columnByteCount }

  var name: String {
    [
      "depthwise_int8", target.hasByteProducts ? "vnni" : target.vectorName, "x\(4 * lanes)",
      "\(taps)s\(stride)g\(groups)",
      "w\(outputs)", requantizing.suffix, hasZeroPoints ? "borders" : nil,
    ].compactMap { $0 }.joined(separator: "_")
  }

  /// The machine code.
  func code() -> VectorCode {
    let code = VectorCode(target)
    DepthwiseByteEmitter(kernel: self, code: code).emit()
    return code
  }
}

/// What a `DepthwiseByteKernel` is called with; its code knows the offsets.
struct DepthwiseByteArguments {
  /// For each row that is read, where its first column inside the image is.
  var rows: UnsafePointer<UnsafeRawPointer>
  /// For every row of results, group of rows, and column of the window four vectors of weights.
  var filter: UnsafeRawPointer
  /// Four vectors.
  var sums: UnsafeRawPointer
  /// Of each of four vectors what `Requantization.multipliers` gives for it.
  var multipliers: UnsafeRawPointer
  /// `RepeatedNumbers` of a requantisation.
  var numbers: UnsafeRawPointer
  /// The first pixel of the first row of results.
  var output: UnsafeMutableRawPointer
  /// Memory for all groups.
  var scratch: UnsafeMutableRawPointer
  /// How many rows of results there are, and the bytes from one to the next.
  var resultRows, resultRowByteCount: Int
  /// How many of the columns lie on the left of the image, inside and on the right.
  var left, inside, right: Int
  /// What stands for 0, in every byte, and the smallest level.
  var zeroPoints, minima: UInt32
  /// What stands for 0 in each channel, where these differ.
  var border: UnsafeRawPointer
}

extension CodeTarget {
  /// How many rows of bytes are put in turns, so that one instruction multiplies as many.
  var rowsOfBytes: Int { hasByteProducts ? 4 : 2 }
}

private struct DepthwiseByteEmitter {
  let kernel: DepthwiseByteKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi, scratch = GeneralRegister.rax, counter = GeneralRegister.rcx
  // While bytes are put in turns.
  let rows = GeneralRegister.rsi, column = GeneralRegister.rdx
  let pixels: [GeneralRegister] = [.r8, .r9, .r10, .r11]
  // While they are multiplied.
  let filter = GeneralRegister.rsi, output = GeneralRegister.rdx, rowCounter = GeneralRegister.r8
  let sums = GeneralRegister.r9, multipliers = GeneralRegister.r10
  var numbers: RepeatedNumbers { RepeatedNumbers(base: .r11) }

  var lanes: Int { kernel.lanes }
  var vectorByteCount: Int { lanes * 4 }
  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }

  func emit() {
    k.push(.rbp)
    k.mov(.rbp, .rsp)
    for group in 0..<kernel.groups { interleave(group) }
    multiply()
    k.pop(.rbp)
    k.vzeroupper()
    k.ret()
  }

  // MARK: - Bytes in turns

  private func interleave(_ group: Int) {
    k.mov(scratch, arguments[48])
    if group > 0 { k.add(scratch, group * kernel.groupByteCount) }
    let border = (0..<4).map(register)
    if !kernel.hasZeroPoints { code.broadcast(border[0], arguments[96]) }
    if !kernel.target.hasByteProducts {
      code.zero(border[1])
      if !kernel.hasZeroPoints { code.unpackBytes(border[0], border[0], border[1], upper: false) }
    }
    func borders() -> [WideRegister] {
      guard kernel.hasZeroPoints else { return Array(repeating: border[0], count: 4) }
      k.mov(column, arguments[104])
      code.load(register(4), column[0])
      return alternated(Array(repeating: register(4), count: kernel.rowsPerGroup))
    }
    let left = borders()
    loop(arguments[72]) { store(left) }
    k.mov(rows, arguments[0])
    let first = group * kernel.rowsPerGroup
    for row in 0..<kernel.rowsPerGroup { k.mov(pixels[row], rows[8 * (first + row)]) }
    k.mov(column, 0)
    loop(arguments[80]) {
      let loaded = (0..<kernel.rowsPerGroup).map { register(4 + $0) }
      for (register, pixel) in zip(loaded, pixels) { code.load(register, pixel[column]) }
      store(alternated(loaded))
      k.add(column, BlockedTensor.pixelByteCount)
    }
    let right = borders()
    loop(arguments[88]) { store(right) }
  }

  /// Of each channel the bytes of all rows.
  private func alternated(_ rows: [WideRegister]) -> [WideRegister] {
    kernel.target.hasByteProducts ? interleaved(rows) : interleavedWords(rows)
  }

  /// Of each channel the bytes of four rows.
  private func interleaved(_ v: [WideRegister]) -> [WideRegister] {
    let pairs = (8..<12).map(register), result = (12..<16).map(register)
    for half in 0..<2 {
      code.unpackBytes(pairs[half], v[0], v[1], upper: half == 1)
      code.unpackBytes(pairs[2 + half], v[2], v[3], upper: half == 1)
    }
    for vector in 0..<4 {
      code.unpackWords(result[vector], pairs[vector / 2], pairs[2 + vector / 2], upper: vector % 2 == 1)
    }
    return result
  }

  /// Of each channel the bytes of two rows, as 16 bits.
  private func interleavedWords(_ v: [WideRegister]) -> [WideRegister] {
    let pairs = (8..<10).map(register), result = (12..<16).map(register), zero = register(1)
    for half in 0..<2 { code.unpackBytes(pairs[half], v[0], v[1], upper: half == 1) }
    for vector in 0..<4 { code.unpackBytes(result[vector], pairs[vector / 2], zero, upper: vector % 2 == 1) }
    return result
  }

  private func store(_ v: [WideRegister]) {
    for vector in 0..<4 { code.store(scratch[vector * vectorByteCount], v[vector]) }
    k.add(scratch, kernel.columnByteCount)
  }

  /// As often as a number in memory says.
  private func loop(_ count: Address, _ body: () -> Void) {
    let end = k.newLabel()
    k.mov(counter, count)
    k.test(counter, counter)
    k.jump(.e, end)
    k.loop(counter, alignment: 16, body)
    k.bind(end)
  }

  // MARK: - Products

  // Registers: the sums of the outputs, then the weights of a vector of channels (the temporaries of the rounding take their
  // place), the image's bytes and products.

  /// How many vectors are rounded in turns, where a function takes temporaries.
  private var inTurns: Int { kernel.target.hasAVX512 ? 3 : 1 }
  private var temporaryCount: Int {
    if kernel.requantizing.hasPieces { return pairsInTurns * ActivationPieces.temporaryCount(kernel.target) }
    return kernel.requantizing.function == nil ? 1 : inTurns * ExactActivation.temporaryCount
  }
  /// How many pairs of vectors become levels in turns.
  private var pairsInTurns: Int { kernel.target.hasAVX512 ? 2 : 1 }
  private var holdsWeights: Bool { 4 + max(kernel.taps, temporaryCount) + 2 <= kernel.target.registerCount }
  private var weightCount: Int { max(holdsWeights ? kernel.taps : 1, temporaryCount) }
  private var segmentLimit: Int { max(1, min(6, (kernel.target.registerCount - weightCount - 2) / 4)) }
  private func sum(_ output: Int, _ vector: Int) -> WideRegister { register(4 * output + vector) }
  private func last(_ index: Int) -> WideRegister { register(kernel.target.registerCount - 1 - index) }
  private var pixel: WideRegister { last(0) }
  private var product: WideRegister { last(1) }
  private func weight(_ tap: Int) -> WideRegister { last(2 + (holdsWeights ? tap : 0)) }
  private var temporaries: [[WideRegister]] {
    if kernel.requantizing.function == nil { return [[last(2)]] }
    let count = ExactActivation.temporaryCount
    return (0..<inTurns).map { turn in (0..<count).map { last(2 + turn * count + $0) } }
  }

  private func multiply() {
    for (index, register) in [filter, sums, multipliers, numbers.base, output].enumerated() {
      k.mov(register, arguments[8 * (index + 1)])
    }
    k.mov(rowCounter, arguments[56])
    k.loop(rowCounter, alignment: 16) {
      k.mov(scratch, arguments[48])
      // In equal parts.
      let parts = (kernel.outputs + segmentLimit - 1) / segmentLimit, size = kernel.outputs / parts
      let larger = kernel.outputs % parts
      segments(larger, of: size + 1)
      segments(parts - larger, of: size)
      k.sub(output, kernel.outputs * BlockedTensor.pixelByteCount)
      k.add(output, arguments[64])
      k.add(filter, kernel.filterByteCount)
    }
  }

  private func segments(_ count: Int, of size: Int) {
    if count == 0 { return }
    k.mov(counter, count)
    k.loop(counter, alignment: 16) {
      for vector in 0..<4 { addProducts(vector, size) }
      round((0..<4).flatMap { vector in (0..<size).map { (output: $0, vector: vector) } })
      if kernel.requantizing.hasPieces { applyPieces(size) }
      code.broadcast(pixel, arguments[100])
      for index in 0..<size {
        let packed = sum(index, 0)
        if kernel.requantizing.hasPieces {
          code.packWords(packed, packed, sum(index, 2))
        } else {
          code.packBytes(packed, (0..<4).map { sum(index, $0) })
        }
        code.maximumOfBytes(packed, packed, .register(pixel))
        code.store(output[index * BlockedTensor.pixelByteCount], packed)
      }
      k.add(output, size * BlockedTensor.pixelByteCount)
      k.add(scratch, size * kernel.stride * kernel.columnByteCount)
    }
  }

  private func round(_ places: [(output: Int, vector: Int)]) {
    let step = kernel.requantizing.function == nil ? places.count : inTurns
    for first in stride(from: 0, to: places.count, by: step) {
      let own = places[first..<min(first + step, places.count)].map {
        RoundedSums(
          sum($0.output, $0.vector), offset: 0, channel: $0.vector * lanes, multipliers, vector: lanes,
          kernel.requantizing)
      }
      code.requantize(
        own.map(\.register), multipliers: own.map { .memory($0.multiplier) }, scalings: own.compactMap(\.scaling),
        kernel.requantizing, numbers, limitsBelow: false, temporaries: temporaries)
    }
  }

  /// The positions of so many outputs become levels, in the first and the third vector of each.
  private func applyPieces(_ outputs: Int) {
    let own = ActivationPieces.temporaryCount(kernel.target), coefficients = numbers.pieceCoefficients(kernel.target)
    let places = (0..<outputs).flatMap { output in [0, 2].map { (output: output, vector: $0) } }
    for first in stride(from: 0, to: places.count, by: pairsInTurns) {
      let pairs = places[first..<min(first + pairsInTurns, places.count)].enumerated().map { turn, place in
        VectorCode.PositionPair(
          first: sum(place.output, place.vector), second: sum(place.output, place.vector + 1),
          temporaries: (0..<own).map { last(2 + turn * own + $0) })
      }
      code.applyPieces(pairs, coefficients: coefficients)
    }
  }

  /// The sums of one of the four vectors of channels of so many outputs.
  private func addProducts(_ vector: Int, _ outputs: Int) {
    code.load(sum(0, vector), sums[vector * vectorByteCount])
    for output in 1..<max(1, outputs) { code.copy(sum(output, vector), sum(0, vector)) }
    for group in 0..<kernel.groups {
      func address(ofWeight tap: Int) -> Address {
        filter[(group * kernel.taps + tap) * kernel.columnByteCount + vector * vectorByteCount]
      }
      if holdsWeights {
        for tap in 0..<kernel.taps { code.load(weight(tap), address(ofWeight: tap)) }
      }
      for column in 0...((outputs - 1) * kernel.stride + (kernel.taps - 1) * kernel.dilation) {
        // The outputs that see this column, each with the tap under which it lies.
        let users = (0..<kernel.taps).compactMap { tap -> (output: Int, tap: Int)? in
          let position = column - tap * kernel.dilation
          guard position >= 0, position % kernel.stride == 0, position / kernel.stride < outputs else { return nil }
          return (position / kernel.stride, tap)
        }
        if users.isEmpty { continue }
        code.load(
          pixel, scratch[group * kernel.groupByteCount + column * kernel.columnByteCount + vector * vectorByteCount])
        for (output, tap) in users {
          let own = holdsWeights ? VectorCode.Operand.register(weight(tap)) : .memory(address(ofWeight: tap))
          if kernel.target.hasByteProducts {
            code.addProductsOfBytes(sum(output, vector), pixel, own)
          } else {
            code.addProductsOfWords(sum(output, vector), pixel, own, temporary: product)
          }
        }
      }
    }
  }
}
