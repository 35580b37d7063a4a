import CNNCore
import CNNRuntime

/// Two-dimensional convolution over NHWC float32 data, and its gradients.
///
/// Shapes are those of `ConvolutionGeometry`. No call allocates: each takes a workspace of the size that the function
/// of the same name with `WorkspaceByteCount` gives for the same geometry and workers, 64-byte aligned and with any
/// contents. Results depend on the operands, the geometry and the number of workers alone, never on timing. Buffers
/// must not overlap. Calls belong inside `OpenBLAS.withSingleThread`, which a whole run of a plan enters once.
public enum Convolution {
  /// The size of the workspace of `forward`.
  /// - Throws: `.outOfMemory` if it overflows.
  public static func forwardWorkspaceByteCount(
    _ geometry: ConvolutionGeometry, workers: Workers
  ) throws(CNNError) -> Int {
    if geometry.isDepthwise || geometry.isPointwise { return 0 }
    let product = ShiftedProduct(forward: geometry, workers: workers, dividesFilters: true)
    return try byteCount(0, perWorker: product.tileFloatCount, workers)
  }

  /// `y = convolution(x, weight) + bias`.
  public static func forward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, geometry: ConvolutionGeometry, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    if geometry.isDepthwise {
      DepthwiseConvolution.forward(x: x, weight: weight, bias: bias, y: y, geometry: geometry, workers: workers)
    } else if geometry.isPointwise {
      PointwiseConvolution.forward(x: x, weight: weight, bias: bias, y: y, geometry: geometry, workers: workers)
    } else {
      tiledForward(
        x: x, weight: weight, bias: bias, y: y, geometry: geometry,
        workspace: workspace.assumingMemoryBound(to: Float.self), workers: workers)
    }
  }

  private static func tiledForward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, geometry g: ConvolutionGeometry, workspace: UnsafeMutablePointer<Float>,
    workers: Workers
  ) {
    let product = ShiftedProduct(forward: g, workers: workers, dividesFilters: true)
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    product.forEachTile(images: g.batch, workspace: workspace, workers: workers) { tile in
      for group in 0..<g.groups {
        product.pack(
          x + tile.image * g.inputHeight * g.inputWidth * g.inputChannels + group * inputs,
          imageChannels: g.inputChannels, range: tile.rows, into: tile.packed)
        let filters = tile.filters.count, first = group * outputs + tile.filters.lowerBound
        if let bias {
          fillPixels(
            tile.results, pixelStride: filters, count: product.resultCount(rowCount: tile.rows.count),
            with: bias + first, channels: filters)
        }
        product.multiply(
          packed: tile.packed, weight: weight + first, weightStride: g.outputChannels, filterCount: filters,
          results: tile.results, rowCount: tile.rows.count, accumulate: bias != nil)
        for row in tile.rows {
          copyPixels(
            tile.results + (row - tile.rows.lowerBound) * product.resultPitch * filters, pixelStride: filters,
            to: y + (tile.image * g.outputHeight + row) * g.outputWidth * g.outputChannels + first,
            pixelStride: g.outputChannels, count: g.outputWidth, channels: filters)
        }
      }
    }
  }

  /// The size of a workspace with `shared` floats for all workers and `perWorker` floats for each.
  static func byteCount(_ shared: Int, perWorker: Int, _ workers: Workers) throws(CNNError) -> Int {
    let own = try Checked.product([perWorker, workers.count], "convolution workspace")
    let floats = try Checked.sum([shared, own], "convolution workspace")
    return try Checked.product([floats, MemoryLayout<Float>.stride], "convolution workspace")
  }
}

extension ShiftedProduct {
  /// The products of the forward pass of one group; the weight gradient reads the same tiles.
  init(forward g: ConvolutionGeometry, workers: Workers, dividesFilters: Bool) {
    self.init(
      rows: g.rowAxis, columns: g.columnAxis, channels: g.groupInputChannels, filters: g.groupOutputChannels,
      imageCount: g.batch, workerCount: workers.count, dividesFilters: dividesFilters)
  }

  /// Where one worker handles one tile.
  struct Tile {
    let worker: Int
    let image: Int
    /// Rows of output.
    let rows: Range<Int>
    /// The filters to compute.
    let filters: Range<Int>
    /// Room for the packed source.
    let packed: UnsafeMutablePointer<Float>
    /// Room for the results.
    let results: UnsafeMutablePointer<Float>
    /// Whether this is the worker's first tile.
    let isFirst: Bool
  }

  /// Room for a packed tile and its results.
  var tileFloatCount: Int { cacheLineRounded(packedFloatCount) + cacheLineRounded(resultFloatCount) }

  /// Calls `body` for every tile of a batch, divided over the workers; `workspace` has `tileFloatCount` floats for each.
  func forEachTile(
    images: Int, workspace: UnsafeMutablePointer<Float>, workers: Workers, _ body: (Tile) -> Void
  ) {
    workers.forEachRange(of: images * tileCount * filterBlockCount) { units, worker in
      let packed = workspace + worker * tileFloatCount
      for unit in units {
        let tile = unit / filterBlockCount
        body(
          Tile(
            worker: worker, image: tile / tileCount, rows: rowRange(ofTile: tile % tileCount),
            filters: filterRange(ofBlock: unit % filterBlockCount), packed: packed,
            results: packed + cacheLineRounded(packedFloatCount), isFirst: unit == units.lowerBound))
      }
    }
  }
}
