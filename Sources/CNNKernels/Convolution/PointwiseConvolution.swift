import CNNCore
import CNNRuntime

/// Convolution with one tap, stride 1 and no padding: matrix products over all pixels, with nothing to copy.
///
/// Operands and shapes are those of `Convolution`.
enum PointwiseConvolution {
  static func forward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, geometry g: ConvolutionGeometry, workers: Workers
  ) {
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    forEachBlock(g, workers, columns: outputs, depth: inputs) { pixel, count, _, _ in
      if let bias {
        fillPixels(
          y + pixel * g.outputChannels, pixelStride: g.outputChannels, count: count, with: bias,
          channels: g.outputChannels)
      }
      for group in 0..<g.groups {
        MatrixProduct.multiply(
          rows: count, columns: outputs, depth: inputs,
          a: x + pixel * g.inputChannels + group * inputs, leadingDimensionA: g.inputChannels,
          b: weight + group * outputs, leadingDimensionB: g.outputChannels, beta: bias == nil ? 0 : 1,
          c: y + pixel * g.outputChannels + group * outputs, leadingDimensionC: g.outputChannels)
      }
    }
  }

  static func inputGradient(
    dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    geometry g: ConvolutionGeometry, workers: Workers
  ) {
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    forEachBlock(g, workers, columns: inputs, depth: outputs) { pixel, count, _, _ in
      for group in 0..<g.groups {
        MatrixProduct.multiply(
          rows: count, columns: inputs, depth: outputs,
          a: dy + pixel * g.outputChannels + group * outputs, leadingDimensionA: g.outputChannels,
          b: weight + group * outputs, leadingDimensionB: g.outputChannels, transposeB: true,
          c: dx + pixel * g.inputChannels + group * inputs, leadingDimensionC: g.inputChannels)
      }
    }
  }

  static func weightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, partials: PartialSums, geometry g: ConvolutionGeometry,
    workers: Workers
  ) {
    let inputs = g.groupInputChannels, outputs = g.groupOutputChannels
    forEachBlock(g, workers, columns: outputs, depth: inputs) { pixel, count, isFirst, worker in
      for group in 0..<g.groups {
        MatrixProduct.multiply(
          rows: inputs, columns: outputs, depth: count,
          a: x + pixel * g.inputChannels + group * inputs, leadingDimensionA: g.inputChannels, transposeA: true,
          b: dy + pixel * g.outputChannels + group * outputs, leadingDimensionB: g.outputChannels,
          beta: isFirst ? 0 : 1, c: partials.sum(ofWorker: worker) + group * outputs,
          leadingDimensionC: g.outputChannels)
      }
    }
    partials.reduce(parts: workers.partCount(of: pixelCount(g), grain: grain), workers: workers)
  }

  private static let grain = 8

  private static func pixelCount(_ g: ConvolutionGeometry) -> Int { g.batch * g.outputHeight * g.outputWidth }

  /// Divides all pixels of the batch over the workers, and each worker's share into blocks.
  private static func forEachBlock(
    _ g: ConvolutionGeometry, _ workers: Workers, columns: Int, depth: Int,
    _ body: (_ pixel: Int, _ count: Int, _ isFirst: Bool, _ worker: Int) -> Void
  ) {
    let block = MatrixBlocking.rows(columns: columns, depth: depth)
    workers.forEachRange(of: pixelCount(g), grain: grain) { range, worker in
      for pixel in stride(from: range.lowerBound, to: range.upperBound, by: block) {
        body(pixel, min(block, range.upperBound - pixel), pixel == range.lowerBound, worker)
      }
    }
  }
}
