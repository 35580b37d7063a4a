import CNNCore

/// Makes the kernels of one convolution by Winograd's transforms, each with what it needs to know of the others.
struct WinogradKernelMaker {
  let transform: WinogradTransform
  /// The image, the result, and the type of the numbers that are multiplied.
  let input, output: BlockedTensor, element: ElementType
  /// Whether they are multiplied by `ProductOfSums`.
  let multipliesSums: Bool
  let epilogue: Epilogue
  /// Of levels, what becomes of their sums.
  let requantizing: Requantizing?
  /// Whether the transformed input is for `WinogradFewTilesKernel`.
  let appliesFactors: Bool
  /// How far ahead the filter is fetched, in bytes; 0 for not.
  let prefetchDistance: Int
  /// Bytes between blocks of channels and between positions, of the transformed input and of the products.
  let inputBlockStride, inputPositionStride, outputPositionStride: Int
  let library: KernelLibrary

  private var transformed: BlockedTensor { input.with(element: element) }
  private var lastDepth: Int { element.words((input.channels - 1) % transformed.channelsPerBlock + 1) }

  func input(_ shape: WinogradTiles.Shape) -> GeneratedKernel {
    let kernel = WinogradInputKernel(
      target: library.target, transform: transform, shape: shape, rowStride: input.rowByteCount,
      positionStride: inputPositionStride, appliesFactors: appliesFactors, element: input.element)
    return library.kernel(kernel, name: kernel.name) { kernel.code() }
  }

  /// - Parameter fillsBlock: whether it is for the last channels, which are half a block of bfloat16.
  func output(_ shape: WinogradTiles.Shape, fillsBlock: Bool = false) -> GeneratedKernel {
    if let requantizing {
      let kernel = WinogradLevelsKernel(
        target: library.target, shape: shape, rowStride: output.rowByteCount, positionStride: outputPositionStride,
        addsResidual: epilogue.addsResidual, requantizing: requantizing)
      return library.kernel(kernel, name: kernel.name) { kernel.code() }
    }
    let kernel = WinogradOutputKernel(
      target: library.target, transform: transform, shape: shape, rowStride: output.rowByteCount,
      positionStride: outputPositionStride, epilogue: epilogue, element: output.element, fillsBlock: fillsBlock)
    return library.kernel(kernel, name: kernel.name) { kernel.code() }
  }

  /// The product of one position of some tiles and a panel.
  func product(tiles: Int, _ columns: [Int]) -> GeneratedKernel { library.kernel(productKernel(tiles, columns)) }

  private func productKernel(_ tiles: Int, _ columns: [Int]) -> ProductKernel {
    var kernel = ProductKernel(
      pixels: tiles, columns: columns, blocks: transformed.blocks, blockStride: inputBlockStride, lastDepth: lastDepth,
      outputBlockStride: inputBlockStride, prefetchDistance: prefetchDistance, target: library.target)
    (kernel.input, kernel.multipliesSums) = (element, multipliesSums)
    return kernel
  }

  /// What computes the terms of so many tiles for such products; nil where there are none.
  func terms(tiles: Int) -> GeneratedKernel? {
    guard multipliesSums else { return nil }
    let product = productKernel(tiles, [8])
    return library.kernel(
      RowTermsKernel(target: library.target, rows: product.rows, tileStep: product.tileStep, depth: product.depth))
  }

  /// The products of a few tiles and 16 output channels, with the filter transformed on the way.
  func products(of extent: WinogradTiles.Extent) -> GeneratedKernel {
    let kernel = WinogradFewTilesKernel(
      target: library.target, extent: extent, blocks: transformed.blocks, lastDepth: lastDepth,
      blockStride: inputBlockStride, inputPositionStride: inputPositionStride,
      outputPositionStride: outputPositionStride, prefetchDistance: prefetchDistance)
    return library.kernel(kernel, name: kernel.name) { kernel.code() }
  }
}
