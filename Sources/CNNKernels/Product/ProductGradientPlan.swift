import CNNCore
import CNNRuntime

/// The pixels of a result over which the gradient of a filter is summed, or words of two of them: those of a convolution with
/// one tap, which always meets a pixel of the image, are one long column.
struct ProductGradientShape {
  let images, height, width: Int
  let isFlat: Bool
  /// Whether the pixels that they read are copied.
  let isPacked: Bool
  /// Whether they are words of two pixels, which are copied for each chunk.
  let isPaired: Bool
  /// Bytes of the whole input.
  let inputByteCount: Int
  /// How many pixels of a block of the input are in the caches for each of the result.
  let inputPixels: Double
  private let inputImage: PixelRegion
  private let gradient: PixelRegion
  private let rowAxis: ConvolutionAxis

  init(_ g: ConvolutionGeometry, _ input: BlockedTensor, _ output: BlockedTensor) {
    isPaired = input.element == .bfloat16
    let isOneTap =
      g.kernelHeight == 1 && g.kernelWidth == 1
      && [g.padTop, g.padLeft, g.padBottom, g.padRight].allSatisfy { $0 == 0 }
    // The first half of a column is paired with the other one.
    isFlat = isPaired ? g.isPointwise && g.outputPixels % 2 == 0 : isOneTap
    isPacked = isFlat && !g.isPointwise
    let pixels = output.images * output.height * output.width
    images = isFlat ? 1 : isPaired ? PixelPairs.images(output.images) : output.images
    height = isFlat ? isPaired ? pixels / 2 : pixels : output.height
    width = isFlat ? 1 : output.width
    inputByteCount = input.blocks * input.images * input.imageByteCount
    inputPixels =
      isFlat ? 1 : Double(input.height * input.width) / Double(output.height * output.width)
    rowAxis = g.rowAxis
    (inputImage, gradient) = (PixelRegion(input), PixelRegion(output))
  }

  var pixels: Int { images * height * width }

  func chunks(_ plan: ProductGradientPlan, _ workers: Workers) -> GradientChunks {
    GradientChunks(
      images: images, height: height, width: width, limit: plan.chunkPixels,
      shares: plan.dividesPixels ? workers.count : 1)
  }

  /// Where pixels of the input and of the gradient lie: in their tensors, or of words in copies of what a chunk reads.
  func regions(_ chunk: GradientChunks.Chunk) -> (input: PixelRegion, gradient: PixelRegion) {
    guard isPaired else { return (inputImage, gradient) }
    let gradient = PixelRegion(images: chunk.images, rows: chunk.rows, columns: chunk.columns)
    if isFlat { return (gradient, gradient) }
    return (
      PixelRegion(images: chunk.images, rows: rowAxis.sources(of: chunk.rows), columns: inputImage.columns), gradient
    )
  }
}

/// How the work on a filter's gradient is cut.
struct ProductGradientPlan {
  let chunkPixels, panelBlocks: Int
  let dividesPixels: Bool

  /// The cheapest by an estimate of the cycles of the busiest thread.
  static func best(
    _ shape: ProductGradientShape, _ sums: FilterSums, _ workers: Workers, _ target: CodeTarget
  ) -> ProductGradientPlan {
    var best = ProductGradientPlan(chunkPixels: 256, panelBlocks: 1, dividesPixels: false), lowest = Double.infinity
    let line = BlockedTensor.pixelByteCount, cache = target.secondCacheByteCount
    let inputBytes = Double(shape.inputByteCount), inputPixels = shape.inputPixels
    for dividesPixels in workers.count > 1 ? [false, true] : [false] {
      for chunkPixels in [96, 128, 192, 256, 384, 512, 800] {
        let threads = workers.count, all = sums.allOutputBlocks
        let share = dividesPixels ? all : (all + threads - 1) / threads
        let room = Int(0.55 * Double(cache) / Double(line * chunkPixels) - inputPixels)
        let panel = max(1, min(min(share, sums.outputBlocks), room))
        let plan = ProductGradientPlan(chunkPixels: chunkPixels, panelBlocks: panel, dividesPixels: dividesPixels)
        let chunks = shape.chunks(plan, workers).chunks
        let chunkShare = dividesPixels ? (chunks.count + threads - 1) / threads : chunks.count
        let part = Double(chunkShare) / Double(chunks.count)
        let tiles = Double(share * sums.inputBlocks * sums.taps)
        var cycles = part * Double(shape.pixels) * tiles * 16
        if shape.isPaired { cycles /= target.bfloat16Rate }
        // A block of the input that does not stay in the first cache.
        if inputPixels * Double(chunkPixels * line) > Double(24 << 10) { cycles *= 1.02 }
        // Sums come from the second cache or a farther one.
        let tileBytes = tiles * Double(FilterSums.tileByteCount)
        cycles += Double(chunkShare) * tiles * (tileBytes > Double(cache / 2) ? 220 : 70)
        // The input is read for each panel.
        let groupCount = sums.allOutputBlocks / sums.outputBlocks
        let panels = max(1, Double((share + panel - 1) / panel) / Double(groupCount))
        cycles += panels * inputBytes * part / 16
        if shape.isPaired {
          let lines = chunks.reduce(0) { $0 + shape.regions($1).input.imageByteCount * $1.images.count } / line
          cycles +=
            PixelPairs.cycles * part
            * (Double(share * shape.pixels) + panels * Double(sums.inputBlocks * lines * groupCount))
        }
        if dividesPixels { cycles += tileBytes / 8 + 10_000 }
        if cycles < lowest { (best, lowest) = (plan, cycles) }
      }
    }
    return best
  }
}
