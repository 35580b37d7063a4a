import CNNCore
import CNNRuntime
import X86Assembler

/// A convolution of stride 1 by Winograd's transforms: which tiles, by which kernels, and what each thread does.
///
/// Some tiles at a time are transformed, multiplied by the transformed filter at every position, and transformed back,
/// so that what is in between stays in the second cache. Where there are many tiles, each thread takes some of them; where
/// there are few, the threads divide the channels and wait for each other once; where there are very few, the filter is
/// stored as it is and transformed on the way.
struct WinogradSchedule: Sendable {
  let transform: WinogradTransform
  /// How its filter is packed.
  let packing: FilterPacking
  private let input, output: BlockedTensor
  /// The blocks of channels of the transformed image.
  private let depthBlocks: Int
  /// Of levels, `RepeatedNumbers` of their requantisation, and the level that stands for 0.
  private let numbers: [Float], zeroPoint: UInt8
  /// How many numbers each channel has among the multipliers.
  private let multiplierCount: Int
  /// For each thread its blocks where the tiles are divided; all of them under one where the channels are.
  private let blocks: [[Block]]
  private let dividesChannels: Bool
  private let threads: Int

  /// Tiles that are computed together, with their kernels.
  private struct Block: Sendable {
    let runs: [Run]
    /// For each panel what multiplies, where the filter is stored transformed.
    var products: [[Product]] = []
    /// What multiplies a panel where it is not.
    var fewTilesKernel: GeneratedKernel?
  }

  private struct Run: Sendable {
    let inputKernel, outputKernel: GeneratedKernel
    /// What writes the last channels.
    let lastOutputKernel: GeneratedKernel
    let place: WinogradTiles.Run
  }

  private struct Product: Sendable {
    let kernel: GeneratedKernel
    /// What computes the terms of its tiles; see `ProductOfSums`.
    let terms: GeneratedKernel?
    let position, firstTile: Int
    /// How many times the kernel's number of tiles.
    let count: Int
  }

  // Bytes between blocks of channels and between positions, of the transformed input and of the products.
  private let inputBlockStride, inputPositionStride, outputPositionStride: Int
  private let inputByteCount, outputByteCount: Int
  // Where the terms begin behind the transformed input, and bytes between positions' terms.
  private let termByteOffset, termPositionStride: Int

  /// The bytes it works in.
  var workspaceByteCount: Int {
    (dividesChannels ? inputByteCount : inputByteCount * threads) + outputByteCount * threads
  }

  /// Plans the convolution of `input`, which has no border, as if it were padded at the top and left.
  /// - Parameters:
  ///   - requantization: what becomes of the sums, where the image is levels.
  ///   - zeroPoint: the level beside such an image.
  init(
    _ transform: WinogradTransform, _ input: BlockedTensor, padding: BlockedTensor.Border, output: BlockedTensor,
    filterOrder: FilterOrder? = nil, epilogue: Epilogue, requantization: Requantization? = nil, zeroPoint: UInt8 = 0,
    workers: Workers, library: KernelLibrary
  ) {
    (self.transform, self.input, self.output, self.zeroPoint) = (transform, input, output, zeroPoint)
    numbers = requantization?.numbers(library.target) ?? []
    multiplierCount = requantization?.numbersPerChannel ?? 1
    let target = library.target, element = Self.element(of: input), transformed = input.with(element: element)
    depthBlocks = transformed.blocks
    let tiles = WinogradTiles(transform, input, padding: padding, output: output)
    threads = workers.count

    let cost = Cost(transform, output, workers, element: element)
    let filterBytes = transform.positions * element.words(input.channels) * output.channels * 4
    dividesChannels = cost.hasFewTiles || threads > 1 && filterBytes > 4 << 20 && tiles.count < 64 * threads
    let transformsFilter = cost.transformsFilter
    let perTile = transform.positions * 64 * (transformed.blocks + 2)
    let largest = max(14, target.secondCacheByteCount / 2 / perTile)
    let shares = dividesChannels ? 1 : threads
    let share = (tiles.count + shares - 1) / shares
    let blocksPerShare = (share + largest - 1) / largest
    let blockTiles = (share + blocksPerShare - 1) / blocksPerShare

    // An odd number of lines apart, so that positions do not begin at the same place of 4 KiB.
    func apart(_ lines: Int) -> Int { (lines | 1) * 64 }
    inputBlockStride = apart(blockTiles)
    inputPositionStride = apart(transformed.blocks * inputBlockStride / 64)
    let multipliesSums = ProductOfSums.pays(
      element, rows: tiles.count, columns: output.channels, depth: element.words(input.channels), target)
    termByteOffset = transform.positions * inputPositionStride
    termPositionStride = multipliesSums ? inputBlockStride / 16 : 0
    inputByteCount = termByteOffset + (transform.positions * termPositionStride + 63) / 64 * 64

    // What is rounded is written in whole columns of 16.
    let isRounded = output.element == .bfloat16
    let lanes = element.isInteger || isRounded ? (output.channels + 15) / 16 * 16 : output.channels
    let tiling = Tiling.best(
      linePixels: blockTiles, channels: lanes, depth: element.words(input.channels),
      temporaries: 0, wholeBlocks: true, input: element, multipliesSums: multipliesSums, target)
    let panels = transformsFilter ? Array(repeating: [16], count: (output.channels + 15) / 16) : tiling.panels
    let taps = transformsFilter ? transform.taps : 1
    // For every panel and position the depth, for every depth the panel's lanes; or the filter as it is.
    packing = FilterPacking(
      PackedFilter(
        outputChannels: output.channels, inputChannels: input.channels, height: taps, width: taps,
        blockDepth: transformed.channelsPerBlock, panels: panels, element: element, hasTerms: multipliesSums),
      order: filterOrder, transform: transformsFilter ? nil : transform,
      tapFactors: transformsFilter ? WinogradFewTilesKernel.tapFactors : nil, library: library)
    let panelBlocks = (panels.map { $0.reduce(0, +) }.max() ?? 16) / 16 + 1
    outputPositionStride = apart(panelBlocks * inputBlockStride / 64)
    outputByteCount = transform.positions * outputPositionStride

    let kernels = WinogradKernelMaker(
      transform: transform, input: input, output: output, element: element, multipliesSums: multipliesSums,
      epilogue: epilogue,
      requantizing: requantization.map(Requantizing.init),
      appliesFactors: transformsFilter,
      prefetchDistance: dividesChannels ? (transformsFilter ? WinogradFewTilesKernel.prefetchDistance : 4096) : 0,
      inputBlockStride: inputBlockStride, inputPositionStride: inputPositionStride,
      outputPositionStride: outputPositionStride, library: library)
    // What multiplies depends only on how many tiles there are, what transforms on the few shapes that runs have.
    var products: [WinogradTiles.Extent: [[Product]]] = [:]
    var transforms: [WinogradTiles.Shape: (input: GeneratedKernel, output: GeneratedKernel, last: GeneratedKernel)] =
      [:]
    let endsHalfway = isRounded && (output.channels + 15) / 16 % 2 == 1
    func run(_ place: WinogradTiles.Run) -> Run {
      let shape = place.shape
      let (input, output, last) =
        transforms[shape] ?? (
          kernels.input(shape), kernels.output(shape), kernels.output(shape, fillsBlock: endsHalfway)
        )
      transforms[shape] = (input, output, last)
      return Run(inputKernel: input, outputKernel: output, lastOutputKernel: last, place: place)
    }
    blocks = (0..<shares).map { (worker) -> [Block] in
      let range = tiles.count * worker / shares..<tiles.count * (worker + 1) / shares
      return (0..<blocksPerShare).compactMap { (index) -> Block? in
        let first = range.lowerBound + range.count * index / blocksPerShare
        let end = range.lowerBound + range.count * (index + 1) / blocksPerShare
        guard first < end else { return nil }
        let part = tiles.block(first..<end), extent = part.extent
        var block = Block(runs: part.runs.map(run))
        if transformsFilter {
          block.fewTilesKernel = kernels.products(of: extent)
        } else {
          block.products = products[extent] ?? Self.products(of: extent, panels, limit: tiling.rowCounts[0], kernels)
          products[extent] = block.products
        }
        return block
      }
    }
  }

  /// For each panel as few calls as possible for each position's tiles.
  private static func products(
    of extent: WinogradTiles.Extent, _ panels: [[Int]], limit: Int, _ kernels: WinogradKernelMaker
  ) -> [[Product]] {
    var ofColumns: [[Int]: [Product]] = [:]
    return panels.map { columns in
      if let known = ofColumns[columns] { return known }
      var list: [Product] = []
      let side = kernels.transform.inputs
      for position in 0..<kernels.transform.positions {
        let range = extent.tiles(at: position / side, position % side)
        guard !range.isEmpty else { continue }
        var first = range.lowerBound
        let (sizes, counts) = Tiling.cut(range.count, limit)
        for (size, count) in zip(sizes, counts) {
          list.append(
            Product(
              kernel: kernels.product(tiles: size, columns), terms: kernels.terms(tiles: size), position: position,
              firstTile: first, count: count))
          first += size * count
        }
      }
      ofColumns[columns] = list
      return list
    }
  }

  /// What is multiplied: of levels, numbers of 16 bits, and else float32.
  private static func element(of input: BlockedTensor) -> ElementType { input.element == .uint8 ? .int16 : .float32 }

  private var filter: PackedFilter { packing.filter }
  /// Floats of the packed filter for each lane.
  private var filterDepth: Int { filter.wordsPerLane * (filter.taps == 1 ? transform.positions : 1) }

  /// Computes all of it.
  /// - Parameters:
  ///   - bias: a word of 32 bits for each lane: floats, or of levels what their sums begin with.
  ///   - multipliers: of levels, see `Requantization.multipliers`.
  func run(
    _ x: UnsafeRawPointer, filter packed: UnsafeRawPointer, bias: UnsafeRawPointer?,
    multipliers: UnsafePointer<Float>? = nil, residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    numbers.withUnsafeBytes {
      let results = Results(
        bias: bias, multipliers: multipliers.map(UnsafeRawPointer.init), numbers: $0.baseAddress,
        residual: residual ?? UnsafeRawPointer(y), y: y)
      run(x, packed, results, workspace, workers)
    }
  }

  /// Where results go, and what they are made of beside the sums.
  private struct Results {
    let bias, multipliers, numbers: UnsafeRawPointer?
    let residual: UnsafeRawPointer
    let y: UnsafeMutableRawPointer
  }

  private func run(
    _ x: UnsafeRawPointer, _ packed: UnsafeRawPointer, _ results: Results, _ workspace: UnsafeMutableRawPointer,
    _ workers: Workers
  ) {
    if dividesChannels {
      let products = workspace + inputByteCount
      for block in blocks[0] {
        workers.forEachRange(of: depthBlocks) { range, _ in transformInput(block, x, range, workspace) }
        if termPositionStride > 0 {
          workers.forEachRange(of: block.products[0].count) { range, _ in computeTerms(block, range, workspace) }
        }
        workers.forEachRange(of: filter.panels.count) { range, worker in
          multiply(block, range, workspace, packed, products + worker * outputByteCount, results)
        }
      }
    } else {
      workers.run(parts: blocks.count) { worker in
        let transformed = workspace + worker * inputByteCount
        let products = workspace + blocks.count * inputByteCount + worker * outputByteCount
        for block in blocks[worker] {
          transformInput(block, x, 0..<depthBlocks, transformed)
          if termPositionStride > 0 { computeTerms(block, 0..<block.products[0].count, transformed) }
          multiply(block, 0..<filter.panels.count, transformed, packed, products, results)
        }
      }
    }
  }

  private func transformInput(
    _ block: Block, _ x: UnsafeRawPointer, _ channelBlocks: Range<Int>, _ transformed: UnsafeMutableRawPointer
  ) {
    let channels = input.with(element: Self.element(of: input)).channelsPerBlock
    let border = UInt32(zeroPoint) * 0x1_0001
    for channelBlock in channelBlocks {
      let source = x + input.byteOffset(channel: channelBlock * channels)
      for run in block.runs {
        var arguments = WinogradInputArguments(
          input: source + run.place.input,
          output: transformed + channelBlock * inputBlockStride + run.place.tile * 64, tiles: run.place.tiles,
          border: border)
        run.inputKernel(&arguments)
      }
    }
  }

  /// The terms of some products' tiles, which are those of every panel.
  private func computeTerms(_ block: Block, _ products: Range<Int>, _ transformed: UnsafeMutableRawPointer) {
    for product in block.products[0][products] {
      var arguments = RowTermsArguments(
        a: transformed + product.position * inputPositionStride + product.firstTile * 64,
        terms: transformed + termPlace(product), tiles: product.count)
      product.terms?(&arguments)
    }
  }

  /// Where the terms of a product's tiles are, counted from the transformed input.
  private func termPlace(_ product: Product) -> Int {
    termByteOffset + product.position * termPositionStride + product.firstTile * 4
  }

  private func multiply(
    _ block: Block, _ panels: Range<Int>, _ transformed: UnsafeMutableRawPointer, _ packed: UnsafeRawPointer,
    _ products: UnsafeMutableRawPointer, _ results: Results
  ) {
    for panel in panels {
      let firstLane = filter.firstLane(of: panel), lanes = filter.lanes(of: panel)
      let panelFilter = packed + firstLane * filterDepth * 4
      if let kernel = block.fewTilesKernel {
        var arguments = WinogradFewTilesArguments(input: transformed, filter: panelFilter, output: products)
        kernel(&arguments)
      }
      for product in block.products.isEmpty ? [] : block.products[panel] {
        let base = products + product.position * outputPositionStride + product.firstTile * 64
        var arguments = ProductArguments(
          a: transformed + product.position * inputPositionStride + product.firstTile * 64,
          filter: panelFilter + product.position * filter.wordsPerLane * lanes * 4,
          bias: panelFilter, output: base, residual: UnsafeRawPointer(base), tiles: product.count,
          terms: UnsafeRawPointer(transformed) + termPlace(product))
        product.kernel(&arguments)
      }
      for channelBlock in 0..<(lanes + 15) / 16 {
        let lane = firstLane + channelBlock * 16
        let shift = output.byteOffset(channel: lane), isLast = lane + 16 >= output.channels
        for run in block.runs {
          var arguments = WinogradOutputArguments(
            input: products + channelBlock * inputBlockStride + run.place.tile * 64,
            output: results.y + run.place.output + shift, tiles: run.place.tiles,
            bias: results.bias.map { $0 + lane * 4 } ?? results.residual,
            residual: results.residual + run.place.output + shift,
            multipliers: results.multipliers.map { $0 + lane * 4 * multiplierCount }, numbers: results.numbers)
          if isLast { run.lastOutputKernel(&arguments) } else { run.outputKernel(&arguments) }
        }
      }
    }
  }
}
