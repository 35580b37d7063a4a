import CNNCore
import CNNRuntime

/// The gradient of the filter that met a picture, whose few channels lie side by side: for each row of the filter the sum
/// over the result's pixels of the picture's numbers under that row, which are neighbours, times the gradient's channels.
///
/// Each thread takes some of the pixels, for which it copies the picture's rows with their border.
struct PictureGradientSchedule: Sendable {
  private let picture: ImageInput
  private let border: BlockedTensor.Border
  private let output: BlockedTensor
  /// How many times 16 channels it has, of which two are a block of bfloat16.
  private let blocks: Int
  private let chunks: GradientChunks
  private let shares: [Range<Int>]
  private let window: Window
  private let parts: [Part]

  private struct Window: Sendable {
    let height, width, strideHeight, strideWidth, reach: Int
    var taps: Int { height * width }

    /// The rows of the picture that some rows of the result read.
    func rows(of rows: Range<Int>) -> Int { (rows.count - 1) * strideHeight + reach }
  }

  /// Neighbouring numbers under the window that are summed together.
  private struct Part: Sendable {
    /// Where they lie, from the window's first number, in bytes.
    let offset: Int
    /// Their place among all numbers under the window.
    let first: Int
    /// For whole blocks of the gradient's channels and for the last one.
    let kernels: [GeneratedKernel]
  }

  init(
    _ g: ConvolutionGeometry, _ picture: ImageInput, output: BlockedTensor, workers: Workers, library: KernelLibrary
  ) {
    (self.picture, self.output, blocks) = (picture, output, output.with(element: .float32).blocks)
    let isWidened = output.element == .bfloat16
    border = g.border
    window = Window(
      height: g.kernelHeight, width: g.kernelWidth, strideHeight: g.strideHeight, strideWidth: g.strideWidth,
      reach: (g.kernelHeight - 1) * g.dilationHeight + 1)
    let rowCount = picture.paddedRowCount(border)
    let cache = library.target.secondCacheByteCount
    let perPixel = output.blocks * BlockedTensor.pixelByteCount + g.strideHeight * g.strideWidth * picture.channels * 4
    chunks = GradientChunks(
      images: g.batch, height: g.outputHeight, width: g.outputWidth, limit: max(64, min(1024, cache / 2 / perPixel)),
      shares: workers.count)
    shares = chunks.shares(workers.count)
    let (window, chunks) = (window, chunks)
    let rows = chunks.chunks.map { $0.images.count * window.rows(of: $0.rows) }.max() ?? 0
    copyByteCount = (rows * rowCount * 4 + 63) / 64 * 64

    let lastLanes = (output.channels - 1) % BlockedTensor.blockChannels < 8 ? 8 : BlockedTensor.blockChannels
    let limit = OuterProductKernel.rowLimit(lanes: BlockedTensor.blockChannels, library.target)
    // Where the window's columns are neighbours, a row of it is one run.
    let (runs, run) =
      g.dilationWidth == 1 ? (1, g.kernelWidth * picture.channels) : (g.kernelWidth, picture.channels)
    let (sizes, counts) = Tiling.cut(run, library.target.hasAVX512 ? limit : run)
    var parts: [Part] = [], first = 0
    for row in 0..<g.kernelHeight {
      for column in 0..<runs {
        var offset = (row * g.dilationHeight * rowCount + column * g.dilationWidth * picture.channels) * 4
        for size in zip(sizes, counts).flatMap({ Array(repeating: $0, count: $1) }) {
          let kernels = [BlockedTensor.blockChannels, lastLanes].map { lanes in
            let kernel = OuterProductKernel(
              target: library.target, rows: size, lanes: lanes, numbers: isWidened ? .widened : .floats)
            return library.kernel(kernel, name: kernel.name) { kernel.code() }
          }
          parts.append(Part(offset: offset, first: first, kernels: kernels))
          first += size
          offset += size * 4
        }
      }
    }
    self.parts = parts
  }

  /// Bytes of a block's sums: 16 channels for each number under the window.
  private var blockByteCount: Int { window.taps * picture.channels * BlockedTensor.pixelByteCount }
  private var sumsByteCount: Int { blocks * blockByteCount }
  /// Bytes of the rows that a chunk reads.
  private let copyByteCount: Int

  /// The bytes it works in.
  var workspaceByteCount: Int { shares.count * (sumsByteCount + copyByteCount) }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let copies = workspace + shares.count * sumsByteCount
    workers.run(parts: shares.count) { worker in
      for index in shares[worker] {
        let copy = copies + worker * copyByteCount
        let chunk = chunks.chunks[index]
        pad(chunk, x, into: copy.assumingMemoryBound(to: Float.self))
        add(
          chunk, copy, dy, to: workspace + worker * sumsByteCount, adds: index > shares[worker].lowerBound)
      }
    }
    finish(workspace.assumingMemoryBound(to: Float.self), into: dWeight, workers: workers)
  }

  /// Copies the rows that a chunk reads.
  private func pad(_ chunk: GradientChunks.Chunk, _ x: UnsafeRawPointer, into y: UnsafeMutablePointer<Float>) {
    let first = chunk.rows.lowerBound * window.strideHeight - border.top
    var target = y
    for image in chunk.images {
      for row in first..<first + window.rows(of: chunk.rows) {
        picture.padRow(row, ofImage: image, x, border, into: target)
        target += picture.paddedRowCount(border)
      }
    }
  }

  /// Adds a chunk's pixels to the sums.
  private func add(
    _ chunk: GradientChunks.Chunk, _ copy: UnsafeRawPointer, _ dy: UnsafeRawPointer,
    to sums: UnsafeMutableRawPointer, adds: Bool
  ) {
    let rowBytes = picture.paddedRowCount(border) * 4, step = window.strideWidth * picture.channels * 4
    let line = BlockedTensor.pixelByteCount
    let loops = PixelLoops(
      .init(count: chunk.columns.count, strideA: step, strideB: line),
      .init(count: chunk.rows.count, strideA: window.strideHeight * rowBytes, strideB: output.rowByteCount),
      .init(
        count: chunk.images.count, strideA: window.rows(of: chunk.rows) * rowBytes, strideB: output.imageByteCount))
    let gradient =
      dy + chunk.images.lowerBound * output.imageByteCount + chunk.rows.lowerBound * output.rowByteCount
      + chunk.columns.lowerBound * line
    let last = blocks - 1, perLine = output.channelsPerBlock / BlockedTensor.blockChannels
    for part in parts {
      for isLast in 0..<2 {
        let blocks = isLast == 1 ? last..<last + 1 : 0..<last
        // Those that begin at the same place of their lines.
        for first in blocks.prefix(perLine) {
          var arguments = OuterProductArguments(
            a: copy + chunk.columns.lowerBound * step + part.offset,
            b: gradient + first / perLine * output.blockByteCount + first % perLine * line / perLine,
            sums: sums + first * blockByteCount + part.first * line, rowStride: line, adds: adds ? 1 : 0,
            pixels: loops, repetitions: (blocks.upperBound - first + perLine - 1) / perLine,
            repetitionB: output.blockByteCount, repetitionSums: perLine * blockByteCount)
          part.kernels[isLast](&arguments)
        }
      }
    }
  }

  /// Adds up what the threads have summed and writes it row-major.
  private func finish(
    _ sums: UnsafeMutablePointer<Float>, into dWeight: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let block = BlockedTensor.blockChannels, channels = picture.channels, taps = window.taps
    workers.forEachRange(of: output.channels, grain: block) { range, _ in
      for channel in range {
        let source = sums + channel / block * (blockByteCount / 4) + channel % block
        for input in 0..<channels {
          for tap in 0..<taps {
            var sum: Float = 0
            for thread in shares.indices {
              sum += source[thread * (sumsByteCount / 4) + (tap * channels + input) * block]
            }
            dWeight[(channel * channels + input) * taps + tap] = sum
          }
        }
      }
    }
  }
}
