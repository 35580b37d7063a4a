import CNNCore
import CNNRuntime

extension Convolution {
  /// The size of the workspace of `inputGradient`.
  /// - Throws: `.outOfMemory` if it overflows.
  public static func inputGradientWorkspaceByteCount(
    _ geometry: ConvolutionGeometry, workers: Workers
  ) throws(CNNError) -> Int {
    if geometry.isDepthwise || geometry.isPointwise { return 0 }
    var largest = 0
    GradientPhase.forEach(geometry, workers) { largest = max(largest, $0.product.tileFloatCount) }
    return try byteCount(cacheLineRounded(geometry.weightCount), perWorker: largest, workers)
  }

  /// `dx`, the gradient with respect to the input, from `dy`, that with respect to the output. Overwrites `dx`.
  public static func inputGradient(
    dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    geometry: ConvolutionGeometry, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    if geometry.isDepthwise {
      DepthwiseConvolution.inputGradient(dy: dy, weight: weight, dx: dx, geometry: geometry, workers: workers)
    } else if geometry.isPointwise {
      PointwiseConvolution.inputGradient(dy: dy, weight: weight, dx: dx, geometry: geometry, workers: workers)
    } else {
      let flipped = workspace.assumingMemoryBound(to: Float.self)
      let tiles = flipped + cacheLineRounded(geometry.weightCount)
      GradientPhase.forEach(geometry, workers) { phase in
        if phase.isEmpty {
          phase.clear(dx, geometry, workers)
        } else {
          phase.flip(weight, into: flipped, geometry, workers)
          phase.run(dy: dy, flipped: flipped, dx: dx, geometry, workspace: tiles, workers)
        }
      }
    }
  }
}

/// The input gradient at every `stride`-th row and column: a convolution of stride 1 over the output gradient.
///
/// A strided convolution has `strideHeight * strideWidth` phases, each of which meets other taps of the kernel, so none
/// multiplies by zeros.
private struct GradientPhase {
  let rows: ConvolutionAxis.Phase
  let columns: ConvolutionAxis.Phase
  let product: ShiftedProduct

  /// Calls `body` with every phase.
  static func forEach(_ g: ConvolutionGeometry, _ workers: Workers, _ body: (GradientPhase) -> Void) {
    for row in 0..<min(g.strideHeight, g.inputHeight) {
      for column in 0..<min(g.strideWidth, g.inputWidth) {
        let rows = g.rowAxis.gradientPhase(first: row), columns = g.columnAxis.gradientPhase(first: column)
        let product = ShiftedProduct(
          rows: rows.axis, columns: columns.axis, channels: g.groupOutputChannels, filters: g.groupInputChannels,
          imageCount: g.batch, workerCount: workers.count, dividesFilters: true)
        body(GradientPhase(rows: rows, columns: columns, product: product))
      }
    }
  }

  /// No tap meets this phase.
  var isEmpty: Bool { rows.axis.tapCount == 0 || columns.axis.tapCount == 0 }

  /// Sets the phase's pixels to zero.
  func clear(_ dx: UnsafeMutablePointer<Float>, _ g: ConvolutionGeometry, _ workers: Workers) {
    workers.forEachRange(of: g.batch * rows.axis.outputCount) { units, _ in
      for unit in units {
        let row = target(image: unit / rows.axis.outputCount, row: unit % rows.axis.outputCount, dx, g)
        for pixel in 0..<columns.axis.outputCount {
          (row + pixel * g.strideWidth * g.inputChannels).update(repeating: 0, count: g.inputChannels)
        }
      }
    }
  }

  /// Lays out the phase's taps in reverse order with input and output channels exchanged:
  /// `[groups, taps along rows, taps along columns, outputs, inputs]`.
  func flip(
    _ weight: UnsafePointer<Float>, into flipped: UnsafeMutablePointer<Float>, _ g: ConvolutionGeometry,
    _ workers: Workers
  ) {
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    let taps = rows.axis.tapCount * columns.axis.tapCount
    workers.forEachRange(of: g.groups * taps) { units, _ in
      for unit in units {
        let tapRow = rows.originalTap(unit % taps / columns.axis.tapCount)
        let tapColumn = columns.originalTap(unit % taps % columns.axis.tapCount)
        let from = weight + (tapRow * g.kernelWidth + tapColumn) * inputs * g.outputChannels + unit / taps * outputs
        let to = flipped + unit * inputs * outputs
        // A cache line of outputs at a time.
        for block in stride(from: 0, to: outputs, by: 16) {
          for input in 0..<inputs {
            for output in block..<min(block + 16, outputs) {
              to[output * inputs + input] = from[input * g.outputChannels + output]
            }
          }
        }
      }
    }
  }

  /// Computes the phase's pixels.
  func run(
    dy: UnsafePointer<Float>, flipped: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    _ g: ConvolutionGeometry, workspace: UnsafeMutablePointer<Float>, _ workers: Workers
  ) {
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    let groupWeights = rows.axis.tapCount * columns.axis.tapCount * inputs * outputs
    product.forEachTile(images: g.batch, workspace: workspace, workers: workers) { tile in
      for group in 0..<g.groups {
        product.pack(
          dy + tile.image * g.outputHeight * g.outputWidth * g.outputChannels + group * outputs,
          imageChannels: g.outputChannels, range: tile.rows, into: tile.packed)
        let filters = tile.filters.count
        product.multiply(
          packed: tile.packed, weight: flipped + group * groupWeights + tile.filters.lowerBound, weightStride: inputs,
          filterCount: filters, results: tile.results, rowCount: tile.rows.count, accumulate: false)
        for row in tile.rows {
          copyPixels(
            tile.results + (row - tile.rows.lowerBound) * product.resultPitch * filters, pixelStride: filters,
            to: target(image: tile.image, row: row, dx, g) + group * inputs + tile.filters.lowerBound,
            pixelStride: g.strideWidth * g.inputChannels, count: columns.axis.outputCount, channels: filters)
        }
      }
    }
  }

  /// The first pixel of a row of the phase.
  private func target(
    image: Int, row: Int, _ dx: UnsafeMutablePointer<Float>, _ g: ConvolutionGeometry
  ) -> UnsafeMutablePointer<Float> {
    let inputRow = image * g.inputHeight + rows.first + row * g.strideHeight
    return dx + (inputRow * g.inputWidth + columns.first) * g.inputChannels
  }
}
