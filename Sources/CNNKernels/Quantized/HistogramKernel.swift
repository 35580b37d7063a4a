import CNNCore
import X86Assembler

/// Counts into which bins of a `StatisticsState` the numbers of pixels of one block of channels fall, and finds their range and
/// their sums.
///
/// Bins are found of all channels of a pixel at once, 16 pixels ahead of where they are counted one by one: so what a counter's
/// address is read from was written long before, and vectors are computed while counters are written, of which a processor
/// writes one in a cycle: range and sums cost nothing beside that.
/// Neighbouring numbers are often equal, and a counter that has just been written is not there to be read for some cycles: so
/// there are four of each bin, which the channels take in turns, and of 0, which is half of what a ReLU gives, one for each
/// channel.
struct HistogramKernel: Hashable, Sendable {
  let target: CodeTarget
  /// The channels of the block that mean something.
  let channels: Int

  /// Counters of a bin, of 32 bits.
  static let counters = 4
  static let binByteCount = counters * 4
  /// Bins of either 0. They lie side by side, those that have no place among `StatisticsState`'s between the two signs.
  static let zeroBins = BlockedTensor.blockChannels / counters
  /// So many bins are between those of negative numbers and the others.
  static let gap = 2 * (zeroBins - 1)

  var name: String { "histogram_\(target.vectorName)_\(channels)" }

  func code() -> VectorCode {
    let code = VectorCode(target)
    HistogramEmitter(kernel: self, code: code).emit()
    return code
  }
}

/// What a `HistogramKernel` is called with; its code knows the offsets.
struct HistogramArguments {
  /// The first pixel.
  var x: UnsafeRawPointer
  /// The counters of all bins, and of the gap.
  var counts: UnsafeMutableRawPointer
  /// At least 1.
  var pixels: Int
  /// Three times 16 floats, which receive of each channel the smallest of its numbers and 0, the largest, and the sum.
  var ranges: UnsafeMutableRawPointer
}

private struct HistogramEmitter {
  let kernel: HistogramKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi, x = GeneralRegister.rsi, counts = GeneralRegister.rdx
  let pixels = GeneralRegister.rcx, lead = GeneralRegister.r8, left = GeneralRegister.r9
  /// Where a counter is, and at the end the address of the ranges.
  let place = GeneralRegister.rax
  /// Where in the ring of pixels places are written, and where they are read.
  let written = GeneralRegister.r10, read = GeneralRegister.r11

  /// Pixels whose bins are found before the first is counted.
  private static let leadPixels = 16
  /// How far ahead pixels are fetched, which of large tensors are in the last cache.
  private static let prefetchedBytes = 2 * leadPixels * BlockedTensor.pixelByteCount
  /// The bytes of a bin's place in the ring, which 16 bits hold: of vectors of 512 bits one instruction makes words.
  private var placeByteCount: Int { lanes == BlockedTensor.blockChannels ? 2 : 4 }
  private var pixelPlaces: Int { BlockedTensor.blockChannels * placeByteCount }
  private var ringByteCount: Int { 2 * Self.leadPixels * pixelPlaces }

  var lanes: Int { kernel.target.lanes }
  var halves: Int { (kernel.channels + lanes - 1) / lanes }
  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
  /// What the numbers of a half that count as 0 become, which is not the same for all channels.
  func smallest(_ half: Int) -> WideRegister { register(4 + half) }
  var largest: WideRegister { register(6) }
  /// What is taken off: the least of the smallest.
  var first: WideRegister { register(7) }
  /// The first bin of numbers without a sign.
  var positive: WideRegister { register(8) }
  /// The smallest numbers so far, the largest, the sums.
  func range(_ part: Int, _ half: Int) -> WideRegister { register(9 + 2 * part + half) }

  func emit() {
    k.beginFrame(byteCount: ringByteCount)
    for (index, register) in [x, counts, pixels].enumerated() { k.mov(register, arguments[8 * index]) }
    let zero = StatisticsState.firstPattern, extra = HistogramKernel.zeroBins - 1
    for half in 0..<halves {
      let channels = half * lanes..<(half + 1) * lanes
      code.load(smallest(half), k.constantVector(channels.map { UInt32(zero - $0 / HistogramKernel.counters) }))
      for part in 0..<3 { code.zero(range(part, half)) }
    }
    let patterns = [
      (largest, zero + StatisticsState.binsPerSign - 1), (first, zero - extra),
      (positive, StatisticsState.binsPerSign + extra),
    ]
    for (register, value) in patterns {
      code.load(register, k.constantVector(Array(repeating: UInt32(value), count: lanes)))
    }
    let isLong = k.newLabel(), isFound = k.newLabel()
    k.mov(lead, Self.leadPixels)
    k.cmp(pixels, Self.leadPixels)
    k.jump(.ae, isLong)
    k.mov(lead, pixels)
    k.bind(isLong)
    k.sub(pixels, lead)
    k.mov(written, 0)
    k.mov(read, 0)
    k.mov(left, lead)
    k.loop(left) { find() }
    k.test(pixels, pixels)
    k.jump(.e, isFound)
    k.loop(pixels) {
      find()
      count()
    }
    k.bind(isFound)
    k.loop(lead) { count() }
    k.mov(place, arguments[24])
    for half in 0..<halves {
      for part in 0..<3 { code.store(place[part * 64 + half * lanes * 4], range(part, half)) }
    }
    k.endFrame()
  }

  private func advance(_ place: GeneralRegister) {
    k.add(place, pixelPlaces)
    k.and(place, ringByteCount - 1)
  }

  /// Finds the bins of the next pixel, and looks at its range.
  private func find() {
    for half in 0..<halves {
      let v = register(half)
      if half == 0 { k.prefetcht0(x[Self.prefetchedBytes]) }
      code.load(v, x[half * lanes * 4])
      code.minimum(range(0, half), range(0, half), v)
      code.maximum(range(1, half), range(1, half), v)
      code.add(range(2, half), range(2, half), v)
      emitPlaces(half)
    }
    k.add(x, BlockedTensor.pixelByteCount)
    advance(written)
  }

  /// Counts the next pixel.
  private func count() {
    for channel in 0..<kernel.channels {
      let address = GeneralRegister.rsp[read, 1, channel * placeByteCount]
      if placeByteCount == 2 { k.movzx16(place, address) } else { k.mov32(place, address) }
      k.inc32(counts[place, 8, channel % HistogramKernel.counters * 4])
    }
    advance(read)
  }

  /// Writes where the counters are of the bins of some channels, in eights of bytes.
  private func emitPlaces(_ half: Int) {
    let v = register(half), sign = register(half + 2)
    code.shiftRightSigned(sign, v, 31)
    // Without the sign, and the bits that do not count.
    code.shiftLeft(v, v, 1)
    code.shiftRight(v, v, 18)
    code.maximumOfIntegers(v, v, .register(smallest(half)))
    code.minimumOfIntegers(v, v, .register(largest))
    code.subtractIntegers(v, v, first)
    // Those of negative numbers lie before the others: -1 - v is not v.
    code.exclusiveOr(v, v, sign)
    code.addIntegers(v, v, positive)
    code.shiftLeft(v, v, (HistogramKernel.binByteCount / 8).trailingZeroBitCount)
    let address = GeneralRegister.rsp[written, 1, half * lanes * placeByteCount]
    if placeByteCount == 2 { k.vpmovdw(address, Zmm(v.number)) } else { code.store(address, v) }
  }
}
