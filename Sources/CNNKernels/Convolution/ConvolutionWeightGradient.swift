import CNNCore
import CNNRuntime

extension Convolution {
  /// The size of the workspace of `weightGradient`.
  /// - Throws: `.outOfMemory` if it overflows.
  public static func weightGradientWorkspaceByteCount(
    _ geometry: ConvolutionGeometry, workers: Workers
  ) throws(CNNError) -> Int {
    let partials = try PartialSums.otherFloatCount(geometry.weightCount, workers: workers)
    let isTiled = !geometry.isDepthwise && !geometry.isPointwise
    let tile = isTiled ? ShiftedProduct(forward: geometry, workers: workers, dividesFilters: false).tileFloatCount : 0
    return try byteCount(partials, perWorker: tile, workers)
  }

  /// `dWeight`, the gradient with respect to the kernel, from `dy`, that with respect to the output.
  /// Overwrites `dWeight`.
  public static func weightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, dWeight: UnsafeMutablePointer<Float>,
    geometry: ConvolutionGeometry, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let workspace = workspace.assumingMemoryBound(to: Float.self)
    let partials = PartialSums(result: dWeight, others: workspace, count: geometry.weightCount)
    let tiles = workspace + (workers.count - 1) * cacheLineRounded(geometry.weightCount)
    if geometry.isDepthwise {
      DepthwiseConvolution.weightGradient(x: x, dy: dy, partials: partials, geometry: geometry, workers: workers)
    } else if geometry.isPointwise {
      PointwiseConvolution.weightGradient(x: x, dy: dy, partials: partials, geometry: geometry, workers: workers)
    } else {
      tiledWeightGradient(
        x: x, dy: dy, partials: partials, geometry: geometry, workspace: tiles, workers: workers)
    }
  }

  private static func tiledWeightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, partials: PartialSums, geometry g: ConvolutionGeometry,
    workspace: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let product = ShiftedProduct(forward: g, workers: workers, dividesFilters: false)
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    product.forEachTile(images: g.batch, workspace: workspace, workers: workers) { tile in
      for group in 0..<g.groups {
        product.pack(
          x + tile.image * g.inputHeight * g.inputWidth * g.inputChannels + group * inputs,
          imageChannels: g.inputChannels, range: tile.rows, into: tile.packed)
        for row in tile.rows {
          let to = tile.results + (row - tile.rows.lowerBound) * product.resultPitch * outputs
          copyPixels(
            dy + (tile.image * g.outputHeight + row) * g.outputWidth * g.outputChannels + group * outputs,
            pixelStride: g.outputChannels, to: to, pixelStride: outputs, count: g.outputWidth, channels: outputs)
          // The surplus at the end of a row must add nothing.
          (to + g.outputWidth * outputs).update(repeating: 0, count: (product.resultPitch - g.outputWidth) * outputs)
        }
        product.multiplyTransposed(
          packed: tile.packed, dResults: tile.results, dWeight: partials.sum(ofWorker: tile.worker) + group * outputs,
          weightStride: g.outputChannels, rowCount: tile.rows.count, accumulate: !tile.isFirst)
      }
    }
    partials.reduce(parts: workers.partCount(of: g.batch * product.tileCount), workers: workers)
  }
}
