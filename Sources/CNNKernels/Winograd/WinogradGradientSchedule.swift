import CNNCore
import CNNRuntime
import Glibc

/// The gradient of the filter of a convolution of stride 1 by Winograd's transforms: which tiles, by which kernels, and
/// what each thread does.
struct WinogradGradientSchedule: Sendable {
  let transform: WinogradTransform
  /// As of float32, which is what is transformed, and as they are stored.
  private let input, output, storedInput, storedOutput: BlockedTensor
  private let plan: WinogradGradientPlan
  private let threads: Int
  /// For each thread its blocks where the tiles are divided; all of them under one where the pairs of channels are.
  private let blocks: [[Block]]
  private let groups: [Group]
  /// By whether the block of output channels and that of input channels is the last.
  private let productKernels: [[GeneratedKernel]]
  /// By whether the block of input channels is the last.
  private let filterKernels: [GeneratedKernel]

  /// Tiles that are transformed together.
  private struct Block: Sendable {
    let runs: [Run]
    /// The tiles that have each position.
    let positions: [Range<Int>]
    let pixels: WinogradGradientFetch.Pixels

    /// Products for each pair of channels.
    var products: Int { positions.reduce(0) { $0 + $1.count } }
  }

  private struct Run: Sendable {
    let inputKernel, gradientKernel: GeneratedKernel
    let place: WinogradTiles.Run
  }

  /// Pairs of channels that are computed together.
  private struct Group: Sendable {
    let outputs, inputs: Range<Int>
    /// How many pairs there are before it.
    let firstPair: Int

    var pairs: Int { outputs.count * inputs.count }
    func pair(_ output: Int, _ input: Int) -> Int {
      (output - outputs.lowerBound) * inputs.count + input - inputs.lowerBound
    }
  }

  // Bytes between blocks of channels and between positions of the transformed tiles, and of all positions.
  private let blockStride, inputPositionStride, gradientPositionStride: Int
  private let inputByteCount, gradientByteCount: Int
  // Bytes between positions and pairs of the sums, and all of a thread's, or of all threads'.
  private let sumsPositionStride, pairStride, sumsByteCount: Int

  /// The bytes it works in.
  var workspaceByteCount: Int {
    let transformed = inputByteCount + gradientByteCount
    return plan.dividesTiles
      ? threads * (transformed + sumsByteCount) : transformed + sumsByteCount * (hasSumsForAll ? 1 : threads)
  }

  /// Whether the sums of all pairs are in memory at once.
  private var hasSumsForAll: Bool { plan.dividesTiles || blocks[0].count > 1 }

  /// Plans the gradient of the filter that met `storedInput`, which has no border, as if it were padded at the top and left.
  init(
    _ transform: WinogradTransform, _ storedInput: BlockedTensor, padding: BlockedTensor.Border,
    output storedOutput: BlockedTensor, workers: Workers, library: KernelLibrary
  ) {
    let input = storedInput.with(element: .float32), output = storedOutput.with(element: .float32)
    (self.transform, self.input, self.output, threads) = (transform, input, output, workers.count)
    (self.storedInput, self.storedOutput) = (storedInput, storedOutput)
    let target = library.target, tiles = WinogradTiles(transform, input, padding: padding, output: output)
    let plan = WinogradGradientPlan.best(.init(transform, input, output, workers, target))
    self.plan = plan

    // An odd number of lines apart, so that positions do not begin at the same place of 4 KiB.
    func apart(_ lines: Int) -> Int { (lines | 1) * 64 }
    blockStride = apart(plan.blockTiles)
    inputPositionStride = apart(input.blocks * blockStride / 64)
    gradientPositionStride = apart(output.blocks * blockStride / 64)
    inputByteCount = transform.positions * inputPositionStride
    gradientByteCount = transform.positions * gradientPositionStride
    sumsPositionStride = apart(BlockedTensor.blockChannels)
    pairStride = transform.positions * sumsPositionStride

    var groups: [Group] = [], pairs = 0
    for firstOutput in stride(from: 0, to: output.blocks, by: plan.groupOutputs) {
      for firstInput in stride(from: 0, to: input.blocks, by: plan.groupInputs) {
        let group = Group(
          outputs: firstOutput..<min(output.blocks, firstOutput + plan.groupOutputs),
          inputs: firstInput..<min(input.blocks, firstInput + plan.groupInputs), firstPair: pairs)
        groups.append(group)
        pairs += group.pairs
      }
    }
    self.groups = groups

    let (positionStride, gradientStride) = (inputPositionStride, gradientPositionStride)
    func run(_ place: WinogradTiles.Run) -> Run {
      let inputKernel = WinogradInputKernel(
        target: target, transform: transform, shape: place.shape, rowStride: input.rowByteCount,
        positionStride: positionStride, element: storedInput.element, fetchesAhead: true)
      let gradientKernel = WinogradGradientKernel(
        target: target, transform: transform, shape: place.shape, rowStride: output.rowByteCount,
        positionStride: gradientStride, element: storedOutput.element)
      return Run(
        inputKernel: library.kernel(inputKernel, name: inputKernel.name) { inputKernel.code() },
        gradientKernel: library.kernel(gradientKernel, name: gradientKernel.name) { gradientKernel.code() },
        place: place)
    }
    let shares = plan.dividesTiles ? min(workers.count, tiles.count) : 1
    blocks = (0..<shares).map { share in
      let range = tiles.count * share / shares..<tiles.count * (share + 1) / shares
      let count = (range.count + plan.blockTiles - 1) / plan.blockTiles
      return (0..<count).map { index in
        let first = range.lowerBound + range.count * index / count
        let part = tiles.block(first..<range.lowerBound + range.count * (index + 1) / count)
        let side = transform.inputs
        return Block(
          runs: part.runs.map(run),
          positions: (0..<transform.positions).map { part.extent.tiles(at: $0 / side, $0 % side) },
          pixels: .init(part.runs, output))
      }
    }
    let isWhole = plan.dividesTiles || blocks[0].count > 1
    sumsByteCount = pairStride * (isWhole ? pairs : plan.groupOutputs * plan.groupInputs)

    let block = BlockedTensor.blockChannels
    let lastInputs = (input.channels - 1) % block + 1, lastOutputs = (output.channels - 1) % block + 1
    productKernels = [block, lastOutputs].map { rows in
      [block, lastInputs <= 8 ? 8 : block].map { lanes in
        let kernel = OuterProductKernel(target: target, rows: rows, lanes: lanes, fetchesAhead: plan.dividesTiles)
        return library.kernel(kernel, name: kernel.name) { kernel.code() }
      }
    }
    let sumsStride = sumsPositionStride
    filterKernels = [block, lastInputs].map { channels in
      let kernel = WinogradFilterGradientKernel(
        target: target, transform: transform, channels: channels, positionStride: sumsStride)
      return library.kernel(kernel, name: kernel.name) { kernel.code() }
    }
  }

  /// Computes all of it.
  func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    if plan.dividesTiles {
      runDividingTiles(x, dy, into: dWeight, workspace, workers)
    } else {
      runDividingPairs(x, dy, into: dWeight, workspace, workers)
    }
  }

  private func runDividingTiles(
    _ x: UnsafeRawPointer, _ dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    _ workspace: UnsafeMutableRawPointer, _ workers: Workers
  ) {
    let transformed = workspace + threads * sumsByteCount
    workers.run(parts: blocks.count) { worker in
      let tiles = transformed + worker * (inputByteCount + gradientByteCount)
      for index in blocks[worker].indices {
        let block = blocks[worker][index]
        transform(block, channelBlocks: 0..<input.blocks + output.blocks, x, dy, into: tiles)
        let next = index + 1 < blocks[worker].count ? blocks[worker][index + 1] : nil
        var fetch = next.map {
          WinogradGradientFetch(
            $0.pixels, storedInput, x, storedOutput, dy, products: block.products * groups[0].pairs)
        }
        multiply(
          block, groups[0], adds: index > 0, tiles, into: workspace + worker * sumsByteCount, fetch: &fetch)
      }
    }
    workers.forEachRange(of: input.blocks * output.blocks) { range, _ in
      for pair in range {
        let sums = (workspace + pair * pairStride).assumingMemoryBound(to: Float.self)
        for worker in 1..<max(1, blocks.count) {
          let others = sums + worker * sumsByteCount / 4
          for index in stride(from: 0, to: pairStride / 4, by: 16) {
            (SIMD16<Float>.load(sums + index) + SIMD16<Float>.load(others + index)).store(sums + index)
          }
        }
        finish(sums, output: pair / input.blocks, input: pair % input.blocks, into: dWeight)
      }
    }
  }

  private func runDividingPairs(
    _ x: UnsafeRawPointer, _ dy: UnsafeRawPointer, into dWeight: UnsafeMutablePointer<Float>,
    _ workspace: UnsafeMutableRawPointer, _ workers: Workers
  ) {
    let allSums = workspace + inputByteCount + gradientByteCount
    for index in blocks[0].indices {
      let block = blocks[0][index], isLast = index == blocks[0].count - 1
      workers.forEachRange(of: input.blocks + output.blocks) { range, _ in
        transform(block, channelBlocks: range, x, dy, into: workspace)
      }
      workers.forEachRange(of: groups.count) { range, worker in
        var fetch = WinogradGradientFetch?.none
        for group in range {
          let group = groups[group]
          let sums = allSums + (hasSumsForAll ? group.firstPair * pairStride : worker * sumsByteCount)
          multiply(block, group, adds: index > 0, workspace, into: sums, fetch: &fetch)
          if isLast {
            for output in group.outputs {
              for input in group.inputs {
                finish(sums + group.pair(output, input) * pairStride, output: output, input: input, into: dWeight)
              }
            }
          }
        }
      }
    }
  }

  /// Transforms tiles of some blocks of channels: first come those of the input, then those of the gradient.
  private func transform(
    _ block: Block, channelBlocks: Range<Int>, _ x: UnsafeRawPointer, _ dy: UnsafeRawPointer,
    into transformed: UnsafeMutableRawPointer
  ) {
    for number in channelBlocks {
      let isGradient = number >= input.blocks, channelBlock = isGradient ? number - input.blocks : number
      let channel = channelBlock * BlockedTensor.blockChannels
      let source =
        isGradient ? dy + storedOutput.byteOffset(channel: channel) : x + storedInput.byteOffset(channel: channel)
      let target = transformed + (isGradient ? inputByteCount : 0) + channelBlock * blockStride
      for run in block.runs {
        var arguments = WinogradInputArguments(
          input: source + (isGradient ? run.place.output : run.place.input), output: target + run.place.tile * 64,
          tiles: run.place.tiles)
        if isGradient { run.gradientKernel(&arguments) } else { run.inputKernel(&arguments) }
      }
    }
  }

  /// Adds a block's tiles to the sums of a group, position by position.
  private func multiply(
    _ block: Block, _ group: Group, adds: Bool, _ transformed: UnsafeMutableRawPointer,
    into sums: UnsafeMutableRawPointer, fetch: inout WinogradGradientFetch?
  ) {
    let gradient = transformed + inputByteCount
    for position in 0..<transform.positions {
      let tiles = block.positions[position]
      for output in group.outputs {
        let place = sums + group.pair(output, group.inputs.lowerBound) * pairStride + position * sumsPositionStride
        if tiles.isEmpty {
          if !adds {
            for input in group.inputs.indices {
              memset(place + (input - group.inputs.lowerBound) * pairStride, 0, FilterSums.tileByteCount)
            }
          }
          continue
        }
        let rowKernels = productKernels[output == self.output.blocks - 1 ? 1 : 0]
        let last = group.inputs.upperBound == input.blocks ? input.blocks - 1 : group.inputs.upperBound
        for part in 0..<2 {
          let isLast = part == 1
          let inputs = isLast ? last..<group.inputs.upperBound : group.inputs.lowerBound..<last
          if inputs.isEmpty { continue }
          let a = gradient + position * gradientPositionStride + output * blockStride + tiles.lowerBound * 64
          var arguments = OuterProductArguments(
            a: a,
            b: transformed + position * inputPositionStride + inputs.lowerBound * blockStride + tiles.lowerBound * 64,
            sums: place + (inputs.lowerBound - group.inputs.lowerBound) * pairStride,
            rowStride: BlockedTensor.pixelByteCount, adds: adds ? 1 : 0, pixels: PixelLoops(tiles: tiles.count),
            repetitions: inputs.count, repetitionB: blockStride, repetitionSums: pairStride,
            ahead: fetch?.next(products: tiles.count * inputs.count) ?? UnsafeRawPointer(a), aheadStep: fetch?.step ?? 0
          )
          rowKernels[isLast ? 1 : 0](&arguments)
        }
      }
    }
  }

  /// Transforms the sums of a pair back and writes them.
  private func finish(
    _ sums: UnsafeMutableRawPointer, output: Int, input: Int, into dWeight: UnsafeMutablePointer<Float>
  ) {
    let block = BlockedTensor.blockChannels, taps = transform.taps * transform.taps
    let channels = self.input.channels
    var arguments = TapOrderArguments(
      source: sums, result: dWeight + (output * block * channels + input * block) * taps,
      rows: min(block, self.output.channels - output * block), sourceStride: BlockedTensor.pixelByteCount,
      resultStride: channels * taps * 4)
    filterKernels[input == self.input.blocks - 1 ? 1 : 0](&arguments)
  }
}
