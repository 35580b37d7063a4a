import CNNCore
import CNNRuntime

/// What algorithms count when they say how many cycles a convolution takes.
enum ConvolutionCost {
  /// The cheapest of some algorithms; the first of equally cheap ones.
  static func cheapest<Algorithm>(_ algorithms: [Algorithm], cycles: (Algorithm) -> Double) -> Algorithm? {
    algorithms.map { ($0, cycles($0)) }.min { $0.1 < $1.1 }?.0
  }

  /// Reading 16 floats of a filter from memory takes each core as long as so many multiply-adds.
  static let filterReading = 8.0

  /// The cycles of each worker where every channel is by itself: the multiply-adds, or where the images do not stay in the
  /// workers' second caches reading and writing them, at the rate of filters, whichever takes longer. Images of bfloat16 are
  /// half as many bytes, and as many multiply-adds.
  static func channelwise(
    _ g: ConvolutionGeometry, input: ElementType = .float32, output: ElementType = .float32, _ workers: Workers,
    _ target: CodeTarget
  ) -> Double {
    let products = g.taps * g.outputPixels * g.blockedOutput.blocks
    let byteCount = g.blockedInput.with(element: input).byteCount + g.blockedOutput.with(element: output).byteCount
    let isFar = byteCount > workers.count * target.secondCacheByteCount
    let lines = isFar ? Double(byteCount / BlockedTensor.pixelByteCount) : 0
    return max(Double(products), filterReading * lines) / Double(workers.count)
  }

  /// Waiting for each other at the end and adding up sums of so many bytes that every worker has of its own.
  static func adding(sums byteCount: Double) -> Double { byteCount / 4 + 10_000 }

  /// The multiply-adds of 16 output channels for each tap and pixel, where groups are computed as products: for every
  /// input channel, or those that share a word of 32 bits, that 16 output channels read, zeros between merged groups counted.
  static func products(
    _ g: ConvolutionGeometry, _ element: ElementType = .float32, blockChannels: Int = BlockedTensor.blockChannels
  ) -> Double {
    parts(g, blockChannels).reduce(0) { $0 + Double($1.groups * element.words($1.inputs) * blocks($1.outputs)) }
  }

  /// The pairs of a block of input channels and a block of output channels that it reads.
  static func pairs(_ g: ConvolutionGeometry, blockChannels: Int = BlockedTensor.blockChannels) -> Double {
    parts(g, blockChannels).reduce(0) { $0 + Double($1.groups * blocks($1.inputs) * blocks($1.outputs)) }
  }

  private static func blocks(_ channels: Int) -> Int {
    (channels + BlockedTensor.blockChannels - 1) / BlockedTensor.blockChannels
  }

  /// The groups as products compute them, and the channels of each.
  private static func parts(
    _ g: ConvolutionGeometry, _ blockChannels: Int
  ) -> [(groups: Int, inputs: Int, outputs: Int)] {
    ((try? ChannelGroups.parts(of: g, blockChannels: blockChannels)) ?? []).map {
      ($0.count, $0.geometry.inputChannels / $0.count, $0.geometry.outputChannels / $0.count)
    }
  }
}
