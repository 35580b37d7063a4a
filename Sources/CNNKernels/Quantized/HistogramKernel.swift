import CNNCore
import X86Assembler

/// Counts into which bins of a `StatisticsState` the numbers of pixels of one block of channels fall.
///
/// Bins are found of all channels of a pixel at once, 16 pixels ahead of where they are counted one by one: so what a counter's
/// address is read from was written long before, and vectors are computed while counters wait for each other.
/// Neighbouring numbers are often equal, and a counter that has just been written is not there to be read for some cycles: so
/// there are four of each bin, which the channels take in turns.
struct HistogramKernel: Hashable, Sendable {
  let target: CodeTarget
  /// The channels of the block that mean something.
  let channels: Int

  /// Counters of a bin.
  static let counters = 4

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
  /// `counters` integers of 32 bits for each bin.
  var counts: UnsafeMutableRawPointer
  /// At least 1.
  var pixels: Int
}

private struct HistogramEmitter {
  let kernel: HistogramKernel
  let code: VectorCode
  var k: Assembler { code.assembler }

  let arguments = GeneralRegister.rdi, x = GeneralRegister.rsi, counts = GeneralRegister.rdx
  let pixels = GeneralRegister.rcx, lead = GeneralRegister.r8, left = GeneralRegister.r9
  let place = GeneralRegister.rax
  /// Where in the ring of pixels places are written, and where they are read.
  let written = GeneralRegister.r10, read = GeneralRegister.r11

  /// Pixels whose bins are found before the first is counted, and the bytes of places of twice as many.
  private static let leadPixels = 16
  private static let ringByteCount = 2 * leadPixels * BlockedTensor.pixelByteCount

  var lanes: Int { kernel.target.lanes }
  var halves: Int { (kernel.channels + lanes - 1) / lanes }
  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
  var first: WideRegister { register(4) }
  var last: WideRegister { register(5) }
  var zeroBin: WideRegister { register(6) }

  func emit() {
    k.beginFrame(byteCount: Self.ringByteCount)
    for (index, register) in [x, counts, pixels].enumerated() { k.mov(register, arguments[8 * index]) }
    let patterns = [
      (first, StatisticsState.firstPattern),
      (last, StatisticsState.firstPattern + StatisticsState.binsPerSign - 1), (zeroBin, StatisticsState.binsPerSign),
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
    forEach(left) { find() }
    k.test(pixels, pixels)
    k.jump(.e, isFound)
    forEach(pixels) {
      find()
      count()
    }
    k.bind(isFound)
    forEach(lead) { count() }
    k.endFrame()
  }

  /// Does something as many times as a register says, which is at least 1.
  private func forEach(_ left: GeneralRegister, _ body: () -> Void) {
    let top = k.newLabel()
    k.align(32)
    k.bind(top)
    body()
    k.dec(left)
    k.jump(.ne, top)
  }

  private func advance(_ place: GeneralRegister) {
    k.add(place, BlockedTensor.pixelByteCount)
    k.and(place, Self.ringByteCount - 1)
  }

  /// Finds the bins of the next pixel.
  private func find() {
    for half in 0..<halves { emitPlaces(half) }
    k.add(x, BlockedTensor.pixelByteCount)
    advance(written)
  }

  /// Counts the next pixel.
  private func count() {
    for channel in 0..<kernel.channels {
      k.mov32(place, GeneralRegister.rsp[read, 1, channel * 4])
      k.inc32(counts[place, 1, channel % HistogramKernel.counters * 4])
    }
    advance(read)
  }

  /// Writes where the counters are of the bins of some channels, in bytes.
  private func emitPlaces(_ half: Int) {
    let v = register(half), sign = register(half + 2)
    code.load(v, x[half * lanes * 4])
    code.shiftRightSigned(sign, v, 31)
    // Without the sign, and the bits that do not count.
    code.shiftLeft(v, v, 1)
    code.shiftRight(v, v, 18)
    code.maximumOfIntegers(v, v, .register(first))
    code.minimumOfIntegers(v, v, .register(last))
    code.subtractIntegers(v, v, first)
    // Those of negative numbers lie before the bins of 0: -1 - v is not v.
    code.exclusiveOr(v, v, sign)
    code.addIntegers(v, v, zeroBin)
    code.shiftLeft(v, v, 4)
    code.store(GeneralRegister.rsp[written, 1, half * lanes * 4], v)
  }
}
