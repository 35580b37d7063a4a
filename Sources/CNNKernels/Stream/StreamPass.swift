import CNNCore
import CNNRuntime

/// A `StreamProgram` over whole blocked tensors, which are all of one size but for their elements, and have no border.
///
/// All pixels of a block of channels follow each other, so a block is one run of pixels, cut into stretches: the unit that
/// is given to a thread, and that is summed in single precision. Which stretches there are depends on the tensor alone, so
/// sums are the same bits for any number of threads.
struct StreamPass: Sendable {
  private let kernels: BlockKernels
  private let program: StreamProgram
  /// How the program's blocks lie.
  private let tensor: BlockedTensor
  /// Where the code's addresses of streams come from. Numbers alone, as every stretch reads them.
  private let places: InlineArray<8, Place>
  /// Whether constants are another set for every image.
  private let isPerImage: Bool
  /// Pixels of one run, the stretches of a run and how many runs a block has.
  private let runPixels, stretches, runs: Int
  /// How many places there are, and how many parts a block has.
  private let placeCount, parts: Int
  private let lastCacheByteCount: Int

  /// An address of a stream: that of a part of each block.
  private struct Place {
    var stream = 0, partOffset = 0, blockByteCount = 0
  }

  /// Pixels of a stretch at most: few enough to be summed in single precision, many enough to hide what a call costs.
  private static let stretchPixels = 1024

  /// - Parameter tensor: the sizes. What the streams are of, says the program.
  init(_ program: StreamProgram, _ tensor: BlockedTensor, perImage: Bool = false, library: KernelLibrary) {
    (self.program, isPerImage) = (program, perImage)
    let floats = tensor.with(element: .float32)
    let tensor = tensor.with(element: program.readsBFloat16 ? .bfloat16 : .float32)
    self.tensor = tensor
    var places = InlineArray<8, Place>(repeating: Place()), count = 0
    for stream in 0..<program.streamCount {
      let isBFloat16 = program.element(ofStream: stream) == .bfloat16
      for part in 0..<program.addressCount(ofStream: stream) {
        places[count] = Place(
          stream: stream, partOffset: part * floats.blockByteCount,
          blockByteCount: isBFloat16 ? tensor.blockByteCount : program.parts * floats.blockByteCount)
        count += 1
      }
    }
    (self.places, placeCount, parts) = (places, count, program.parts)
    func kernel(channels: Int) -> GeneratedKernel {
      let key = StreamKernel(program, channels: channels, target: library.target)
      return library.kernel(key, name: key.name) { key.code() }
    }
    let width = tensor.channelsPerBlock
    let last = kernel(channels: tensor.channels - (tensor.blocks - 1) * width)
    kernels = BlockKernels(whole: tensor.blocks > 1 ? kernel(channels: width) : last, last: last)
    lastCacheByteCount = library.target.lastCacheByteCount
    runs = perImage ? tensor.images : 1
    runPixels = tensor.pixels / max(1, runs)
    stretches = max(1, (runPixels + Self.stretchPixels - 1) / Self.stretchPixels)
  }

  /// 16 numbers for each block, or for each block and image.
  struct Constant {
    let base: UnsafeRawPointer
    let blockByteCount: Int
    var imageByteCount = 0

    /// Numbers for each channel: `blocks * 16` floats.
    init(_ numbers: UnsafePointer<Float>) { (base, blockByteCount) = (UnsafeRawPointer(numbers), 64) }

    /// The same 16 floats for every block.
    init(repeating numbers: UnsafePointer<Float>) { (base, blockByteCount) = (UnsafeRawPointer(numbers), 0) }

    /// 16 floats for each image, the same for every block.
    init(ofImages numbers: UnsafePointer<Float>) {
      (base, blockByteCount, imageByteCount) = (UnsafeRawPointer(numbers), 0, BlockedTensor.pixelByteCount)
    }

    /// A tensor's first pixel.
    init(_ numbers: UnsafePointer<Float>, ofFirstPixel tensor: BlockedTensor) {
      (base, blockByteCount) = (UnsafeRawPointer(numbers), tensor.blockByteCount)
    }

    /// An image of one pixel for each image.
    init(_ numbers: UnsafePointer<Float>, _ tensor: BlockedTensor) {
      (base, blockByteCount, imageByteCount) = (
        UnsafeRawPointer(numbers), tensor.blockByteCount, tensor.imageByteCount
      )
    }
  }

  /// What a pass works on. Streams and constants are numbered as in the program.
  struct Operands {
    fileprivate var streams: InlineArray<8, UnsafeMutableRawPointer>
    fileprivate var constants: InlineArray<8, Constant>
    /// `sumByteCount` bytes; needed where there are sums.
    fileprivate var sums: UnsafeMutableRawPointer

    /// With `first` as stream 0.
    init(_ first: UnsafeRawPointer) {
      let first = UnsafeMutableRawPointer(mutating: first)
      streams = InlineArray(repeating: first)
      constants = InlineArray(repeating: Constant(UnsafePointer(first.assumingMemoryBound(to: Float.self))))
      sums = first
    }

    /// The same with another stream, which the program reads.
    func stream(_ index: Int, _ address: UnsafeRawPointer) -> Operands {
      var result = self
      result.streams[index] = UnsafeMutableRawPointer(mutating: address)
      return result
    }

    /// The same with another constant.
    func constant(_ index: Int, _ constant: Constant) -> Operands {
      var result = self
      result.constants[index] = constant
      return result
    }

    /// The same with constant `index` and those after it from vectors of `blocks * 16` floats, one after the other.
    func constants(from index: Int, count: Int, _ vectors: UnsafePointer<Float>, _ tensor: BlockedTensor) -> Operands {
      var result = self
      for position in 0..<count {
        result.constants[index + position] = Constant(vectors + position * tensor.blocks * BlockedTensor.blockChannels)
      }
      return result
    }

    /// The same with a place for the sums.
    func sums(_ address: UnsafeMutableRawPointer) -> Operands {
      var result = self
      result.sums = address
      return result
    }
  }

  /// The bytes that the sums of all stretches take.
  var sumByteCount: Int { tensor.blocks * runs * stretches * unitSumByteCount }
  /// The bytes of a stretch's sums.
  private var unitSumByteCount: Int { program.sumCount * parts * 64 }

  /// Calls `body` with blocks that are read from memory once though two passes go over them, one after the other: as many
  /// as stay in half of the last cache.
  /// - Parameter streams: how many tensors the passes read and write.
  func forEachGroup(streams: Int, _ body: (_ blocks: Range<Int>) -> Void) {
    let size = max(1, lastCacheByteCount / 2 / max(1, tensor.blockByteCount * streams))
    for first in stride(from: 0, to: tensor.blocks, by: size) { body(first..<min(first + size, tensor.blocks)) }
  }

  /// Runs the program over all pixels, or those of some blocks.
  func run(_ operands: Operands, blocks: Range<Int>? = nil, workers: Workers) {
    let blocks = blocks ?? 0..<tensor.blocks, perBlock = runs * stretches
    workers.forEachRange(of: blocks.count * perBlock) { range, _ in
      for unit in range { run(operands, unit: blocks.lowerBound * perBlock + unit) }
    }
  }

  /// All blocks of the program's.
  var allBlocks: Range<Int> { 0..<tensor.blocks }

  /// The blocks of 16 channels that some of the program's blocks are.
  func vectors(of blocks: Range<Int>) -> Range<Int> {
    let count = (tensor.channels + BlockedTensor.blockChannels - 1) / BlockedTensor.blockChannels
    return min(count, blocks.lowerBound * parts)..<min(count, blocks.upperBound * parts)
  }

  /// All stretches, which may be run in any order.
  var unitCount: Int { tensor.blocks * runs * stretches }

  /// Where a stretch lies: its block, and its pixels in there.
  func place(ofUnit unit: Int) -> (block: Int, firstPixel: Int, pixels: Int) {
    let stretch = unit % stretches, run = unit / stretches % runs, block = unit / stretches / runs
    let first = runPixels * stretch / stretches
    return (block, run * runPixels + first, runPixels * (stretch + 1) / stretches - first)
  }

  /// Runs the program over one stretch.
  func run(_ operands: Operands, unit: Int) {
    let (block, first, pixels) = place(ofUnit: unit), run = unit / stretches % runs
    var arguments = StreamArguments(
      fours: pixels / 4, ones: pixels % 4, streams: operands.streams,
      constants: InlineArray(repeating: operands.constants[0].base),
      sums: sums(ofUnit: unit, operands.sums))
    // The last block may have but one part, and its kernel then does not read the address of another.
    for index in 0..<placeCount {
      let place = places[index]
      arguments.streams[index] =
        operands.streams[place.stream]
        + (block * place.blockByteCount + place.partOffset + first * BlockedTensor.pixelByteCount)
    }
    for index in 0..<program.constantCount {
      let constant = operands.constants[index]
      for part in 0..<parts {
        arguments.constants[index * parts + part] =
          constant.base + (block * parts + part) * constant.blockByteCount + run * constant.imageByteCount
      }
    }
    kernels(isLast: block == tensor.blocks - 1, &arguments)
  }

  /// Sum number `index` of each channel, over all stretches of a block of 16 channels, or of one of its images.
  /// - Parameter run: the image, where each is summed by itself; nil for the sum of all.
  func total(_ index: Int, block: Int, run: Int? = nil, _ sums: UnsafeMutableRawPointer) -> SIMD16<Double> {
    var total = SIMD16<Double>()
    for run in run.map({ $0..<$0 + 1 }) ?? 0..<runs {
      forEachStretch(index, block: block, run: run, sums) { total += SIMD16<Double>($0) }
    }
    return total
  }

  /// The smallest, or largest, of 0 and what `index` has of each channel, over all pixels of a block of 16 channels.
  func minimum(_ index: Int, block: Int, _ sums: UnsafeMutableRawPointer) -> SIMD16<Float> {
    var result = SIMD16<Float>()
    forEachStretch(index, block: block, sums) { result.replace(with: $0, where: $0 .< result) }
    return result
  }
  func maximum(_ index: Int, block: Int, _ sums: UnsafeMutableRawPointer) -> SIMD16<Float> {
    var result = SIMD16<Float>()
    forEachStretch(index, block: block, sums) { result.replace(with: $0, where: $0 .> result) }
    return result
  }

  /// What number `index` is of each channel of a block of 16 channels, over one stretch.
  func value(_ index: Int, ofUnit unit: Int, _ sums: UnsafeMutableRawPointer) -> SIMD16<Float> {
    .load(UnsafePointer((self.sums(ofUnit: unit, sums) + index * parts * 64).assumingMemoryBound(to: Float.self)))
  }

  /// Where a stretch's sums lie, in the program's order.
  func sums(ofUnit unit: Int, _ sums: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    sums + unit * unitSumByteCount
  }

  private func forEachStretch(
    _ index: Int, block: Int, run: Int = 0, _ sums: UnsafeMutableRawPointer, _ body: (SIMD16<Float>) -> Void
  ) {
    let (block, part) = block.quotientAndRemainder(dividingBy: parts)
    let first = sums + (block * runs + run) * stretches * unitSumByteCount + (index * parts + part) * 64
    for stretch in 0..<stretches {
      body(.load(UnsafePointer((first + stretch * unitSumByteCount).assumingMemoryBound(to: Float.self))))
    }
  }
}
