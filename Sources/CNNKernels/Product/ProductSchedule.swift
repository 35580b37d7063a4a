import CNNCore
import CNNRuntime
import X86Assembler

/// Where the left side of a product lies: blocks of channels, or an image as NHWC, with its border of zeros in place.
struct ProductInput: Hashable, Sendable {
  let images, pixelByteCount, rowByteCount, imageByteCount, blockByteCount: Int
  let channels, blockDepth: Int
  /// The type of its numbers.
  let element: ElementType

  var blocks: Int { (channels + blockDepth - 1) / blockDepth }

  init(_ tensor: BlockedTensor) {
    (images, channels, blockDepth) = (tensor.images, tensor.channels, tensor.channelsPerBlock)
    element = tensor.element
    pixelByteCount = BlockedTensor.pixelByteCount
    (rowByteCount, imageByteCount) = (tensor.rowByteCount, tensor.imageByteCount)
    blockByteCount = tensor.blockByteCount
  }

  /// A picture of bytes as NHWC with its border, the windows' rows of which are channels; or the same as 16-bit numbers.
  init(_ picture: BytePicture, _ g: ConvolutionGeometry, _ element: ElementType) throws(CNNError) {
    images = g.batch
    channels = try picture.product.inputChannels
    (blockDepth, self.element) = (channels, element)
    pixelByteCount = picture.channels * g.strideWidth * element.byteCount
    rowByteCount = picture.rowByteCount * element.byteCount
    imageByteCount = picture.imageByteCount * element.byteCount
    blockByteCount = images * imageByteCount
  }

  /// Images of `height` x `width` x `channels`, row-major.
  init(images: Int, height: Int, width: Int, channels: Int) {
    (self.images, self.channels, blockDepth, element) = (images, channels, channels, .float32)
    pixelByteCount = channels * 4
    rowByteCount = width * pixelByteCount
    imageByteCount = height * rowByteCount
    blockByteCount = images * imageByteCount
  }
}

/// A convolution as products of tiles: which kernels, in which order, and what each thread does.
///
/// The filter's window begins at the first pixel of the (padded) input; its result has no border.
struct ProductSchedule: Sendable {
  /// Some tiles, one after the other, that one call of a kernel computes.
  struct Run: Sendable {
    /// Which of a panel's kernels.
    let kernel: Int
    /// Where its first tile begins, in bytes.
    var input, output: Int
    var tiles: Int
    let rows: Int
    /// Its first pixel among those of all runs.
    var pixel: Int
  }

  /// How its filter is packed.
  let packing: FilterPacking
  private var filter: PackedFilter { packing.filter }
  /// For each panel, its kernels by the number in `Run.kernel`.
  let kernels: [[GeneratedKernel]]
  /// What each thread does: these panels for these chunks of runs.
  let work: [Work]

  struct Work: Sendable {
    let panels: Range<Int>
    /// Runs whose input stays in the second cache while the panels pass by.
    let chunks: [[Run]]
  }

  /// Whether its image's pixels are those of its result, one after the other.
  let isPixelByPixel: Bool
  /// Where sums are multiplied, for each number in `Run.kernel` what computes the rows' terms.
  private let termKernels: [GeneratedKernel]
  /// The bytes of the rows' terms.
  let termByteCount: Int
  /// Where all threads read the same words of levels, of each the runs that it prepares; else each prepares its own.
  private let preparedRuns: [[Run]]
  private let output: BlockedTensor
  /// For each panel, where the input channels that it reads begin, in bytes.
  private let panelInputs: [Int]
  /// `RepeatedNumbers` of a requantisation.
  private let numbers: [Float]
  /// How many numbers each channel has among the multipliers.
  let multiplierCount: Int

  /// Plans the convolution of `input` with a window of `kernel`, `stride` and `dilation`.
  /// - Parameters:
  ///   - groups: in how many groups of whole blocks the input's and the output's channels are.
  ///   - places: the pixels that are computed.
  init(
    _ input: ProductInput, groups: Int = 1, kernel: [Int], stride: [Int], dilation: [Int], output places: PixelGrid,
    filterOrder: FilterOrder? = nil, epilogue: Epilogue, requantization: Requantization? = nil, workers: Workers,
    library: KernelLibrary
  ) {
    let target = library.target, output = places.tensor
    let isContiguous =
      kernel == [1, 1] && stride == [1, 1] && places == PixelGrid(output) && output.border == .none
      && input.imageByteCount == output.imageByteCount && input.rowByteCount == output.rowByteCount
    isPixelByPixel = isContiguous
    let linePixels = isContiguous ? output.images * output.height * output.width : places.width
    let lineCount = isContiguous ? 1 : output.images * places.height
    let channels = input.channels / groups, blocks = (channels + input.blockDepth - 1) / input.blockDepth
    let element = input.element, isRounded = output.element == .bfloat16
    let requantizing = requantization.map(Requantizing.init)
    numbers = requantization?.numbers(library.target) ?? []
    multiplierCount = requantization?.numbersPerChannel ?? 1
    // What is rounded is written in whole columns of 16.
    let outputs = isRounded ? (output.channels / groups + 15) / 16 * 16 : output.channels / groups
    let allDepth = element.words(channels) * kernel[0] * kernel[1]
    let multipliesSums =
      groups == 1
      && ProductOfSums.pays(element, rows: lineCount * linePixels, columns: outputs, depth: allDepth, target)
    let tiling = Tiling.best(
      linePixels: linePixels, channels: outputs, depth: allDepth,
      temporaries: requantizing?.temporaryCount(target) ?? epilogue.temporaryCount, wholeBlocks: element.isInteger,
      input: element, multipliesSums: multipliesSums, target)
    let panels = Array(repeating: tiling.panels, count: groups).flatMap { $0 }
    panelInputs = panels.indices.map { $0 / tiling.panels.count * blocks * input.blockByteCount }
    let filter = PackedFilter(
      outputChannels: output.channels, inputChannels: channels, height: kernel[0], width: kernel[1],
      blockDepth: input.blockDepth, panels: panels, element: element == .uint8 ? .int8 : element,
      hasTerms: multipliesSums)
    packing = FilterPacking(filter, order: filterOrder, library: library)
    self.output = output

    // The depth, as loops.
    var depth = DepthLoops(
      loops: [], run: element.words(input.blockDepth), lastRun: element.words((channels - 1) % input.blockDepth + 1))
    if blocks > 1 {
      depth.loops.append(.init(count: blocks, stride: input.blockByteCount))
    } else {
      depth.run = depth.lastRun
    }
    if kernel[0] > 1 { depth.loops.append(.init(count: kernel[0], stride: dilation[0] * input.rowByteCount)) }
    if kernel[1] > 1 {
      if blocks == 1, depth.run * 4 == input.pixelByteCount, dilation[1] == 1, depth.run * kernel[1] <= 64 {
        depth.run *= kernel[1]  // The window's columns are neighbours.
      } else {
        depth.loops.append(.init(count: kernel[1], stride: dilation[1] * input.pixelByteCount))
      }
    }
    if blocks == 1 { depth.lastRun = depth.run }

    let step = stride[1] * input.pixelByteCount
    // With few tiles the time is that of reading the filter.
    let prefetchDistance =
      filter.count * 4 > target.secondCacheByteCount / 2 && tiling.tileCounts.reduce(0, +) * lineCount <= 32 ? 4096 : 0
    func makeKernels(_ panel: Int) -> [GeneratedKernel] {
      let columns = panels[panel], lane = filter.firstLane(of: panel) % output.channelsPerBlock
      let end = lane + filter.lanes(of: panel), isInOneBlock = end <= output.channelsPerBlock
      let endsHalfway = isRounded && panel == panels.count - 1 && end % output.channelsPerBlock == 16
      var result: [GeneratedKernel] = []
      for rows in tiling.rowCounts {
        result.append(
          library.kernel(
            ProductKernel(
              target: target, rows: (0..<rows).map { $0 * step }, columns: columns, depth: depth,
              outputRows: (0..<rows).map { $0 * places.pixelByteCount },
              outputBlockStride: output.blockByteCount, tileStep: rows * step,
              outputTileStep: rows * places.pixelByteCount, epilogue: epilogue,
              prefetchDistance: prefetchDistance, input: element, output: output.element,
              firstLane: isInOneBlock ? 0 : lane, fillsBlock: endsHalfway, requantizing: requantizing,
              multipliesSums: multipliesSums)))
      }
      return result
    }
    var kernels: [[GeneratedKernel]] = []
    for panel in panels.indices { kernels.append(makeKernels(panel)) }
    self.kernels = kernels

    // All runs in the order of the pixels.
    var runs: [Run] = []
    for line in 0..<lineCount {
      let (image, row) = isContiguous ? (0, 0) : (line / places.height, line % places.height)
      let start = image * input.imageByteCount + row * stride[0] * input.rowByteCount
      let outputStart = places.originByteOffset + image * output.imageByteCount + row * places.rowByteCount
      var pixel = 0
      for (kernel, rows) in tiling.rowCounts.enumerated() where tiling.tileCounts[kernel] > 0 {
        runs.append(
          Run(
            kernel: kernel, input: start + pixel * step, output: outputStart + pixel * places.pixelByteCount,
            tiles: tiling.tileCounts[kernel], rows: rows, pixel: line * linePixels + pixel))
        pixel += rows * tiling.tileCounts[kernel]
      }
    }
    termByteCount = multipliesSums ? lineCount * linePixels * 4 : 0
    termKernels =
      multipliesSums
      ? tiling.rowCounts.map { rows in
        library.kernel(
          RowTermsKernel(target: target, rows: (0..<rows).map { $0 * step }, tileStep: rows * step, depth: depth))
      } : []
    let filterBytes = filter.count * 4
    let inputBytes = input.images * input.imageByteCount * input.blocks
    let tileBytes = tiling.rowCounts[0] * stride[0] * stride[1] * input.channels * element.byteCount
    let shares = Self.divide(
      runs, panels: panels.count, filterBytes: filterBytes, inputBytes: inputBytes, count: workers.count,
      chunkTiles: max(1, target.secondCacheByteCount / 3 / max(1, tileBytes)), step: step,
      outputStep: places.pixelByteCount)
    work = shares
    let sharesRuns = shares.contains { $0.panels.count < panels.count }, tiles = runs.reduce(0) { $0 + $1.tiles }
    preparedRuns =
      element == .int16 && sharesRuns
      ? shares.indices.map {
        let part = tiles * $0 / shares.count..<tiles * ($0 + 1) / shares.count
        return Self.cut(runs, part, .max, step, places.pixelByteCount).flatMap { $0 }
      } : []
  }

  /// Divides panels or pixels among the threads, whichever leaves less to the busiest one.
  private static func divide(
    _ runs: [Run], panels: Int, filterBytes: Int, inputBytes: Int, count: Int, chunkTiles: Int, step: Int,
    outputStep: Int
  ) -> [Work] {
    let tiles = runs.reduce(0) { $0 + $1.tiles }
    func busiest(_ units: Int) -> Double { Double((units + count - 1) / count) / Double(units) * Double(count) }
    // What is not divided is read by every thread: that of panels costs the input, that of pixels the filter.
    let byPanel = busiest(panels) + Double(inputBytes) * 1e-8, byTile = busiest(tiles) + Double(filterBytes) * 1e-8
    if byPanel < byTile {
      let chunks = cut(runs, 0..<tiles, chunkTiles, step, outputStep)
      return (0..<min(count, panels)).map {
        Work(panels: panels * $0 / min(count, panels)..<panels * ($0 + 1) / min(count, panels), chunks: chunks)
      }
    }
    let parts = min(count, tiles)
    return (0..<parts).map {
      Work(
        panels: 0..<panels,
        chunks: cut(runs, tiles * $0 / parts..<tiles * ($0 + 1) / parts, chunkTiles, step, outputStep))
    }
  }

  /// The runs of some tiles, in chunks of at most `chunkTiles`.
  private static func cut(_ runs: [Run], _ tiles: Range<Int>, _ chunkTiles: Int, _ step: Int, _ outputStep: Int)
    -> [[Run]]
  {
    var chunks: [[Run]] = [], chunk: [Run] = []
    var room = chunkTiles, position = 0
    for run in runs {
      var first = max(0, tiles.lowerBound - position)
      let end = min(run.tiles, tiles.upperBound - position)
      position += run.tiles
      while first < end {
        let count = min(end - first, room)
        var part = run
        part.input += first * run.rows * step
        part.output += first * run.rows * outputStep
        part.pixel += first * run.rows
        part.tiles = count
        chunk.append(part)
        first += count
        room -= count
        if room == 0 {
          chunks.append(chunk)
          (chunk, room) = ([], chunkTiles)
        }
      }
    }
    if !chunk.isEmpty { chunks.append(chunk) }
    return chunks
  }

  /// Computes all of it.
  /// - Parameters:
  ///   - bias: a word of 32 bits for each lane: floats, or of levels what their sums begin with.
  ///   - multipliers: of levels, see `Requantization.multipliers`.
  ///   - widening: what makes levels the words of `input`, where it is pixel by pixel and they are not there yet.
  ///   - terms: of levels, `termByteCount` bytes to work in.
  func run(
    _ input: UnsafeRawPointer, filter packed: UnsafeRawPointer, bias: UnsafeRawPointer?,
    multipliers: UnsafePointer<Float>? = nil, residual: UnsafeRawPointer?, into output: UnsafeMutableRawPointer,
    widening: PixelWidening? = nil, terms: UnsafeMutableRawPointer? = nil, workers: Workers
  ) {
    if !preparedRuns.isEmpty, widening != nil || !termKernels.isEmpty {
      workers.run(parts: preparedRuns.count) { worker in prepare(preparedRuns[worker], input, widening, terms) }
    }
    numbers.withUnsafeBytes { numbers in
      workers.run(parts: work.count) { worker in
        run(work[worker], input, packed, bias, multipliers, numbers.baseAddress, residual, output, widening, terms)
      }
    }
  }

  /// The words of some runs, where they are not there yet, and their rows' terms.
  private func prepare(
    _ runs: [Run], _ input: UnsafeRawPointer, _ widening: PixelWidening?, _ terms: UnsafeMutableRawPointer?
  ) {
    for run in runs {
      widening?.widen(run.pixel..<run.pixel + run.tiles * run.rows)
      if let terms, !termKernels.isEmpty {
        var arguments = RowTermsArguments(a: input + run.input, terms: terms + run.pixel * 4, tiles: run.tiles)
        termKernels[run.kernel](&arguments)
      }
    }
  }

  private func run(
    _ work: Work, _ input: UnsafeRawPointer, _ packed: UnsafeRawPointer, _ bias: UnsafeRawPointer?,
    _ multipliers: UnsafePointer<Float>?, _ numbers: UnsafeRawPointer?, _ residual: UnsafeRawPointer?,
    _ output: UnsafeMutableRawPointer, _ widening: PixelWidening?, _ terms: UnsafeMutableRawPointer?
  ) {
    for chunk in work.chunks {
      if preparedRuns.isEmpty { prepare(chunk, input, widening, terms) }
      for panel in work.panels {
        let firstLane = filter.firstLane(of: panel)
        let shift = self.output.byteOffset(channel: firstLane)
        let panelFilter = packed + firstLane * filter.wordsPerLane * 4
        let panelBias = bias.map { $0 + firstLane * 4 } ?? panelFilter
        let panelMultipliers = multipliers.map { UnsafeRawPointer($0 + firstLane * multiplierCount) }
        let kernels = kernels[panel]
        for run in chunk {
          var arguments = ProductArguments(
            a: input + panelInputs[panel] + run.input, filter: panelFilter, bias: panelBias,
            output: output + run.output + shift,
            residual: (residual ?? UnsafeRawPointer(output)) + run.output + shift, tiles: run.tiles,
            multipliers: panelMultipliers, numbers: numbers,
            terms: terms.map { UnsafeRawPointer($0 + run.pixel * 4) })
          kernels[run.kernel](&arguments)
        }
      }
    }
  }
}
