import CNNCore
import X86Assembler

/// A 3 x 3 convolution of stride 1 by Winograd's transforms: which tiles, by which kernels, and what each thread does.
///
/// Some tiles at a time are transformed, multiplied by the transformed filter at every position, and transformed back,
/// so that what is in between stays in the second cache. Where there are many tiles, each thread takes some of them; where
/// there are few, the threads divide the channels and wait for each other once; where there are very few, the filter is
/// stored as it is and transformed on the way.
struct WinogradSchedule: Sendable {
  /// Neighbouring tiles of one row of tiles, for which one kernel serves.
  struct Run: Sendable {
    let inputKernel, outputKernel: GeneratedKernel
    /// Where the first tile lies: in the input (perhaps beside it), in the result, and among the block's tiles.
    let input, output, tile: Int
    let tiles: Int
  }

  /// Tiles that are computed together.
  struct Block: Sendable {
    var runs: [Run] = []
    var tiles = 0
  }

  let transform: WinogradTransform
  let filter: PackedFilter
  private let input, output: BlockedTensor
  private let epilogue: Epilogue
  /// For each thread its blocks where the tiles are divided; all of them under one where the channels are.
  private let blocks: [[Block]]
  private let dividesChannels: Bool
  /// For each number of tiles in a group the kernels of the six rows of positions; empty where the filter is stored
  /// transformed.
  private let rowKernels: [Int: [GeneratedKernel]]
  /// How many tiles there are in all.
  let tiles: Int
  private let threads: Int
  /// The product's kernels for each panel and number of tiles in a block: kernel, first tile, number of calls' tiles.
  private let products: [[Int: [Product]]]

  private struct Product: Sendable {
    let kernel: GeneratedKernel
    let firstTile, tiles: Int
  }

  // Bytes between blocks of channels and between positions, of the transformed input and of the products.
  private let inputBlockStride, inputPositionStride, outputPositionStride: Int
  private let inputByteCount, outputByteCount: Int

  /// The bytes it works in.
  var workspaceByteCount: Int {
    (dividesChannels ? inputByteCount : inputByteCount * threads) + outputByteCount * threads
  }

  /// Plans the convolution of `input`, which has no border, padded by one pixel at the top and left.
  init(
    _ transform: WinogradTransform, _ input: BlockedTensor, padding: BlockedTensor.Border, output: BlockedTensor,
    epilogue: Epilogue, workers: Workers, library: KernelLibrary
  ) {
    (self.transform, self.input, self.output, self.epilogue) = (transform, input, output, epilogue)
    let target = library.target, m = transform.outputs
    let tileRows = (output.height + m - 1) / m, tileColumns = (output.width + m - 1) / m
    let tiles = output.images * tileRows * tileColumns
    self.tiles = tiles
    threads = workers.count

    let filterBytes = transform.positions * input.channels * output.channels * 4
    dividesChannels =
      Self.hasFewTiles(tiles, workers) || threads > 1 && filterBytes > 4 << 20 && tiles < 64 * threads
    // Reading a transformed filter from memory takes as long as so many tiles.
    let reading = 8.0 * Double(threads)
    let rowCycles = Self.rowCycles(transform, tiles: tiles, workers, target) ?? .infinity
    let transformsFilter = rowCycles < 1.2 * Double(transform.positions) * max(reading, Double(tiles))
    let perTile = transform.positions * 4 * (input.blocks * 16 + 32)
    let largest = max(14, target.secondCacheByteCount / 2 / perTile)
    let shares = dividesChannels ? 1 : threads
    let share = (tiles + shares - 1) / shares
    let blocksPerShare = (share + largest - 1) / largest
    let blockTiles = (share + blocksPerShare - 1) / blocksPerShare

    // An odd number of lines apart, so that positions do not begin at the same place of 4 KiB.
    func apart(_ lines: Int) -> Int { (lines | 1) * 64 }
    inputBlockStride = apart(blockTiles)
    inputPositionStride = apart(input.blocks * inputBlockStride / 64)
    inputByteCount = transform.positions * inputPositionStride

    let tiling = Tiling.best(
      linePixels: blockTiles, channels: output.channels, depth: input.channels, temporaries: 0,
      wholeBlocks: true, target)
    let panels = transformsFilter ? Array(repeating: [16], count: output.blocks) : tiling.panels
    let taps = transformsFilter ? 3 : 1
    filter = PackedFilter(
      outputChannels: output.channels, inputChannels: input.channels, height: taps, width: taps,
      blockDepth: BlockedTensor.blockChannels, panels: panels)
    let panelBlocks = (panels.map { $0.reduce(0, +) }.max() ?? 16) / 16 + 1
    outputPositionStride = apart(panelBlocks * inputBlockStride / 64)
    outputByteCount = transform.positions * outputPositionStride

    // The tiles, cut into shares, blocks and runs.
    var blocks: [[Block]] = []
    var sizes: Set<Int> = []
    for worker in 0..<shares {
      let range = tiles * worker / shares..<tiles * (worker + 1) / shares
      var list: [Block] = []
      for index in 0..<blocksPerShare {
        let first = range.lowerBound + range.count * index / blocksPerShare
        let end = range.lowerBound + range.count * (index + 1) / blocksPerShare
        var block = Block()
        var tile = first
        while tile < end {
          let column = tile % tileColumns, row = tile / tileColumns % tileRows, image = tile / tileColumns / tileRows
          func inside(_ position: Int, _ padding: Int, _ size: Int) -> Range<Int> {
            let start = position * m - padding
            return max(0, -start)..<max(max(0, -start), min(transform.inputs, size - start))
          }
          let rows = inside(row, padding.top, input.height), columns = inside(column, padding.left, input.width)
          let outRows = min(m, output.height - row * m), outColumns = min(m, output.width - column * m)
          // Further tiles of this row that look the same.
          var count = 1
          while tile + count < end, column + count < tileColumns,
            inside(column + count, padding.left, input.width) == columns,
            min(m, output.width - (column + count) * m) == outColumns
          { count += 1 }
          let inputKernel = WinogradInputKernel(
            target: target, transform: transform, rows: rows, columns: columns, rowStride: input.rowByteCount,
            positionStride: inputPositionStride, appliesFactors: transformsFilter)
          let outputKernel = WinogradOutputKernel(
            target: target, transform: transform, rows: outRows, columns: outColumns,
            rowStride: output.rowByteCount, positionStride: outputPositionStride, epilogue: epilogue)
          block.runs.append(
            Run(
              inputKernel: library.kernel(inputKernel, name: inputKernel.name) { inputKernel.code() },
              outputKernel: library.kernel(outputKernel, name: outputKernel.name) { outputKernel.code() },
              input: image * input.imageByteCount + (row * m - padding.top) * input.rowByteCount
                + (column * m - padding.left) * 64,
              output: output.originByteOffset + image * output.imageByteCount + row * m * output.rowByteCount
                + column * m * 64,
              tile: tile - first, tiles: count))
          tile += count
        }
        block.tiles = end - first
        if block.tiles > 0 {
          list.append(block)
          sizes.insert(block.tiles)
        }
      }
      blocks.append(list)
    }
    self.blocks = blocks

    var rowKernels: [Int: [GeneratedKernel]] = [:]
    if transformsFilter {
      for size in sizes {
        for count in Set([min(size, WinogradRowKernel.largestTileCount), size % WinogradRowKernel.largestTileCount])
        where count > 0 && rowKernels[count] == nil {
          var kernels: [GeneratedKernel] = []
          for row in 0..<transform.inputs {
            let kernel = WinogradRowKernel(
              target: target, row: row, tiles: count, blocks: input.blocks, lastDepth: (input.channels - 1) % 16 + 1,
              blockStride: inputBlockStride, inputPositionStride: inputPositionStride,
              outputPositionStride: outputPositionStride, prefetchDistance: filter.depth * 64)
            kernels.append(library.kernel(kernel, name: kernel.name) { kernel.code() })
          }
          rowKernels[count] = kernels
        }
      }
    }
    self.rowKernels = rowKernels

    // The products: for every number of tiles that a block has, as few calls as possible.
    var products: [[Int: [Product]]] = []
    for columns in panels where !transformsFilter {
      var ofPanel: [Int: [Product]] = [:]
      for size in sizes {
        let rowLimit = tiling.rowCounts[0]
        let calls = (size + rowLimit - 1) / rowLimit, rows = size / calls, larger = size % calls
        var list: [Product] = []
        for (rows, first, count) in [(rows + 1, 0, larger), (rows, larger * (rows + 1), calls - larger)]
        where count > 0 {
          let kernel = ProductKernel(
            target: target, rows: (0..<rows).map { $0 * 64 }, columns: columns,
            loops: input.blocks > 1 ? [.init(count: input.blocks, stride: inputBlockStride)] : [],
            depth: input.blocks > 1 ? 16 : input.channels, lastDepth: (input.channels - 1) % 16 + 1,
            outputRows: (0..<rows).map { $0 * 64 }, outputBlockStride: inputBlockStride, tileStep: rows * 64,
            outputTileStep: rows * 64, prefetchDistance: dividesChannels ? 4096 : 0)
          list.append(Product(kernel: library.kernel(kernel), firstTile: first, tiles: count))
        }
        ofPanel[size] = list
      }
      products.append(ofPanel)
    }
    self.products = products
  }

  private static func hasFewTiles(_ tiles: Int, _ workers: Workers) -> Bool {
    tiles <= 16 * workers.count
  }

  /// Cycles for the products of 16 output channels of one input channel where the filter is transformed on the way; nil
  /// where it is not possible.
  static func rowCycles(
    _ transform: WinogradTransform, tiles: Int, _ workers: Workers, _ target: CodeTarget
  ) -> Double? {
    guard transform == .f4, target.hasAVX512, hasFewTiles(tiles, workers) else { return nil }
    return 168 * Double((tiles + WinogradRowKernel.largestTileCount - 1) / WinogradRowKernel.largestTileCount)
  }

  /// The number of floats of the packed filter.
  var filterCount: Int { filter.count * (filter.taps == 1 ? transform.positions : 1) }

  /// Packs `weight` `[output, input, 3, 3]`: where it is stored transformed, for every panel and position the depth, for
  /// every depth the panel's lanes.
  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    if filter.taps > 1 { return filter.pack(weight, scale: scale, into: packed, workers: workers) }
    let (filter, transform) = (filter, transform)
    workers.forEachRange(of: filter.panels.count) { range, _ in
      for panel in range {
        let first = filter.firstLane(of: panel), lanes = filter.lanes(of: panel)
        let destination = packed + first * filter.depth * transform.positions
        let stride = filter.depth * lanes
        for lane in 0..<lanes {
          for input in 0..<filter.inputChannels {
            let place = destination + input * lanes + lane
            if first + lane < filter.outputChannels {
              transform.transform(
                weight + ((first + lane) * filter.inputChannels + input) * 9,
                scale: scale.map { $0[first + lane] } ?? 1,
                into: place, stride: stride)
            } else {
              for position in 0..<transform.positions { place[position * stride] = 0 }
            }
          }
        }
      }
    }
  }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, filter packed: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let residual = residual ?? UnsafeRawPointer(y)
    if dividesChannels {
      let products = workspace + inputByteCount
      for block in blocks[0] {
        workers.forEachRange(of: input.blocks) { range, _ in transformInput(block, x, range, workspace) }
        workers.forEachRange(of: filter.panels.count) { range, worker in
          multiply(block, range, workspace, packed, products + worker * outputByteCount, bias, residual, y)
        }
      }
    } else {
      workers.run(parts: blocks.count) { worker in
        let transformed = workspace + worker * inputByteCount
        let products = workspace + blocks.count * inputByteCount + worker * outputByteCount
        for block in blocks[worker] {
          transformInput(block, x, 0..<input.blocks, transformed)
          multiply(block, 0..<filter.panels.count, transformed, packed, products, bias, residual, y)
        }
      }
    }
  }

  private func transformInput(
    _ block: Block, _ x: UnsafeRawPointer, _ channelBlocks: Range<Int>, _ transformed: UnsafeMutableRawPointer
  ) {
    for channelBlock in channelBlocks {
      for run in block.runs {
        var arguments = WinogradInputArguments(
          input: x + channelBlock * input.blockByteCount + run.input,
          output: transformed + channelBlock * inputBlockStride + run.tile * 64, tiles: run.tiles)
        run.inputKernel(&arguments)
      }
    }
  }

  private func multiply(
    _ block: Block, _ panels: Range<Int>, _ transformed: UnsafeMutableRawPointer, _ packed: UnsafePointer<Float>,
    _ results: UnsafeMutableRawPointer, _ bias: UnsafePointer<Float>?, _ residual: UnsafeRawPointer,
    _ y: UnsafeMutableRawPointer
  ) {
    for panel in panels {
      let firstLane = filter.firstLane(of: panel), lanes = filter.lanes(of: panel)
      if rowKernels.isEmpty {
        multiplyTransformed(block, panel, transformed, packed, results)
      } else {
        multiplyByRows(block, panel, transformed, packed, results)
      }
      for channelBlock in 0..<(lanes + 15) / 16 {
        let shift = (firstLane / 16 + channelBlock) * output.blockByteCount
        for run in block.runs {
          var arguments = WinogradOutputArguments(
            input: results + channelBlock * inputBlockStride + run.tile * 64, output: y + run.output + shift,
            tiles: run.tiles, bias: bias.map { UnsafeRawPointer($0 + firstLane + channelBlock * 16) } ?? residual,
            residual: residual + run.output + shift)
          run.outputKernel(&arguments)
        }
      }
    }
  }

  /// The products of a panel with its transformed filter.
  private func multiplyTransformed(
    _ block: Block, _ panel: Int, _ transformed: UnsafeMutableRawPointer, _ packed: UnsafePointer<Float>,
    _ results: UnsafeMutableRawPointer
  ) {
    let lanes = filter.lanes(of: panel)
    let panelFilter = packed + filter.firstLane(of: panel) * filter.depth * transform.positions
    guard let calls = products[panel][block.tiles] else { return }
    for position in 0..<transform.positions {
      for call in calls {
        let base = results + position * outputPositionStride + call.firstTile * 64
        var arguments = ProductArguments(
          a: transformed + position * inputPositionStride + call.firstTile * 64,
          filter: UnsafeRawPointer(panelFilter + position * filter.depth * lanes),
          bias: UnsafeRawPointer(panelFilter), output: base, residual: UnsafeRawPointer(base), tiles: call.tiles)
        call.kernel(&arguments)
      }
    }
  }

  /// The products of a panel with its filter, which is transformed on the way.
  private func multiplyByRows(
    _ block: Block, _ panel: Int, _ transformed: UnsafeMutableRawPointer, _ packed: UnsafePointer<Float>,
    _ results: UnsafeMutableRawPointer
  ) {
    let panelFilter = UnsafeRawPointer(packed + filter.offset(of: panel))
    for first in stride(from: 0, to: block.tiles, by: WinogradRowKernel.largestTileCount) {
      let count = min(WinogradRowKernel.largestTileCount, block.tiles - first)
      for kernel in rowKernels[count] ?? [] {
        var arguments = WinogradRowArguments(
          input: transformed + first * 64, filter: panelFilter, output: results + first * 64)
        kernel(&arguments)
      }
    }
  }
}
