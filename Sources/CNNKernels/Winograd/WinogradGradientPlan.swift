import CNNCore
import CNNRuntime

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
      products = WinogradTiles.products(transform, output)
      (inputBlocks, outputBlocks, threads) = (input.blocks, output.blocks, workers.count)
      self.target = target
    }

    var pairs: Int { inputBlocks * outputBlocks }
    /// Bytes of a tile of all blocks, and of the sums of a pair.
    var tileByteCount: Int { transform.positions * BlockedTensor.pixelByteCount * (inputBlocks + outputBlocks) }
    var sumsByteCount: Int { transform.positions * FilterSums.tileByteCount }
    /// Cycles for a tile's two transforms, of all blocks, and for a pair's transform back.
    var transforming: Double {
      Double(tiles) * (transform == .f2 ? 90 : 210) * Double(inputBlocks + outputBlocks) / Double(threads)
    }
    var transformingBack: Double { (transform == .f2 ? 1500 : 2500) * Double(pairs) / Double(threads) }
  }

  /// The cheapest plan.
  static func best(_ sizes: Sizes) -> WinogradGradientPlan {
    let (pairs, tiles) = (dividingPairs(sizes), dividingTiles(sizes))
    return tiles.cycles < pairs.cycles ? tiles : pairs
  }

  /// Cycles for 16 products of 16, and to begin and end such sums where they are in the second cache.
  private static let product = 16.0, nearSums = 60.0

  /// The same where sums of so many bytes are in the last cache or do not stay there.
  private static func farSums(_ byteCount: Int, _ target: CodeTarget) -> Double {
    byteCount > target.lastCacheByteCount / 2 ? 500 : 250
  }

  private static func dividingTiles(_ sizes: Sizes) -> WinogradGradientPlan {
    let cache = sizes.target.secondCacheByteCount, share = (sizes.tiles + sizes.threads - 1) / sizes.threads
    let sumsBytes = sizes.pairs * sizes.sumsByteCount, isNear = sumsBytes < cache * 3 / 4
    // Enough tiles that reading and writing the sums is little beside adding to them.
    let blockTiles = min(share, max(isNear ? 112 : 96, cache / 2 / sizes.tileByteCount))
    let blocks = (share + blockTiles - 1) / blockTiles
    let products = Double(sizes.products * sizes.pairs) / Double(sizes.threads)
    let sums = Double(blocks * sizes.pairs * sizes.transform.positions)
    return WinogradGradientPlan(
      dividesTiles: true, blockTiles: blockTiles, groupInputs: sizes.inputBlocks, groupOutputs: sizes.outputBlocks,
      cycles: products * product + sums * (isNear ? nearSums : farSums(sumsBytes * sizes.threads, sizes.target))
        + sizes.transforming
        + sizes.transformingBack
        + (sizes.threads > 1 ? ConvolutionCost.adding(sums: Double(sumsBytes)) : 0))
  }

  private static func dividingPairs(_ sizes: Sizes) -> WinogradGradientPlan {
    let room = sizes.target.lastCacheByteCount * 2 / 3
    let blocks = max(1, (sizes.tiles * sizes.tileByteCount + room - 1) / room)
    let blockTiles = (sizes.tiles + blocks - 1) / blocks
    let limit = max(1, sizes.target.secondCacheByteCount / 2 / sizes.sumsByteCount)
    let perSum = blocks > 1 ? farSums(sizes.pairs * sizes.sumsByteCount, sizes.target) : nearSums
    var best: (inputs: Int, outputs: Int) = (1, 1), lowest = Double.infinity
    for outputs in 1...min(sizes.outputBlocks, limit) {
      for inputs in 1...min(sizes.inputBlocks, limit / outputs) {
        let groups =
          ((sizes.inputBlocks + inputs - 1) / inputs) * ((sizes.outputBlocks + outputs - 1) / outputs)
        let share = Double((groups + sizes.threads - 1) / sizes.threads)
        // What a line of a transformed tile, which comes from the last cache, takes beside the products.
        let reading = 2.0 * Double(inputs + outputs) * Double(sizes.products)
        let pairs = Double(inputs * outputs)
        let sums = pairs * Double(sizes.transform.positions * blocks) * perSum
        let cycles = share * (pairs * Double(sizes.products) * product + reading + sums)
        if cycles < lowest { (best, lowest) = ((inputs, outputs), cycles) }
      }
    }
    // Writing so many tiles takes longer where they have no room in the last cache beside what they are made of.
    let writing = blockTiles * sizes.tileByteCount < room * 3 / 5 ? 1.2 : 2.5
    return WinogradGradientPlan(
      dividesTiles: false, blockTiles: blockTiles, groupInputs: best.inputs, groupOutputs: best.outputs,
      cycles: lowest + sizes.transforming * writing + sizes.transformingBack + 10_000 * Double(blocks))
  }
}
