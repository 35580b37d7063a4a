import CNNCore
import CNNRuntime

/// A product of tiles of bfloat16 for each tap, with sums of float32.
struct TileWeightGradientAlgorithm: WeightGradientAlgorithm {
  let name = "tiles"

  var usesTiles: Bool { true }

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    if request.input != .blocked { return "the image is not in blocks without a border" }
    if request.inputElement != .bfloat16 || request.gradientElement != .bfloat16 { return "it reads bfloat16 alone" }
    return TileConvolution.refusal(request.geometry, target)
  }

  /// For each pair of blocks 16 cycles a tap and tile of pixels, as `TileConvolution` counts them, the way of the sums from
  /// and to memory for each chunk and at the end row by row, and what it takes to write the words.
  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    let g = request.geometry, taps = Double(g.taps), lines = Double(TileGradientWords.lineCount(g))
    let pairs = ConvolutionCost.pairs(g, blockChannels: request.blockChannels)
    let chunks = lines / Double(TileGradientSchedule.chunkWords)
    let words =
      lines
      * (Double(g.blockedOutput.blocks) * (PixelPairs.cycles + WordTransposition.cycles)
        + Double(g.strideHeight * g.strideWidth * g.blockedInput.blocks) * PixelPairs.cycles)
    return (pairs * (taps * (lines + 50 * chunks) + 2500 * taps / 9) + words) / Double(request.workers.count)
  }

  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient {
    try check(request, library.target)
    return try ProductWeightGradient(request, algorithm: name) { groups, input, output in
      TileGradientSchedule(groups, input: input, output: output, workers: request.workers, library: library)
    }
  }
}
