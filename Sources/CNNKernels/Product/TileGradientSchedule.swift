import CNNCore
import CNNRuntime
import X86Assembler

/// The gradient of a filter as products of tiles of bfloat16: for each tap the sum over the words of two pixels of the
/// gradient's channels times those of the pixels that the tap reads.
///
/// Of a chunk of pixels the words of the gradient, transposed, stay in the second cache while all blocks of the image pass by;
/// those of a block of the image stay in the first one while all taps and blocks of the gradient do. The threads divide the
/// chunks, each with sums of its own, or the gradient's channels.
struct TileGradientSchedule: Sendable {
  private let input, output: BlockedTensor
  private let words: TileGradientWords
  private let sums: FilterSums
  private let chunks: [GradientChunks.Chunk]
  private let work: [Work]
  private let dividesPixels: Bool
  /// By whether there are two tiles of the gradient's channels, and of the image's.
  private let kernels: [[GeneratedKernel]]
  private let transpose, configure, release: GeneratedKernel
  /// Bytes that a thread works in: for the words of a block of the gradient, of all of a panel, and of a block of the image.
  private let blockByteCount, panelByteCount, inputByteCount: Int

  private struct Work: Sendable {
    let chunks: Range<Int>
    /// Blocks of output channels of one group that are computed together.
    let panels: [Range<Int>]
  }

  /// So many words of two blocks of 16 channels fill the first cache by two thirds.
  static let chunkWords = 256

  init(
    _ groups: ChannelGroups, input: BlockedTensor, output: BlockedTensor, workers: Workers, library: KernelLibrary
  ) {
    let target = library.target
    (self.input, self.output) = (input, output)
    words = TileGradientWords(groups.geometry, input: input, output: output, library: library)
    sums = FilterSums(groups, library: library)
    let (words, sums) = (words, sums)
    let all = sums.allOutputBlocks, threads = workers.count
    // What is not divided is done by each: the sums are added up, or the image's words are written several times.
    let adding = ConvolutionCost.adding(sums: Double(sums.byteCount))
    let writing =
      PixelPairs.cycles * Double(sums.inputBlocks * words.images * words.height * words.pitch * words.stride)
    let dividesPixels = threads > 1 && (all < 2 * threads || adding < writing)
    self.dividesPixels = dividesPixels
    let cut = GradientChunks(
      images: words.images, height: words.height, width: words.width, limit: max(Self.chunkWords, words.width),
      shares: dividesPixels ? threads : 1)
    chunks = cut.chunks
    let chunks = chunks
    let rowBytes = chunks.map(words.channelByteCount).max() ?? 0
    let limit = max(2, target.secondCacheByteCount / 2 / max(1, rowBytes * BlockedTensor.blockChannels))
    let shares =
      dividesPixels
      ? cut.shares(threads) : Array(repeating: 0..<chunks.count, count: min(threads, all))
    let parts = dividesPixels ? 1 : shares.count
    work = shares.indices.map { index in
      let part = dividesPixels ? 0 : index
      return Work(
        chunks: shares[index],
        panels: sums.panels(all * part / parts..<all * (part + 1) / parts, limit: limit))
    }
    blockByteCount = chunks.map(words.gradientByteCount).max() ?? 0
    panelByteCount = (work.flatMap(\.panels).map(\.count).max() ?? 0) * BlockedTensor.blockChannels * rowBytes
    inputByteCount = 2 * (chunks.map(words.inputByteCount).max() ?? 0)
    kernels = [1, 2].map { outputs in
      [1, 2].map { inputs in
        let kernel = TileGradientKernel(target: target, outputs: outputs, inputs: inputs)
        return library.kernel(kernel, name: kernel.name) { kernel.code() }
      }
    }
    let transposition = WordTransposition(target: target)
    transpose = library.kernel(transposition, name: transposition.name) { transposition.code() }
    (configure, release) = TileProductKernel.setting(pixels: TileGradientKernel.pixels, library)
  }

  private var sumsByteCount: Int { sums.byteCount * (dividesPixels ? work.count : 1) }
  private var ownByteCount: Int { blockByteCount + panelByteCount + inputByteCount }

  /// The bytes it works in.
  var workspaceByteCount: Int { sumsByteCount + work.count * ownByteCount }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    workers.run(parts: work.count) { worker in
      var nothing = 0
      configure(&nothing)
      let target = dividesPixels ? workspace + worker * sums.byteCount : workspace
      for panel in work[worker].panels {
        for chunk in work[worker].chunks {
          run(
            chunks[chunk], panel, adds: chunk > work[worker].chunks.lowerBound, x, dy, into: target,
            workspace + sumsByteCount + worker * ownByteCount)
        }
      }
      release(&nothing)
    }
    sums.finish(workspace, threads: dividesPixels ? work.count : 1, into: dWeight, workers: workers)
  }

  /// Adds the pixels of a chunk to the sums of some blocks of output channels.
  private func run(
    _ chunk: GradientChunks.Chunk, _ panel: Range<Int>, adds: Bool, _ x: UnsafeRawPointer, _ dy: UnsafeRawPointer,
    into target: UnsafeMutableRawPointer, _ own: UnsafeMutableRawPointer
  ) {
    let left = own + blockByteCount, right = left + panelByteCount
    writeGradient(chunk, panel, dy, into: left, block: own)
    let rowBytes = words.channelByteCount(chunk), tiles = words.tiles(chunk)
    let pixelBytes = words.stride * BlockedTensor.pixelByteCount, rightBlock = words.inputByteCount(chunk)
    let firstInput = panel.lowerBound / sums.outputBlocks * sums.inputBlocks / 2
    for input in stride(from: 0, to: sums.inputBlocks, by: 2) {
      words.writeInput(firstInput + input / 2, chunk, x, into: right)
      let inputs = min(2, sums.inputBlocks - input)
      for tap in 0..<sums.taps {
        for first in stride(from: panel.lowerBound, to: panel.upperBound, by: 2) {
          var arguments = TileGradientArguments(
            left: left + (first - panel.lowerBound) * BlockedTensor.blockChannels * rowBytes,
            right: right + words.byteOffset(tap: tap, chunk),
            sums: target + sums.offset(output: first, input: input, tap: tap), leftStride: rowBytes,
            leftBlock: BlockedTensor.blockChannels * rowBytes, rightStride: pixelBytes, rightBlock: rightBlock,
            rightImage: words.imageByteCount(chunk) - tiles * TileGradientKernel.pixels * pixelBytes, tiles: tiles,
            images: chunk.images.count, sumsOutput: sums.outputBlockStride,
            sumsInput: sums.taps * FilterSums.tileByteCount, adds: adds ? 1 : 0)
          kernels[min(2, panel.upperBound - first) - 1][inputs - 1](&arguments)
        }
      }
    }
  }

  /// Writes the transposed words of a panel.
  private func writeGradient(
    _ chunk: GradientChunks.Chunk, _ panel: Range<Int>, _ dy: UnsafeRawPointer, into left: UnsafeMutableRawPointer,
    block space: UnsafeMutableRawPointer
  ) {
    let rowBytes = words.channelByteCount(chunk)
    for block in panel.lowerBound / 2...(panel.upperBound - 1) / 2 {
      let halves = words.writeGradient(block, chunk, dy, into: space)
      for half in 0..<2 where panel.contains(2 * block + half) {
        var arguments = WordTranspositionArguments(
          source: half == 0 ? halves.0 : halves.1,
          place: left + (2 * block + half - panel.lowerBound) * BlockedTensor.blockChannels * rowBytes,
          rowStride: rowBytes, count: chunk.images.count * words.tiles(chunk))
        transpose(&arguments)
      }
    }
  }
}
