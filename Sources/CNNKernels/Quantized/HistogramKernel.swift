import CNNCore
import X86Assembler

/// Counts into which bins of a `StatisticsState` the numbers of pixels of one block of channels fall.
///
/// Bins are found of all channels of a pixel at once, of 16 pixels one after the other, and then counted one by one: so what
/// a counter's address is read from was written long before, which takes 40 % of the time of doing both for each pixel.
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
  let pixels = GeneralRegister.rcx, chunk = GeneralRegister.r8, left = GeneralRegister.r9
  let places = GeneralRegister.r10, place = GeneralRegister.rax

  /// Pixels whose bins are found before they are counted.
  private static let chunkPixels = 16

  var lanes: Int { kernel.target.lanes }
  var halves: Int { (kernel.channels + lanes - 1) / lanes }
  func register(_ number: Int) -> WideRegister { WideRegister(number: number, lanes: lanes) }
  var first: WideRegister { register(4) }
  var last: WideRegister { register(5) }
  var zeroBin: WideRegister { register(6) }

  func emit() {
    k.beginFrame(byteCount: Self.chunkPixels * BlockedTensor.pixelByteCount)
    for (index, register) in [x, counts, pixels].enumerated() { k.mov(register, arguments[8 * index]) }
    let patterns = [
      (first, StatisticsState.firstPattern),
      (last, StatisticsState.firstPattern + StatisticsState.binsPerSign - 1), (zeroBin, StatisticsState.binsPerSign),
    ]
    for (register, value) in patterns {
      code.load(register, k.constantVector(Array(repeating: UInt32(value), count: lanes)))
    }
    let top = k.newLabel(), isWhole = k.newLabel()
    k.bind(top)
    k.mov(chunk, Self.chunkPixels)
    k.cmp(pixels, Self.chunkPixels)
    k.jump(.ae, isWhole)
    k.mov(chunk, pixels)
    k.bind(isWhole)
    k.sub(pixels, chunk)
    forEachPixel {
      for half in 0..<halves { emitPlaces(half) }
      k.add(x, BlockedTensor.pixelByteCount)
    }
    forEachPixel {
      for channel in 0..<kernel.channels {
        k.mov32(place, places[channel * 4])
        k.inc32(counts[place, 1, channel % HistogramKernel.counters * 4])
      }
    }
    k.test(pixels, pixels)
    k.jump(.ne, top)
    k.endFrame()
  }

  /// Goes over the places of a chunk's pixels.
  private func forEachPixel(_ body: () -> Void) {
    let top = k.newLabel()
    k.mov(places, .rsp)
    k.mov(left, chunk)
    k.align(32)
    k.bind(top)
    body()
    k.add(places, BlockedTensor.pixelByteCount)
    k.dec(left)
    k.jump(.ne, top)
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
    code.store(places[half * lanes * 4], v)
  }
}
