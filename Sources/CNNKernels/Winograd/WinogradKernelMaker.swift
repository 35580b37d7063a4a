import CNNCore

/// Makes the kernels of one convolution by Winograd's transforms, each with what it needs to know of the others.
struct WinogradKernelMaker {
  let transform: WinogradTransform
  let input, output: BlockedTensor
  let epilogue: Epilogue
  /// Whether the transformed input is for `WinogradFewTilesKernel`.
  let appliesFactors: Bool
  /// How far ahead the filter is fetched, in bytes; 0 for not.
  let prefetchDistance: Int
  /// Bytes between blocks of channels and between positions, of the transformed input and of the products.
  let inputBlockStride, inputPositionStride, outputPositionStride: Int
  let library: KernelLibrary

  private var lastDepth: Int { (input.channels - 1) % BlockedTensor.blockChannels + 1 }

  func input(_ shape: WinogradTiles.Shape) -> GeneratedKernel {
    let kernel = WinogradInputKernel(
      target: library.target, transform: transform, shape: shape, rowStride: input.rowByteCount,
      positionStride: inputPositionStride, appliesFactors: appliesFactors)
    return library.kernel(kernel, name: kernel.name) { kernel.code() }
  }

  func output(_ shape: WinogradTiles.Shape) -> GeneratedKernel {
    let kernel = WinogradOutputKernel(
      target: library.target, transform: transform, shape: shape, rowStride: output.rowByteCount,
      positionStride: outputPositionStride, epilogue: epilogue)
    return library.kernel(kernel, name: kernel.name) { kernel.code() }
  }

  /// The product of one position of some tiles and a panel.
  func product(tiles: Int, _ columns: [Int]) -> GeneratedKernel {
    library.kernel(
      ProductKernel(
        pixels: tiles, columns: columns, blocks: input.blocks, blockStride: inputBlockStride, lastDepth: lastDepth,
        outputBlockStride: inputBlockStride, prefetchDistance: prefetchDistance, target: library.target))
  }

  /// The products of a few tiles and 16 output channels, with the filter transformed on the way.
  func products(of extent: WinogradTiles.Extent) -> GeneratedKernel {
    let kernel = WinogradFewTilesKernel(
      target: library.target, extent: extent, blocks: input.blocks, lastDepth: lastDepth,
      blockStride: inputBlockStride, inputPositionStride: inputPositionStride,
      outputPositionStride: outputPositionStride, prefetchDistance: prefetchDistance)
    return library.kernel(kernel, name: kernel.name) { kernel.code() }
  }
}
