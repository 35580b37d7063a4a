import CNNCore
import CNNRuntime
import X86Assembler

/// A convolution of bfloat16 or bytes as products of tiles: which kernels, in which order, and in which units threads share them.
///
/// Each thread sets the shapes of its tiles before its share and gives them up after it, which takes as long as two products
/// of tiles: so no call of a kernel does, and other libraries find the tiles as they left them: not set.
struct TileProductSchedule: Sendable {
  /// How the filter is packed.
  let filter: TileFilter
  /// How one group of it is packed, of bfloat16; nil of bytes.
  let packing: FilterPacking?
  private let configure, release: GeneratedKernel
  private let panels: [Panel]
  private let units: [Unit]
  private let spans: [TileSpan]
  /// Where images of the result with their border begin, in bytes; none without a border.
  private let borders: [Int]
  private let output: BlockedTensor
  private let constants: [Float]
  /// How many numbers each channel has among the multipliers.
  let multiplierCount: Int
  /// Whether the filter is read once.
  private let fetchesSoon: Bool
  /// How many of its bytes are then on their way: what arrives in the time that memory takes to answer.
  private static let soon = 8 << 10

  private struct Panel: Sendable {
    /// For each number of tiles of pixels, the most first.
    let kernels: [GeneratedKernel]
    /// Where its input channels, its filter, its bias and its output channels begin, in bytes.
    let input, filter, bias, output: Int
    /// How many blocks its output channels are.
    let outputBlocks: Int
    /// Bytes of its filter, and how many of those behind it each round fetches.
    let filterByteCount, fetchedByteCount: Int
  }

  /// What one thread computes at a time: some panels for some rounds.
  private struct Unit: Sendable {
    let panels: Range<Int>
    let calls: [Calls]
  }

  /// Rounds of the same kernel, one after the other.
  private struct Calls: Sendable {
    /// Which of the panel's.
    let kernel: Int
    let rounds: [TileRound]
    let firstSpan: Int
    /// How many rounds there are before in a pass over the filter.
    let roundsBefore: Int
  }

  /// - Parameters:
  ///   - g: the sizes; of the border, only what `input` has.
  ///   - groups: in how many groups of whole blocks the channels are.
  ///   - input: with its border in place.
  ///   - places: the pixels to which the results go, of a tensor with a border of zeros or without one; of bfloat16 or
  ///     float32, or of bytes.
  ///   - filterOrder: how the weight lies; nil for `[output, input / groups, height, width]`.
  ///   - requantization: what becomes of sums of bytes.
  ///   - strideWidth: pixels of the input between neighbouring results, where it is not the geometry's.
  init(
    _ g: ConvolutionGeometry, groups: Int, input: TileInput, output places: PixelGrid, filterOrder: FilterOrder? = nil,
    epilogue: Epilogue, requantization: Requantization? = nil, strideWidth: Int? = nil, workers: Workers,
    library: KernelLibrary
  ) {
    let output = places.tensor
    var filter = TileFilter(
      outputChannels: g.outputChannels / groups, inputChannels: g.inputChannels / groups,
      taps: g.taps, groups: groups, element: requantization == nil ? .bfloat16 : .int8, order: filterOrder)
    constants = requantization.map { $0.constants + $0.words(library.target) } ?? []
    multiplierCount = requantization?.numbersPerChannel ?? 1
    let isFar = filter.byteCount > library.target.secondCacheByteCount / 8
    var walk = TileWalk(input, stride: [g.strideHeight, strideWidth ?? g.strideWidth], output: places)
    // Four tiles of pixels and one of channels read the input twice as often and the filter half as often as two and two.
    // Measured, that is a fifth faster where taps find the input near, and where all pixels are one round or two and the
    // filter comes from memory.
    let tall = TileWalk(input, stride: [g.strideHeight, strideWidth ?? g.strideWidth], output: places, most: 4)
    if walk.rounds.count > 1 && (g.taps > 1 || isFar && tall.rounds.count <= 2) {
      walk = tall
      filter.panelTiles = 1
    }
    self.filter = filter
    packing = filter.element == .bfloat16 ? filter.packing(library: library) : nil
    self.output = output
    let isFloat = output.element == .float32
    var loops: [DepthLoops.Loop] = []
    if filter.blocks > 1 { loops.append(.init(count: filter.blocks, stride: input.blockByteCount)) }
    if g.kernelHeight > 1 {
      loops.append(.init(count: g.kernelHeight, stride: g.dilationHeight * input.rowByteCount))
    }
    if g.kernelWidth > 1 {
      loops.append(.init(count: g.kernelWidth, stride: g.dilationWidth * input.pixelByteCount))
    }
    // What is not divided is read by every thread: panels read the input, rounds the filter.
    let count = workers.count, roundCount = walk.rounds.count, panelCount = groups * filter.panels.count
    func busiest(_ units: Int) -> Double { Double((units + count - 1) / count) / Double(units) * Double(count) }
    let dividesPanels =
      busiest(panelCount) + Double(input.byteCount) * 1e-8
      < busiest(roundCount) + Double(filter.byteCount) * 1e-8
    // Some units for each thread, so that one which is slower can do fewer, but none of less than a few microseconds; and
    // the input of their rounds stays in the second cache while the panels pass by.
    let roundBytes =
      2 * walk.pixels * max(walk.pixelStride, BlockedTensor.pixelByteCount) * g.strideHeight * filter.blocks * groups
    let products = roundCount * panelCount * filter.blocks * filter.taps * 4
    let wanted = count == 1 ? 1 : min(6 * count, max(count, products / 256))
    let parts = dividesPanels ? (wanted + panelCount - 1) / panelCount : wanted
    let unitRounds = max(
      1, min((roundCount + parts - 1) / parts, library.target.secondCacheByteCount / 3 / max(1, roundBytes)))
    // While a panel is read, the next one is fetched, a part with each round: so memory is never waited for nor at rest. What
    // is read once is fetched a little before.
    let passRounds = dividesPanels ? roundCount : unitRounds
    fetchesSoon = passRounds == 1
    func fetchedLines(_ columns: Int) -> Int {
      isFar && passRounds <= 64
        ? (columns * TileProductKernel.filterTileByteCount / 64 + passRounds - 1) / passRounds : 0
    }
    func kernel(tiles: Int, columns: Int, isWholeBlock: Bool) -> GeneratedKernel {
      let kernel = TileProductKernel(
        target: library.target, tileRows: tiles, tileColumns: columns, pixels: walk.pixels,
        pixelStride: walk.pixelStride, nextTile: walk.nextTile, loops: loops, fetchedLines: fetchedLines(columns),
        fetchesSoon: passRounds == 1,
        output: .init(
          element: output.element, isWholeBlock: isWholeBlock, pixelStride: places.pixelByteCount,
          blockStride: output.blockByteCount),
        epilogue: epilogue,
        requantizing: requantization.map(Requantizing.init))
      return library.kernel(kernel, name: kernel.name) { kernel.code() }
    }
    let tileCounts = Set(walk.rounds.map(\.tiles)).sorted(by: >)
    var panels: [Panel] = []
    for group in 0..<groups {
      var filterOffset = filter.byteCount(group * filter.groupCount)
      for (index, tiles) in filter.panels.enumerated() {
        let channel = group * filter.outputChannels + index * filter.panelTiles * TileFilter.tileChannels
        let lane = channel % output.channelsPerBlock
        // Beside the second half of a block another panel has the first, and beside the first the second if there is one. A
        // block of float32 has no halves.
        let isWholeBlock = tiles == 2 || isFloat || lane == 0 && filter.panels.count == index + 1
        panels.append(
          Panel(
            kernels: tileCounts.map { kernel(tiles: $0, columns: tiles, isWholeBlock: isWholeBlock) },
            input: group * filter.blocks * input.blockByteCount,
            filter: filterOffset, bias: channel * 4,
            output: channel / output.channelsPerBlock * output.blockByteCount + lane * output.element.byteCount,
            outputBlocks: lane > 0 ? 0 : isFloat ? tiles : 1,
            filterByteCount: filter.byteCount(filter.count(ofPanel: tiles)),
            fetchedByteCount: 64 * fetchedLines(tiles) * filter.blocks * filter.taps))
        filterOffset += filter.byteCount(filter.count(ofPanel: tiles))
      }
    }
    self.panels = panels
    borders =
      output.border == .none
      ? []
      : panels.flatMap { panel in
        (0..<panel.outputBlocks * output.images).map {
          panel.output + output.byteOffset(image: $0 % output.images, block: $0 / output.images)
        }
      }
    (configure, release) = TileProductKernel.setting(pixels: walk.pixels, library)

    var spans: [TileSpan] = []
    let rounds = stride(from: 0, to: roundCount, by: unitRounds).map { first in
      let rounds = walk.rounds[first..<min(first + unitRounds, roundCount)]
      var before = dividesPanels ? first : 0
      return tileCounts.enumerated().compactMap { kernel, tiles -> Calls? in
        let chosen = rounds.filter { $0.tiles == tiles }
        if chosen.isEmpty { return nil }
        defer { before += chosen.count }
        let firstSpan = spans.count
        for round in chosen { spans += round.spans }
        return Calls(
          kernel: kernel, rounds: chosen.map { TileRound(input: $0.input, spans: $0.spans.count) },
          firstSpan: firstSpan,
          roundsBefore: before)
      }
    }
    self.spans = spans
    units =
      dividesPanels
      ? panels.indices.flatMap { panel in rounds.map { Unit(panels: panel..<panel + 1, calls: $0) } }
      : rounds.map { Unit(panels: panels.indices, calls: $0) }
  }

  /// Computes all of it.
  func run(
    _ input: UnsafeRawPointer, filter: UnsafeRawPointer, bias: UnsafeRawPointer?,
    multipliers: UnsafePointer<Float>? = nil, residual: UnsafeRawPointer?, into output: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    workers.share(units.count) { _, next in
      var nothing = 0
      configure(&nothing)
      spans.withUnsafeBufferPointer { spans in
        guard let spans = spans.baseAddress else { return }
        while let range = next() {
          clearBorders(ofUnits: range, output)
          for unit in units[range] { run(unit, spans, input, filter, bias, multipliers, residual, output) }
        }
      }
      release(&nothing)
    }
  }

  /// Writes the zeros around as large a part of the images of the result as these units are of all.
  private func clearBorders(ofUnits range: Range<Int>, _ result: UnsafeMutableRawPointer) {
    let share = borders.count * range.lowerBound / units.count..<borders.count * range.upperBound / units.count
    for border in borders[share] { BlockedCopies.clearBorder(result + border, of: output) }
  }

  private func run(
    _ unit: Unit, _ spans: UnsafePointer<TileSpan>, _ input: UnsafeRawPointer, _ filter: UnsafeRawPointer,
    _ bias: UnsafeRawPointer?, _ multipliers: UnsafePointer<Float>?, _ residual: UnsafeRawPointer?,
    _ output: UnsafeMutableRawPointer
  ) {
    for panel in panels[unit.panels] {
      for calls in unit.calls {
        calls.rounds.withUnsafeBufferPointer { rounds in
          guard let first = rounds.baseAddress else { return }
          var arguments = TileProductArguments(
            input: input + panel.input, filter: filter + panel.filter,
            bias: bias.map { $0 + panel.bias } ?? filter, output: output + panel.output,
            residual: (residual ?? UnsafeRawPointer(output)) + panel.output,
            fetched: filter + panel.filter
              + (fetchesSoon ? Self.soon : panel.filterByteCount + calls.roundsBefore * panel.fetchedByteCount),
            rounds: first,
            spans: spans + calls.firstSpan, roundCount: rounds.count,
            multipliers: multipliers.map { UnsafeRawPointer($0) + panel.bias * multiplierCount } ?? filter,
            constants: filter)
          constants.withUnsafeBufferPointer {
            if let constants = $0.baseAddress { arguments.constants = UnsafeRawPointer(constants) }
            panel.kernels[calls.kernel](&arguments)
          }
        }
      }
    }
  }
}
