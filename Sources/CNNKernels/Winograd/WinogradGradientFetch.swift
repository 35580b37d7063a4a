import CNNCore

/// What is fetched while tiles are multiplied: the pixels of the next tiles to be transformed. Products leave memory idle,
/// and transforms would wait for it.
struct WinogradGradientFetch {
  /// About where some tiles' pixels are in a block of channels of the input and of the gradient.
  struct Pixels: Sendable {
    let input, gradient, byteCount: Int

    init(_ runs: [WinogradTiles.Run], _ output: BlockedTensor) {
      func first(_ place: (WinogradTiles.Run) -> Int) -> Int { max(0, runs.map(place).min() ?? 0) }
      (input, gradient) = (first(\.input), first(\.output))
      byteCount = (runs.map { $0.output + $0.shape.rows.outputs * output.rowByteCount }.max() ?? 0) - gradient
    }
  }

  private let input, output: BlockedTensor
  private let x, dy: UnsafeRawPointer
  private let byteCount: Int
  /// Bytes to go on by for each pixel of a product.
  let step: Int
  private var place = 0

  /// Divides `pixels` of all blocks of channels among so many products of a pixel.
  init(
    _ pixels: Pixels, _ input: BlockedTensor, _ x: UnsafeRawPointer, _ output: BlockedTensor, _ dy: UnsafeRawPointer,
    products: Int
  ) {
    (self.input, self.output) = (input, output)
    (self.x, self.dy) = (x + pixels.input, dy + pixels.gradient)
    byteCount = max(1, pixels.byteCount)
    step = (byteCount * (input.blocks + output.blocks) + products - 1) / max(1, products)
  }

  /// Where so many products begin to fetch.
  mutating func next(products: Int) -> UnsafeRawPointer {
    let (block, offset) = place.quotientAndRemainder(dividingBy: byteCount)
    place += products * step
    return block < input.blocks
      ? x + block * input.blockByteCount + offset : dy + (block - input.blocks) * output.blockByteCount + offset
  }
}
