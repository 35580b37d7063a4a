import CNNCore
import CNNRuntime

/// A product of matrices for each tap, of float32, or of words of two pixels of bfloat16 with sums of float32.
struct DirectWeightGradientAlgorithm: WeightGradientAlgorithm {
  let name = "direct"

  func refusal(_ request: WeightGradientRequest, _ target: CodeTarget) -> String? {
    if request.input != .blocked { return "the image is not in blocks without a border" }
    if request.inputElement != request.gradientElement { return "one operand is bfloat16 and the other one float32" }
    return ProductKernel.refusal(request.inputElement, .float32, target) ?? request.geometry.productRefusal
  }

  /// For each pair of blocks 16 multiply-adds a tap and pixel, or word of two pixels, and what it takes to write the sums row
  /// by row and the words line by line.
  func cycles(_ request: WeightGradientRequest, _ target: CodeTarget) -> Double {
    let g = request.geometry, taps = Double(g.taps), workers = Double(request.workers.count)
    let pairs = ConvolutionCost.pairs(g, blockChannels: request.blockChannels), writing = 2500 * taps / 9
    guard request.inputElement == .bfloat16 else {
      return pairs * (1.08 * taps * 16 * Double(g.outputPixels) + writing) / workers
    }
    let words = ProductGradientShape(g, request.blockedInput, request.blockedGradient).pixels
    let lines = words * (g.blockedOutput.blocks + g.strideHeight * g.strideWidth * g.blockedInput.blocks)
    let products = pairs * (1.08 * taps * 16 * Double(words) / target.bfloat16Rate + writing)
    return (products + PixelPairs.cycles * Double(lines)) / workers
  }

  func plan(_ request: WeightGradientRequest, library: KernelLibrary) throws(CNNError) -> any BlockedWeightGradient {
    try check(request, library.target)
    return try ProductWeightGradient(request, algorithm: name) { groups, input, output in
      ProductGradientSchedule(groups, input: input, output: output, workers: request.workers, library: library)
    }
  }
}
