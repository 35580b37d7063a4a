import CNNCore
import CNNRuntime

/// A convolution that leaves out the products with weights that a mask says are 0.
///
/// What it leaves out is not 0 times the image's numbers but nothing: an infinite or undefined number there spoils only what has
/// a weight for it.
struct SparseAlgorithm: ConvolutionAlgorithm {
  let name = "sparse"

  func refusal(_ request: ConvolutionRequest, _ target: CodeTarget) -> String? {
    let g = request.geometry
    guard let filter = request.sparseFilter else { return "its weight has no mask of at least half of it" }
    if let refusal = request.elementRefusal { return refusal }
    if request.input != .blocked { return "the image is not in blocks without a border" }
    if request.accumulatesSum { return "products do not sum their results over the pixels" }
    if request.filterOrder != nil { return "the filter is in an order of its own" }
    if g.groups > 1 { return "its channels are in groups" }
    guard
      filter.outputs == g.outputChannels, filter.inputs == g.inputChannels, filter.taps == g.taps,
      filter.lanes == target.lanes
    else { return "the mask is that of another weight" }
    return nil
  }

  /// The products that are left, what it takes to begin them for each tile, and the copy of an image that needs a border.
  func cycles(_ request: ConvolutionRequest, _ target: CodeTarget) -> Double {
    guard let filter = request.sparseFilter else { return .infinity }
    let g = request.geometry, tiles = SparseTiles(request, target)
    // So many sums must be under way to hide the cycles that each takes.
    let rows = Double(max(tiles.rowCounts.max() ?? 1, 4))
    let scale = Double(filter.lanes) / 16
    var cycles = 0.0
    for panel in filter.panels {
      let entries = Double(panel.repeated.count + panel.permuted.count)
      cycles += rows * scale * panel.products + 5 * entries + 50
    }
    cycles *= Double(tiles.count)
    let copied = g.border == .none ? 0 : request.blockedInput.byteCount
    return cycles / Double(request.workers.count) + Double(copied) / 8 / Double(request.workers.count)
  }

  func plan(_ request: ConvolutionRequest, library: KernelLibrary) throws(CNNError) -> any BlockedConvolution {
    try check(request, library.target)
    guard let filter = request.sparseFilter else { throw CNNError(.internalFault, "there is no sparse filter") }
    return SparseConvolution(request, filter, library: library)
  }
}

/// How a convolution's pixels are cut into tiles.
struct SparseTiles {
  /// Whether the image's pixels are those of the result, one after the other.
  let isContiguous: Bool
  /// How many lines of pixels there are, and how many pixels in each.
  let lines, linePixels: Int
  /// The two sizes of tile along a line, and how many there are of each.
  let rowCounts, tileCounts: [Int]
  /// Whether the workers divide the panels among them, and not the tiles.
  let dividesPanels: Bool

  /// All tiles.
  var count: Int { lines * tileCounts.reduce(0, +) }

  init(_ request: ConvolutionRequest, _ target: CodeTarget) {
    let g = request.geometry, places = request.outputGrid, workers = request.workers.count
    isContiguous =
      g.taps == 1 && g.strideHeight == 1 && g.strideWidth == 1 && g.border == .none
      && places == PixelGrid(places.tensor) && places.tensor.border == .none
    lines = isContiguous ? 1 : g.batch * places.height
    linePixels = isContiguous ? g.outputPixels : places.width
    let most = SparseProductKernel.mostRows(request.epilogue, target)
    let tiles = (linePixels + most - 1) / most, panels = request.sparseFilter?.panels.count ?? 1
    // Fewer pixels than registers for all workers: each computes some of the channels for all of them.
    dividesPanels = workers > 1 && lines * tiles < 2 * workers && panels >= 2 * workers
    // Of one line as many tiles as give every worker the same number.
    let even = (tiles + workers - 1) / workers * workers
    let count = isContiguous && !dividesPanels && even <= linePixels ? even : tiles
    (rowCounts, tileCounts) = Tiling.cut(linePixels, (linePixels + count - 1) / count)
  }
}

/// A convolution by products with a sparse filter.
struct SparseConvolution: BlockedConvolution {
  let request: ConvolutionRequest
  let algorithm = SparseAlgorithm().name
  private let filter: SparseFilter
  /// By the number in `Run.kernel`.
  private let kernels: [GeneratedKernel]
  private let work: [Work]
  /// For each panel, where its products and its lanes begin among all.
  private let starts: [(product: Int, lane: Int)]
  /// For each product the bytes from a pixel to what it reads.
  private let offsets: [Int]
  private let lanes: [UInt32]

  /// Some tiles, one after the other, that one call of a kernel computes.
  private struct Run: Sendable {
    let kernel: Int
    let input, output, tiles: Int
  }

  /// What a worker does: these panels for chunks of runs, whose input stays in the first cache while the panels pass by.
  private struct Work: Sendable {
    let panels: Range<Int>
    let chunks: [[Run]]
  }

  init(_ request: ConvolutionRequest, _ filter: SparseFilter, library: KernelLibrary) {
    (self.request, self.filter) = (request, filter)
    let g = request.geometry, places = request.outputGrid, tiles = SparseTiles(request, library.target)
    let image = request.blockedInput.with(border: g.border)
    let step = g.strideWidth * BlockedTensor.pixelByteCount
    kernels = tiles.rowCounts.map { rows in
      let kernel = SparseProductKernel(
        target: library.target, rows: rows, rowStride: step, outputRowStride: places.pixelByteCount,
        epilogue: request.epilogue)
      return library.kernel(kernel, name: kernel.name) { kernel.code() }
    }
    func offset(_ entry: SparseFilter.Entry) -> Int {
      let block = BlockedTensor.blockChannels
      return entry.channel / block * image.blockByteCount + entry.channel % block * 4
        + entry.tap / g.kernelWidth * g.dilationHeight * image.rowByteCount
        + entry.tap % g.kernelWidth * g.dilationWidth * BlockedTensor.pixelByteCount
    }
    var starts: [(product: Int, lane: Int)] = [], offsets: [Int] = [], lanes: [UInt32] = []
    for panel in filter.panels {
      starts.append((offsets.count, lanes.count))
      offsets += (panel.repeated + panel.permuted).map(offset)
      lanes += panel.lanes
    }
    (self.starts, self.offsets, self.lanes) = (starts, offsets, lanes)

    // All tiles in the order of the pixels.
    var all: [Run] = []
    for line in 0..<tiles.lines {
      let (picture, row) = tiles.isContiguous ? (0, 0) : (line / places.height, line % places.height)
      var input = picture * image.imageByteCount + row * g.strideHeight * image.rowByteCount
      var output = places.originByteOffset + picture * places.tensor.imageByteCount + row * places.rowByteCount
      for (kernel, rows) in tiles.rowCounts.enumerated() {
        for _ in 0..<tiles.tileCounts[kernel] {
          all.append(Run(kernel: kernel, input: input, output: output, tiles: 1))
          input += rows * step
          output += rows * places.pixelByteCount
        }
      }
    }
    let tileByteCount = (tiles.rowCounts.max() ?? 1) * g.strideWidth * g.kernelHeight * g.inputChannels * 4
    let chunkTiles = max(1, 24_576 / max(1, tileByteCount)), count = request.workers.count
    func chunks(_ runs: ArraySlice<Run>) -> [[Run]] {
      stride(from: runs.startIndex, to: runs.endIndex, by: chunkTiles).map {
        Array(runs[$0..<min($0 + chunkTiles, runs.endIndex)])
      }
    }
    if tiles.dividesPanels {
      work = Self.shares(of: filter, count).map { Work(panels: $0, chunks: chunks(all[...])) }
    } else {
      let parts = min(count, all.count)
      work = (0..<parts).map {
        Work(
          panels: filter.panels.indices, chunks: chunks(all[all.count * $0 / parts..<all.count * ($0 + 1) / parts]))
      }
    }
  }

  /// The panels in so many parts with about as many products each.
  private static func shares(of filter: SparseFilter, _ count: Int) -> [Range<Int>] {
    let total = filter.panels.reduce(0) { $0 + $1.products + 1 }
    var shares: [Range<Int>] = [], first = 0, sum = 0.0
    for (index, panel) in filter.panels.enumerated() {
      sum += panel.products + 1
      if sum >= total * Double(shares.count + 1) / Double(count) || index == filter.panels.count - 1 {
        shares.append(first..<index + 1)
        first = index + 1
      }
    }
    return shares
  }

  var filterCount: Int { filter.count }
  var operations: Int { 2 * filter.multiplications * geometry.outputPixels }

  /// The bytes of the copy with its border that is read instead of the image.
  var workspaceByteCount: Int { geometry.border == .none ? 0 : input.with(border: geometry.border).byteCount }

  func pack(
    _ weight: UnsafePointer<Float>, scale: UnsafePointer<Float>?, into packed: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    let outputSize = filter.inputs * filter.taps
    workers.forEachRange(of: filter.panels.count) { panels, _ in
      for panel in panels {
        let target = packed + starts[panel].product * filter.lanes
        for (index, position) in filter.panels[panel].positions.enumerated() {
          let position = Int(position)
          target[index] = position < 0 ? 0 : weight[position] * (scale?[position / outputSize] ?? 1)
        }
      }
    }
  }

  func run(
    _ x: UnsafeRawPointer, filter packed: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    var source = x
    if workspaceByteCount > 0 {
      BlockedCopies.copy(x, input, into: workspace, input.with(border: geometry.border), workers: workers)
      source = UnsafeRawPointer(workspace)
    }
    offsets.withUnsafeBytes { offsets in
      lanes.withUnsafeBytes { lanes in
        // Of a filter without weights there is nothing to read.
        let offsets = offsets.baseAddress ?? x, lanes = lanes.baseAddress ?? x
        workers.run(parts: work.count) { worker in
          run(work[worker], source, packed, offsets, lanes, bias, residual, y)
        }
      }
    }
  }

  private func run(
    _ work: Work, _ input: UnsafeRawPointer, _ packed: UnsafePointer<Float>, _ offsets: UnsafeRawPointer,
    _ lanes: UnsafeRawPointer, _ bias: UnsafePointer<Float>?, _ residual: UnsafeRawPointer?,
    _ output: UnsafeMutableRawPointer
  ) {
    let blockByteCount = request.outputGrid.tensor.blockByteCount, block = BlockedTensor.blockChannels
    for chunk in work.chunks {
      for number in work.panels {
        let panel = filter.panels[number], start = starts[number], channel = number * filter.lanes
        let place = channel / block * blockByteCount + channel % block * 4
        for run in chunk {
          var arguments = SparseProductArguments(
            a: input + run.input, weights: packed + start.product * filter.lanes, offsets: offsets + start.product * 8,
            lanes: lanes + start.lane * 4, bias: bias.map { UnsafeRawPointer($0 + channel) } ?? input,
            output: output + run.output + place, residual: (residual ?? UnsafeRawPointer(output)) + run.output + place,
            tiles: run.tiles, repeated: panel.repeated.count, permuted: panel.permuted.count)
          kernels[run.kernel](&arguments)
        }
      }
    }
  }
}
