import CNNCore
import CNNRuntime

/// The gradient of a filter as products of matrices: for each tap the sum over the result's pixels of the gradient's
/// channels times those of the pixel that the tap reads.
///
/// Both tensors are read where they lie: of pixels beside the image, whose products are zero, the loops are shorter. A
/// chunk of pixels of the gradient stays in the second cache while all blocks of the input pass by, a block's pixels stay
/// in the first one while all taps and blocks of the gradient do. Where one tap leaves pixels out between those that it
/// reads, which would take up the caches too, a block's pixels are first copied next to each other.
struct ProductGradientSchedule: Sendable {
  private let input, output: BlockedTensor
  private let sums: FilterSums
  /// By whether the block of output channels and that of input channels is the last.
  private let kernels: [[GeneratedKernel]]
  /// For each chunk and tap what is summed.
  private let pieces: [Piece]
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
        let kernel = OuterProductKernel(target: library.target, rows: rows, lanes: lanes)
        return library.kernel(kernel, name: kernel.name) { kernel.code() }
      }
    }
    let shape = Shape(g, input, output)
    (strideHeight, strideWidth) = (g.strideHeight, g.strideWidth)
    let plan = Plan.best(shape, sums, workers, library.target)
    let chunks = shape.chunks(plan, workers)
    dividesPixels = plan.dividesPixels
    packedPixels = shape.isPacked ? chunks.chunks.map(\.rows) : []
    packedByteCount = (packedPixels.map(\.count).max() ?? 0) * BlockedTensor.pixelByteCount
    sums.isInPlace = !plan.dividesPixels && sums.isPossibleInPlace
    self.sums = sums
    pieces = chunks.chunks.flatMap { chunk in
      (0..<g.kernelHeight * g.kernelWidth).map { Self.piece(chunk, tap: $0, shape, g, input, output) }
    }
    let shares =
      plan.dividesPixels
      ? chunks.shares(workers.count)
      : Array(
        repeating: 0..<chunks.chunks.count, count: min(workers.count, sums.allOutputBlocks))
    let all = sums.allOutputBlocks, groupBlocks = sums.outputBlocks
    work = shares.indices.map { index in
      let count = plan.dividesPixels ? 1 : shares.count
      let share = plan.dividesPixels ? 0..<all : all * index / count..<all * (index + 1) / count
      return Work(chunks: shares[index], panels: Self.panels(share, of: groupBlocks, limit: plan.panelBlocks))
    }
  }

  /// The result's pixels: those of a convolution with one tap, which always meets a pixel of the image, are one long
  /// column.
  private struct Shape {
    let images, height, width: Int
    let isFlat: Bool
    /// Whether the pixels that they read are copied.
    let isPacked: Bool
    /// Bytes of the whole input.
    let inputByteCount: Int
    /// How many pixels of a block of the input are in the caches for each of the result.
    let inputPixels: Double

    init(_ g: ConvolutionGeometry, _ input: BlockedTensor, _ output: BlockedTensor) {
      isFlat =
        g.kernelHeight == 1 && g.kernelWidth == 1
        && [g.padTop, g.padLeft, g.padBottom, g.padRight].allSatisfy { $0 == 0 }
      isPacked = isFlat && !g.isPointwise
      images = isFlat ? 1 : output.images
      height = isFlat ? output.images * output.height * output.width : output.height
      width = isFlat ? 1 : output.width
      inputByteCount = input.blocks * input.images * input.imageByteCount
      inputPixels =
        isFlat ? 1 : Double(input.height * input.width) / Double(output.height * output.width)
    }

    var pixels: Int { images * height * width }

    func chunks(_ plan: Plan, _ workers: Workers) -> GradientChunks {
      GradientChunks(
        images: images, height: height, width: width, limit: plan.chunkPixels,
        shares: plan.dividesPixels ? workers.count : 1)
    }
  }

  /// How the work is cut.
  private struct Plan {
    let chunkPixels, panelBlocks: Int
    let dividesPixels: Bool

    /// The cheapest by an estimate of the cycles of the busiest thread.
    static func best(
      _ shape: Shape, _ sums: FilterSums, _ workers: Workers, _ target: CodeTarget
    ) -> Plan {
      var best = Plan(chunkPixels: 256, panelBlocks: 1, dividesPixels: false), lowest = Double.infinity
      let line = BlockedTensor.pixelByteCount, cache = target.secondCacheByteCount
      let inputBytes = Double(shape.inputByteCount), inputPixels = shape.inputPixels
      for dividesPixels in workers.count > 1 ? [false, true] : [false] {
        for chunkPixels in [96, 128, 192, 256, 384, 512, 800] {
          let threads = workers.count, all = sums.allOutputBlocks
          let share = dividesPixels ? all : (all + threads - 1) / threads
          let room = Int(0.55 * Double(cache) / Double(line * chunkPixels) - inputPixels)
          let panel = max(1, min(min(share, sums.outputBlocks), room))
          let plan = Plan(chunkPixels: chunkPixels, panelBlocks: panel, dividesPixels: dividesPixels)
          let chunks = shape.chunks(plan, workers).chunks.count
          let chunkShare = dividesPixels ? (chunks + threads - 1) / threads : chunks
          let part = Double(chunkShare) / Double(chunks)
          let tiles = Double(share * sums.inputBlocks * sums.taps)
          var cycles = part * Double(shape.pixels) * tiles * 16
          // A block of the input that does not stay in the first cache.
          if inputPixels * Double(chunkPixels * line) > Double(24 << 10) { cycles *= 1.02 }
          // Sums come from the second cache or a farther one.
          let tileBytes = tiles * Double(FilterSums.tileByteCount)
          cycles += Double(chunkShare) * tiles * (tileBytes > Double(cache / 2) ? 220 : 70)
          // The input is read for each panel.
          let groupCount = sums.allOutputBlocks / sums.outputBlocks
          let panels = Double((share + panel - 1) / panel) / Double(groupCount)
          cycles += max(1, panels) * inputBytes * part / 16
          if dividesPixels { cycles += tileBytes / 8 + 10_000 }
          if cycles < lowest { (best, lowest) = (plan, cycles) }
        }
      }
      return best
    }
  }

  /// Cuts blocks of output channels where groups end and into parts of at most `limit`.
  private static func panels(_ share: Range<Int>, of groupBlocks: Int, limit: Int) -> [Range<Int>] {
    var result: [Range<Int>] = [], first = share.lowerBound
    while first < share.upperBound {
      let end = min(share.upperBound, (first / groupBlocks + 1) * groupBlocks)
      let count = (end - first + limit - 1) / limit
      for part in 0..<count {
        result.append(first + (end - first) * part / count..<first + (end - first) * (part + 1) / count)
      }
      first = end
    }
    return result
  }

  private static func piece(
    _ chunk: GradientChunks.Chunk, tap: Int, _ shape: Shape, _ g: ConvolutionGeometry, _ input: BlockedTensor,
    _ output: BlockedTensor
  ) -> Piece {
    let line = BlockedTensor.pixelByteCount
    if shape.isFlat {
      let first = chunk.rows.lowerBound * line
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
      gradient: images.lowerBound * output.imageByteCount + rows.lowerBound * output.rowByteCount
        + columns.lowerBound * line,
      input: images.lowerBound * input.imageByteCount + inputRow * input.rowByteCount + inputColumn * line)
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
    for input in 0..<sums.inputBlocks {
      let isLastInput = input == sums.inputBlocks - 1
      var source = x + (firstInput + input) * self.input.blockByteCount
      if !packedPixels.isEmpty {
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
            a: dy + outputs.lowerBound * output.blockByteCount + piece.gradient,
            b: source + piece.input,
            sums: target + sums.offset(output: outputs.lowerBound, input: input, tap: tap),
            rowStride: sums.rowStride, adds: adds ? 1 : 0, pixels: piece.loops,
            repetitions: outputs.count, repetitionA: output.blockByteCount, repetitionSums: sums.outputBlockStride)
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
