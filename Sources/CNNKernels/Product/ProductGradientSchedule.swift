import CNNCore
import CNNRuntime

/// The gradient of a filter as products of matrices: for each tap the sum over the result's pixels of the gradient's
/// channels times those of the pixel that the tap reads.
///
/// Both tensors are read where they lie: of pixels beside the image, whose products are zero, the loops are shorter. A
/// chunk of pixels of the gradient stays in the second cache while all blocks of the input pass by, a block's pixels stay
/// in the first one while all taps and blocks of the gradient do. Where one tap leaves pixels out between those that it
/// reads, which would take up the caches too, a block's pixels are first copied next to each other.
///
/// Of images of bfloat16 each chunk is copied, as words of two pixels, and all that is said of pixels is of words.
struct ProductGradientSchedule: Sendable {
  private let input, output: BlockedTensor
  private let sums: FilterSums
  /// By whether the block of output channels and that of input channels is the last.
  private let kernels: [[GeneratedKernel]]
  /// For each chunk and tap what is summed.
  private let pieces: [Piece]
  /// How the chunks become words; nil where pixels are read as they lie.
  private let pairing: Pairing?
  /// What each thread does.
  private let work: [Work]
  /// For each chunk the pixels of the result, where those that they read are copied.
  private let packedPixels: [Range<Int>]
  private let strideHeight, strideWidth: Int
  /// Whether the pixels are divided among the threads, or else the output channels.
  private let dividesPixels: Bool

  /// The pixels of a chunk that meet the image at a tap; no lines where none does.
  private struct Piece: Sendable {
    let loops: PixelLoops
    /// The first pixel of the gradient and of the input, in bytes.
    let gradient, input: Int
  }

  private struct Pairing: Sendable {
    let input, gradient: PixelPairs
    /// For each chunk what is copied of both.
    let regions: [(input: PixelRegion, gradient: PixelRegion)]
    /// Bytes of the words of a block of the input, and of the blocks of a panel.
    let inputByteCount, gradientByteCount: Int

    init(
      _ shape: ProductGradientShape, _ chunks: GradientChunks, _ input: BlockedTensor, _ output: BlockedTensor,
      panelBlocks: Int, library: KernelLibrary
    ) {
      self.input = PixelPairs(shape.isFlat ? input.halves : input, library: library)
      gradient = PixelPairs(shape.isFlat ? output.halves : output, library: library)
      regions = chunks.chunks.map(shape.regions)
      // Of two blocks of words, which are one of the tensor; a panel may begin and end within one.
      inputByteCount = 2 * (regions.map(\.input.blockByteCount).max() ?? 0)
      gradientByteCount = (panelBlocks + 2) * (regions.map(\.gradient.blockByteCount).max() ?? 0)
    }

    /// Writes the words of a panel's gradient behind those of the input: where its first block begins, and bytes from each to
    /// the next.
    func writeGradient(
      _ panel: Range<Int>, ofChunk chunk: Int, _ dy: UnsafeRawPointer, into copy: UnsafeMutableRawPointer
    ) -> (first: UnsafeRawPointer, step: Int) {
      let region = regions[chunk].gradient, step = region.blockByteCount, place = copy + inputByteCount
      let first = panel.lowerBound / 2
      for block in first...(panel.upperBound - 1) / 2 {
        gradient.write(block, of: region, dy, into: place + 2 * (block - first) * step)
      }
      return (UnsafeRawPointer(place + panel.lowerBound % 2 * step), step)
    }

    /// Where the words of a block of the input begin, after those of a block of the tensor have been written with its first.
    func writeInput(
      _ block: Int, ofChunk chunk: Int, _ x: UnsafeRawPointer, into copy: UnsafeMutableRawPointer
    ) -> UnsafeRawPointer {
      let region = regions[chunk].input
      if block % 2 == 0 { input.write(block / 2, of: region, x, into: copy) }
      return UnsafeRawPointer(copy + block % 2 * region.blockByteCount)
    }
  }

  private struct Work: Sendable {
    let chunks: Range<Int>
    /// Blocks of output channels of one group that are computed together.
    let panels: [Range<Int>]
  }

  init(
    _ groups: ChannelGroups, input: BlockedTensor, output: BlockedTensor, workers: Workers, library: KernelLibrary
  ) {
    let g = groups.geometry
    (self.input, self.output) = (input, output)
    var sums = FilterSums(groups, library: library)
    let block = BlockedTensor.blockChannels
    kernels = [block, sums.lastOutputs].map { rows in
      [16, sums.lastInputs <= 8 ? 8 : 16].map { lanes in
        let kernel = OuterProductKernel(
          target: library.target, rows: rows, lanes: lanes, numbers: input.element == .bfloat16 ? .pairs : .floats)
        return library.kernel(kernel, name: kernel.name) { kernel.code() }
      }
    }
    let shape = ProductGradientShape(g, input, output)
    (strideHeight, strideWidth) = (g.strideHeight, g.strideWidth)
    let plan = ProductGradientPlan.best(shape, sums, workers, library.target)
    let chunks = shape.chunks(plan, workers)
    dividesPixels = plan.dividesPixels
    packedPixels = shape.isPacked ? chunks.chunks.map(\.rows) : []
    pairing =
      shape.isPaired ? Pairing(shape, chunks, input, output, panelBlocks: plan.panelBlocks, library: library) : nil
    packedByteCount =
      pairing.map { $0.inputByteCount + $0.gradientByteCount }
      ?? (packedPixels.map(\.count).max() ?? 0) * BlockedTensor.pixelByteCount
    sums.isInPlace = !plan.dividesPixels && sums.isPossibleInPlace
    self.sums = sums
    pieces = chunks.chunks.flatMap { chunk in
      (0..<g.kernelHeight * g.kernelWidth).map { Self.piece(chunk, tap: $0, shape, g) }
    }
    let shares =
      plan.dividesPixels
      ? chunks.shares(workers.count)
      : Array(
        repeating: 0..<chunks.chunks.count, count: min(workers.count, sums.allOutputBlocks))
    let all = sums.allOutputBlocks
    work = shares.indices.map { index in
      let count = plan.dividesPixels ? 1 : shares.count
      let share = plan.dividesPixels ? 0..<all : all * index / count..<all * (index + 1) / count
      return Work(chunks: shares[index], panels: sums.panels(share, limit: plan.panelBlocks))
    }
  }

  private static func piece(
    _ chunk: GradientChunks.Chunk, tap: Int, _ shape: ProductGradientShape, _ g: ConvolutionGeometry
  ) -> Piece {
    let line = BlockedTensor.pixelByteCount, (input, output) = shape.regions(chunk)
    if shape.isFlat {
      let first = shape.isPaired ? 0 : chunk.rows.lowerBound * line
      return Piece(
        loops: PixelLoops(tiles: chunk.rows.count), gradient: first, input: shape.isPacked ? 0 : first)
    }
    let row = tap / g.kernelWidth, column = tap % g.kernelWidth
    let rows = g.rowAxis.outputs(atTap: row).clamped(to: chunk.rows)
    let columns = g.columnAxis.outputs(atTap: column).clamped(to: chunk.columns)
    let images = rows.isEmpty || columns.isEmpty ? 0..<0 : chunk.images
    let inputRow = rows.lowerBound * g.strideHeight + row * g.dilationHeight - g.padTop
    let inputColumn = columns.lowerBound * g.strideWidth + column * g.dilationWidth - g.padLeft
    return Piece(
      loops: PixelLoops(
        .init(count: images.isEmpty ? 0 : columns.count, strideA: line, strideB: g.strideWidth * line),
        .init(count: rows.count, strideA: output.rowByteCount, strideB: g.strideHeight * input.rowByteCount),
        .init(count: images.count, strideA: output.imageByteCount, strideB: input.imageByteCount)),
      gradient: output.byteOffset(image: images.lowerBound, row: rows.lowerBound, column: columns.lowerBound),
      input: input.byteOffset(image: images.lowerBound, row: inputRow, column: inputColumn))
  }

  /// The bytes it works in.
  var workspaceByteCount: Int { sumsByteCount + work.count * packedByteCount }

  /// Bytes of the sums of all threads, and of a block's pixels that one copies.
  private var sumsByteCount: Int { sums.isInPlace ? 0 : sums.byteCount * (dividesPixels ? work.count : 1) }
  private let packedByteCount: Int

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let target = sums.isInPlace ? UnsafeMutableRawPointer(dWeight) : workspace
    let packed = workspace + sumsByteCount
    workers.run(parts: work.count) { worker in
      let place = dividesPixels ? target + worker * sums.byteCount : target
      for panel in work[worker].panels {
        for chunk in work[worker].chunks {
          run(
            chunk, panel, adds: chunk > work[worker].chunks.lowerBound, x, dy, into: place,
            packed: packed + worker * packedByteCount)
        }
      }
    }
    if !sums.isInPlace {
      sums.finish(workspace, threads: dividesPixels ? work.count : 1, into: dWeight, workers: workers)
    }
  }

  /// Adds the pixels of a chunk to the sums of some blocks of output channels.
  private func run(
    _ chunk: Int, _ panel: Range<Int>, adds: Bool, _ x: UnsafeRawPointer, _ dy: UnsafeRawPointer,
    into target: UnsafeMutableRawPointer, packed: UnsafeMutableRawPointer
  ) {
    let firstInput = panel.lowerBound / sums.outputBlocks * sums.inputBlocks
    let endsShort = sums.outputs(of: panel.upperBound - 1) < BlockedTensor.blockChannels
    let whole = panel.lowerBound..<panel.upperBound - (endsShort ? 1 : 0)
    var gradient = (first: dy + panel.lowerBound * output.blockByteCount, step: output.blockByteCount)
    if let pairing { gradient = pairing.writeGradient(panel, ofChunk: chunk, dy, into: packed) }
    for input in 0..<sums.inputBlocks {
      let isLastInput = input == sums.inputBlocks - 1
      var source = x + (firstInput + input) * self.input.blockByteCount
      if let pairing {
        source = pairing.writeInput(firstInput + input, ofChunk: chunk, x, into: packed)
      } else if !packedPixels.isEmpty {
        pack(packedPixels[chunk], of: source, into: packed)
        source = UnsafeRawPointer(packed)
      }
      for tap in 0..<sums.taps {
        let piece = pieces[chunk * sums.taps + tap]
        if piece.loops.pixels == 0 {
          if !adds { sums.clear(panel, input: input, tap: tap, target) }
          continue
        }
        for part in 0..<2 {
          let isShort = part == 1
          let outputs = isShort ? whole.upperBound..<panel.upperBound : whole
          if outputs.isEmpty { continue }
          var arguments = OuterProductArguments(
            a: gradient.first + (outputs.lowerBound - panel.lowerBound) * gradient.step + piece.gradient,
            b: source + piece.input,
            sums: target + sums.offset(output: outputs.lowerBound, input: input, tap: tap),
            rowStride: sums.rowStride, adds: adds ? 1 : 0, pixels: piece.loops,
            repetitions: outputs.count, repetitionA: gradient.step, repetitionSums: sums.outputBlockStride)
          kernels[isShort ? 1 : 0][isLastInput ? 1 : 0](&arguments)
        }
      }
    }
  }

  /// Copies what some pixels of the result read of a block next to each other.
  private func pack(_ pixels: Range<Int>, of source: UnsafeRawPointer, into packed: UnsafeMutableRawPointer) {
    let line = BlockedTensor.pixelByteCount, step = strideWidth * line
    var target = packed.assumingMemoryBound(to: Float.self)
    var pixel = pixels.lowerBound
    while pixel < pixels.upperBound {
      let row = pixel / output.width, column = pixel % output.width
      let end = min(pixels.upperBound, pixel - column + output.width)
      var place =
        source + row / output.height * input.imageByteCount
        + row % output.height * strideHeight * input.rowByteCount + column * step
      while pixel < end {
        place.loadUnaligned(as: SIMD16<Float>.self).store(target)
        place += step
        target += BlockedTensor.blockChannels
        pixel += 1
      }
    }
  }
}
