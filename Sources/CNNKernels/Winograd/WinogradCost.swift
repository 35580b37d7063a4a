import CNNCore
import CNNRuntime

extension WinogradSchedule {
  /// What a convolution by Winograd's transforms takes, in cycles for 16 output channels of one input channel on all cores
  /// together.
  struct Cost {
    private let transform: WinogradTransform
    private let output: BlockedTensor
    private let tiles, products: Int
    private let workers: Workers
    /// What is multiplied, and what lasts as long as one of its products of a word.
    private let element: ElementType, rate: Double

    init(
      _ transform: WinogradTransform, _ output: BlockedTensor, _ workers: Workers, element: ElementType = .float32,
      rate: Double = 1
    ) {
      (self.element, self.rate) = (element, rate)
      func count(_ size: Int) -> Int { transform.cut(size).count }
      (self.transform, self.output, self.workers) = (transform, output, workers)
      tiles = output.images * count(output.height) * count(output.width)
      products = WinogradTiles.products(transform, output)
    }

    var hasFewTiles: Bool { tiles <= 16 * workers.count }

    /// With the filter stored transformed: the products or reading the filter, whichever takes longer.
    private var withTransformedFilter: Double {
      max(Double(products) / rate, ConvolutionCost.filterReading * Double(workers.count * transform.positions))
    }

    /// With the filter transformed on the way, where the channels are divided among the cores.
    private var transformingFilter: Double {
      guard transform == .f4, hasFewTiles, element == .float32 else { return .infinity }
      return 1.08 * Double(products) + WinogradFewTilesKernel.cycles
    }

    /// Whether to transform the filter on the way.
    var transformsFilter: Bool { transformingFilter < 1.2 * withTransformedFilter }

    /// Cycles of each worker for all channels: the products, or reading the filter, whichever takes longer, and the other
    /// two transforms of each tile.
    /// - Parameter rounding: the cycles that rounding 16 results takes beside them.
    func cycles(from input: BlockedTensor, rounding: Double = 0) -> Double {
      let ofInput = transform == .f2 ? 9.0 : 22.0, ofOutput = transform == .f2 ? 8.0 : 20.0
      let results = ofOutput + rounding * Double(transform.outputs * transform.outputs)
      let blocks = (output.channels + 15) / 16, depth = element.words(input.channels)
      let multiplying = min(withTransformedFilter, transformingFilter)
      let transforming =
        Double(tiles) * (ofInput / Double(blocks) + results / Double(input.with(element: element).blocks))
      return (multiplying + transforming) * (Double(depth * blocks) / Double(workers.count))
    }
  }
}
