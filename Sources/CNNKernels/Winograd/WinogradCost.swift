import CNNRuntime

extension WinogradSchedule {
  /// What a convolution by Winograd's transforms takes, in cycles for 16 output channels of one input channel on all cores
  /// together.
  struct Cost {
    private let transform: WinogradTransform
    private let tiles, products: Int
    private let workers: Workers

    init(_ transform: WinogradTransform, _ output: BlockedTensor, _ workers: Workers) {
      func count(_ size: Int) -> Int { transform.cut(size).count }
      (self.transform, self.workers) = (transform, workers)
      tiles = output.images * count(output.height) * count(output.width)
      products = WinogradTiles.products(
        transform, images: output.images, height: output.height, width: output.width)
    }

    /// Reading 16 floats of a filter from memory takes each core as long as so many products.
    static let filterReading = 8.0

    var hasFewTiles: Bool { tiles <= 16 * workers.count }

    /// With the filter stored transformed: the products or reading the filter, whichever takes longer.
    private var withTransformedFilter: Double {
      max(Double(products), Self.filterReading * Double(workers.count * transform.positions))
    }

    /// With the filter transformed on the way, where the channels are divided among the cores.
    private var transformingFilter: Double {
      guard transform == .f4, hasFewTiles else { return .infinity }
      return 1.08 * Double(products) + WinogradFewTilesKernel.cycles
    }

    /// Whether to transform the filter on the way.
    var transformsFilter: Bool { transformingFilter < 1.2 * withTransformedFilter }

    /// The products, or reading the filter, whichever takes longer.
    var multiplying: Double { min(withTransformedFilter, transformingFilter) }

    /// The other two transforms, which take so many cycles for 16 channels of a tile.
    func transforming(input: Double, output: Double, inputBlocks: Int, outputBlocks: Int) -> Double {
      Double(tiles) * (input / Double(outputBlocks) + output / Double(inputBlocks))
    }
  }
}
