import CNNCore
import CNNRuntime

/// The first two convolutions of an inverted bottleneck in one: a pointwise one that makes many channels of few, and a
/// depthwise one that reads them.
///
/// What lies between the two is the largest tensor of the block, and is never all in memory: 16 of its channels at a time
/// are made for a strip of rows, which stays in the second cache, and are read there. Rows on which two strips depend are
/// made twice.
public struct ExpandedDepthwise: Sendable {
  /// The image before and after.
  public let input, output: BlockedTensor
  private let hidden: BlockedTensor
  private let expansion: FilterPacking
  private let depthwise: WindowSchedule
  private let strips: [Strip]
  private let strip: BlockedTensor
  private let threads: Int

  /// Some rows of the result and what they depend on.
  private struct Strip: Sendable {
    let rows: Range<Int>
    /// Rows of the hidden image.
    let hiddenRows: Range<Int>
    /// The kernels that make a block's columns of channels, with the first pixel and the number of tiles.
    let calls: [(kernels: BlockKernels, pixel: Int, tiles: Int)]
  }

  /// How many cycles each of the workers will take, counted as by `ConvolutionAlgorithm`: the multiply-adds of both.
  public static func cycles(
    _ expansion: ConvolutionGeometry, depthwise g: ConvolutionGeometry, workers: Workers
  ) -> Double {
    let products =
      ConvolutionCost.products(expansion) * Double(expansion.outputPixels)
      + Double(g.taps * g.outputPixels * g.blockedOutput.blocks)
    return products / Double(workers.count)
  }

  /// Plans the pair.
  /// - Parameters:
  ///   - expansion: a pointwise convolution with stride 1 and no border.
  ///   - geometry: of the depthwise convolution.
  ///   - accumulatesSum: whether the results are averaged over the pixels of each image too.
  public init(
    _ expansion: ConvolutionGeometry, epilogue expansionEpilogue: Epilogue, depthwise geometry: ConvolutionGeometry,
    epilogue: Epilogue, accumulatesSum: Bool, workers: Workers, library: KernelLibrary
  ) {
    let g = geometry, target = library.target
    (input, hidden, output) = (expansion.blockedInput, g.blockedInput, g.blockedOutput)
    threads = workers.count
    let columns = target.hasAVX512 ? [16] : [8, 8]
    let lastColumns = hidden.channels % 16 == 0 || hidden.channels % 16 > 8 ? columns : [8]
    self.expansion = FilterPacking(
      PackedFilter(
        outputChannels: hidden.channels, inputChannels: input.channels, height: 1, width: 1,
        blockDepth: BlockedTensor.blockChannels,
        panels: Array(repeating: columns, count: hidden.blocks - 1) + [lastColumns]),
      order: nil, library: library)

    // As many rows as fit into a third of the second cache.
    let rowByteCount = hidden.rowByteCount
    let largest = max(g.kernelHeight, target.secondCacheByteCount / 3 / rowByteCount)
    let reach = (g.kernelHeight - 1) * g.dilationHeight + 1
    let rowsPerStrip = max(1, (largest - reach) / g.strideHeight + 1)
    let count = (output.height + rowsPerStrip - 1) / rowsPerStrip
    var ranges: [(rows: Range<Int>, hidden: Range<Int>)] = []
    for index in 0..<count {
      let rows = output.height * index / count..<output.height * (index + 1) / count
      let first = max(0, rows.lowerBound * g.strideHeight - g.padTop)
      let end = min(hidden.height, (rows.upperBound - 1) * g.strideHeight - g.padTop + reach)
      ranges.append((rows, min(first, end)..<max(first, end)))
    }
    strip = BlockedTensor(
      images: 1, height: ranges.map(\.hidden.count).max() ?? 1, width: hidden.width, channels: 16)
    depthwise = WindowSchedule(
      .weightedSum, hidden, kernel: [g.kernelHeight, g.kernelWidth], stride: [g.strideHeight, g.strideWidth],
      dilation: [g.dilationHeight, g.dilationWidth],
      padding: g.border, output: PixelGrid(output),
      epilogue: epilogue, accumulatesSum: accumulatesSum, library: library)

    var strips: [Strip] = []
    let (inputBlocks, inputStride) = (input.blocks, input.blockByteCount)
    let lastDepth = (input.channels - 1) % 16 + 1
    for range in ranges {
      let pixels = range.hidden.count * hidden.width
      let tiling = Tiling.best(
        linePixels: pixels, channels: columns.reduce(0, +), depth: input.channels,
        temporaries: expansionEpilogue.temporaryCount, wholeBlocks: true, target)
      var calls: [(kernels: BlockKernels, pixel: Int, tiles: Int)] = []
      var pixel = 0
      for (rows, tiles) in zip(tiling.rowCounts, tiling.tileCounts) where tiles > 0 {
        func kernel(_ columns: [Int]) -> ProductKernel {
          ProductKernel(
            pixels: rows, columns: columns, blocks: inputBlocks, blockStride: inputStride, lastDepth: lastDepth,
            outputBlockStride: 64, epilogue: expansionEpilogue, target: target)
        }
        let kernels = BlockKernels(
          whole: library.kernel(kernel(columns)), last: library.kernel(kernel(lastColumns)))
        calls.append((kernels, pixel, tiles))
        pixel += rows * tiles
      }
      strips.append(Strip(rows: range.rows, hiddenRows: range.hidden, calls: calls))
    }
    self.strips = strips
  }

  /// The number of floats of the packed pointwise filter.
  public var expansionFilterCount: Int { expansion.count }
  /// The number of floats of the packed depthwise filter.
  public var depthwiseFilterCount: Int { depthwise.filterCount }
  /// The number of floats of either bias: one for each lane of the hidden image.
  public var biasCount: Int { hidden.blocks * BlockedTensor.blockChannels }
  /// The mean over the pixels of the result, as an image of one pixel.
  public var mean: BlockedTensor {
    BlockedTensor(images: output.images, height: 1, width: 1, channels: output.channels)
  }
  /// The bytes it works in.
  public var workspaceByteCount: Int { strip.byteCount * threads }
  /// Multiplications and additions, without those of rows that are made twice.
  public var operations: Int {
    2 * output.images
      * (hidden.height * hidden.width * hidden.channels * input.channels
        + output.height * output.width * depthwise.filterCount)
  }

  /// Packs the pointwise filter `[hidden, input, 1, 1]`, each output channel times its `scale`.
  public func packExpansion(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) { expansion.pack(weight, scale: scale, into: packed, workers: workers) }

  /// Packs the depthwise filter `[hidden, 1, height, width]`, each channel times its `scale`.
  public func packDepthwise(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>
  ) { depthwise.pack(weight, scale: scale, into: packed) }

  /// One of the two convolutions as it is packed.
  public struct Weights {
    let filter: UnsafePointer<Float>
    let bias: UnsafePointer<Float>?

    /// A packed filter, and a bias of `biasCount` floats where the epilogue has one.
    public init(filter: UnsafePointer<Float>, bias: UnsafePointer<Float>?) { (self.filter, self.bias) = (filter, bias) }
  }

  /// Computes both.
  public func run(
    _ x: UnsafeRawPointer, expansion first: Weights, depthwise second: Weights, into y: UnsafeMutableRawPointer,
    mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    // A thread has its own images, or its own channels of all of them: sums over pixels are made in one place.
    let dividesImages = output.images % workers.count == 0
    workers.forEachRange(of: dividesImages ? output.images : output.blocks) { range, worker in
      let images = dividesImages ? range : 0..<output.images, blocks = dividesImages ? 0..<output.blocks : range
      let scratch = workspace + worker * strip.byteCount
      for image in images {
        let sums = mean.map { depthwise.sums(in: $0) }
        if let sums { depthwise.clear(sums, image: image, blocks: blocks) }
        for index in strips.indices {
          for block in blocks { run(strips[index], image, block, x, first, second, y, sums, scratch) }
        }
        if let mean, let sums { depthwise.average(sums, bands: 1, into: mean, image: image, blocks: blocks) }
      }
    }
  }

  private func run(
    _ strip: Strip, _ image: Int, _ block: Int, _ x: UnsafeRawPointer, _ first: Weights, _ second: Weights,
    _ y: UnsafeMutableRawPointer, _ sums: WindowSchedule.Sums?, _ scratch: UnsafeMutableRawPointer
  ) {
    let filter = UnsafeRawPointer(first.filter + block * 16 * expansion.filter.depth)
    let source = x + image * input.imageByteCount + strip.hiddenRows.lowerBound * input.rowByteCount
    let isLast = block == hidden.blocks - 1
    for index in strip.calls.indices {
      let (pixel, tiles) = (strip.calls[index].pixel, strip.calls[index].tiles)
      var arguments = ProductArguments(
        a: source + pixel * 64, filter: filter,
        bias: first.bias.map { UnsafeRawPointer($0 + block * 16) } ?? filter, output: scratch + pixel * 64,
        residual: UnsafeRawPointer(scratch), tiles: tiles)
      strip.calls[index].kernels(isLast: isLast, &arguments)
    }
    depthwise.run(
      rows: strip.rows, of: image, block, hidden: UnsafeRawPointer(scratch), firstRow: strip.hiddenRows.lowerBound,
      filter: second.filter, bias: second.bias, into: y, sums: sums.map { ($0, image) })
  }
}
