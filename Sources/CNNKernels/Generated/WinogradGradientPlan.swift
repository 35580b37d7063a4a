/// How the gradient of a filter by Winograd's transforms is cut.
///
/// Where there are few pairs of channels, every thread takes some of the tiles and has sums of its own, which are added at
/// the end. Where there are many, the threads divide the pairs: groups of pairs whose sums stay in the second cache, while
/// the transformed tiles, which all threads read, come from the last one.
struct WinogradGradientPlan: Sendable {
  /// Whether the tiles are divided among the threads, or else the pairs of channels.
  let dividesTiles: Bool
  /// The most tiles that are transformed at once.
  let blockTiles: Int
  /// Blocks of input and output channels in a group of pairs.
  let groupInputs, groupOutputs: Int
  /// What it takes, in cycles of the busiest thread.
  let cycles: Double

  /// The numbers that a plan depends on.
  struct Sizes {
    let transform: WinogradTransform
    /// Tiles, and products for each pair of channels.
    let tiles, products: Int
    let inputBlocks, outputBlocks: Int
    let threads: Int
    let target: CodeTarget

    init(
      _ transform: WinogradTransform, _ input: BlockedTensor, _ output: BlockedTensor, _ workers: Workers,
      _ target: CodeTarget
    ) {
      func count(_ size: Int) -> Int { transform.cut(size).count }
      self.transform = transform
      tiles = output.images * count(output.height) * count(output.width)
      products = WinogradTiles.products(
        transform, images: output.images, height: output.height, width: output.width)
      (inputBlocks, outputBlocks, threads) = (input.blocks, output.blocks, workers.count)
      self.target = target
    }

    var pairs: Int { inputBlocks * outputBlocks }
    /// Bytes of a tile of all blocks, and of the sums of a pair.
    var tileByteCount: Int { transform.positions * BlockedTensor.pixelByteCount * (inputBlocks + outputBlocks) }
    var sumsByteCount: Int { transform.positions * FilterSums.tileByteCount }
    /// Cycles for a tile's two transforms, of all blocks, and for a pair's transform back.
    var transforming: Double {
      Double(tiles) * (transform == .f2 ? 75 : 210) * Double(inputBlocks + outputBlocks) / Double(threads)
    }
    var transformingBack: Double { (transform == .f2 ? 2000 : 3500) * Double(pairs) / Double(threads) }
  }

  /// The cheapest plan.
  static func best(_ sizes: Sizes) -> WinogradGradientPlan {
    let plans = [dividingPairs(sizes)] + (sizes.threads > 1 ? [dividingTiles(sizes)] : [])
    return plans.min { $0.cycles < $1.cycles } ?? plans[0]
  }

  /// Cycles for 16 products of 16, and to begin and end such sums where they are in the second cache or farther away.
  private static let product = 16.0, nearSums = 90.0, farSums = 250.0

  private static func dividingTiles(_ sizes: Sizes) -> WinogradGradientPlan {
    let cache = sizes.target.secondCacheByteCount, share = (sizes.tiles + sizes.threads - 1) / sizes.threads
    let sumsBytes = sizes.pairs * sizes.sumsByteCount, isNear = sumsBytes < cache * 3 / 4
    // Enough tiles that reading and writing the sums is little beside adding to them.
    let blockTiles = min(share, max(isNear ? 64 : 96, cache / 2 / sizes.tileByteCount))
    let blocks = (share + blockTiles - 1) / blockTiles
    let products = Double(sizes.products * sizes.pairs) / Double(sizes.threads)
    let sums = Double(blocks * sizes.pairs * sizes.transform.positions)
    return WinogradGradientPlan(
      dividesTiles: true, blockTiles: blockTiles, groupInputs: sizes.inputBlocks, groupOutputs: sizes.outputBlocks,
      cycles: products * product + sums * (isNear ? nearSums : farSums) + sizes.transforming + sizes.transformingBack
        + Double(sumsBytes) / 4 + 10_000)
  }

  private static func dividingPairs(_ sizes: Sizes) -> WinogradGradientPlan {
    let room = CodeTarget.lastCacheByteCount * 2 / 3
    let blocks = max(1, (sizes.tiles * sizes.tileByteCount + room - 1) / room)
    let blockTiles = (sizes.tiles + blocks - 1) / blocks
    let limit = max(1, sizes.target.secondCacheByteCount / 2 / sizes.sumsByteCount)
    var best: (inputs: Int, outputs: Int) = (1, 1), lowest = Double.infinity
    for outputs in 1...min(sizes.outputBlocks, limit) {
      for inputs in 1...min(sizes.inputBlocks, limit / outputs) {
        let groups =
          ((sizes.inputBlocks + inputs - 1) / inputs) * ((sizes.outputBlocks + outputs - 1) / outputs)
        let share = Double((groups + sizes.threads - 1) / sizes.threads)
        // A line of a transformed tile takes some cycles to come from the last cache.
        let reading = 6.0 * Double(inputs + outputs) * Double(sizes.products)
        let pairs = Double(inputs * outputs)
        let sums = pairs * Double(sizes.transform.positions * blocks) * (blocks > 1 ? farSums : nearSums)
        let cycles = share * (pairs * Double(sizes.products) * product + reading + sums)
        if cycles < lowest { (best, lowest) = ((inputs, outputs), cycles) }
      }
    }
    return WinogradGradientPlan(
      dividesTiles: false, blockTiles: blockTiles, groupInputs: best.inputs, groupOutputs: best.outputs,
      cycles: lowest + sizes.transforming * 1.2 + sizes.transformingBack + 10_000 * Double(blocks))
  }
}
