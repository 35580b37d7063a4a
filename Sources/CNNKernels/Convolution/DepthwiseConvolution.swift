import CNNRuntime

/// Convolution of every channel by itself, with `outputChannels / inputChannels` filters to a channel.
///
/// There is too little arithmetic for matrix products: these are loops over pixels with the channels in vectors.
/// Operands and shapes are those of `Convolution`.
enum DepthwiseConvolution {
  static func forward(
    x: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?,
    y: UnsafeMutablePointer<Float>, geometry g: ConvolutionGeometry, workers: Workers
  ) {
    let rows = g.rowAxis, columns = g.columnAxis, multiplier = g.groupOutputChannels
    forEachPixel(g.batch, g.outputHeight, g.outputWidth, workers) { image, row, column, pixel in
      let target = y + pixel * g.outputChannels
      let source = { (tapRow: Int, tapColumn: Int) -> UnsafePointer<Float>? in
        guard let inputRow = rows.source(output: row, tap: tapRow),
          let inputColumn = columns.source(output: column, tap: tapColumn)
        else { return nil }
        return x + ((image * g.inputHeight + inputRow) * g.inputWidth + inputColumn) * g.inputChannels
      }
      if multiplier == 1 {
        sumOfProducts(g, source: source, weight: weight, bias: bias, target: target)
        return
      }
      for filter in 0..<g.outputChannels { target[filter] = bias?[filter] ?? 0 }
      forEachTap(g, source) { source, tap in
        let kernel = weight + tap * g.outputChannels
        for channel in 0..<g.inputChannels {
          for filter in channel * multiplier..<(channel + 1) * multiplier {
            target[filter] += source[channel] * kernel[filter]
          }
        }
      }
    }
  }

  static func inputGradient(
    dy: UnsafePointer<Float>, weight: UnsafePointer<Float>, dx: UnsafeMutablePointer<Float>,
    geometry g: ConvolutionGeometry, workers: Workers
  ) {
    let rows = g.rowAxis, columns = g.columnAxis, multiplier = g.groupOutputChannels
    forEachPixel(g.batch, g.inputHeight, g.inputWidth, workers) { image, row, column, pixel in
      let target = dx + pixel * g.inputChannels
      let source = { (tapRow: Int, tapColumn: Int) -> UnsafePointer<Float>? in
        guard let outputRow = rows.output(source: row, tap: tapRow),
          let outputColumn = columns.output(source: column, tap: tapColumn)
        else { return nil }
        return dy + ((image * g.outputHeight + outputRow) * g.outputWidth + outputColumn) * g.outputChannels
      }
      if multiplier == 1 {
        sumOfProducts(g, source: source, weight: weight, bias: nil, target: target)
        return
      }
      target.update(repeating: 0, count: g.inputChannels)
      forEachTap(g, source) { source, tap in
        let kernel = weight + tap * g.outputChannels
        for channel in 0..<g.inputChannels {
          var sum: Float = 0
          for filter in channel * multiplier..<(channel + 1) * multiplier { sum += source[filter] * kernel[filter] }
          target[channel] += sum
        }
      }
    }
  }

  static func weightGradient(
    x: UnsafePointer<Float>, dy: UnsafePointer<Float>, partials: PartialSums, geometry g: ConvolutionGeometry,
    workers: Workers
  ) {
    let rows = g.rowAxis
    workers.forEachRange(of: g.batch * g.outputHeight) { units, worker in
      let sum = partials.sum(ofWorker: worker)
      sum.update(repeating: 0, count: g.weightCount)
      for unit in units {
        let image = unit / g.outputHeight, row = unit % g.outputHeight
        let dyRow = dy + unit * g.outputWidth * g.outputChannels
        for tapRow in 0..<g.kernelHeight {
          guard let inputRow = rows.source(output: row, tap: tapRow) else { continue }
          let xRow = x + (image * g.inputHeight + inputRow) * g.inputWidth * g.inputChannels
          for tapColumn in 0..<g.kernelWidth {
            let target = sum + (tapRow * g.kernelWidth + tapColumn) * g.outputChannels
            addRowProducts(g, tapColumn: tapColumn, x: xRow, dy: dyRow, target: target)
          }
        }
      }
    }
    partials.reduce(parts: workers.partCount(of: g.batch * g.outputHeight), workers: workers)
  }

  /// Adds the products of one row of the input with one row of the output gradient to one tap of the kernel's gradient.
  private static func addRowProducts(
    _ g: ConvolutionGeometry, tapColumn: Int, x: UnsafePointer<Float>, dy: UnsafePointer<Float>,
    target: UnsafeMutablePointer<Float>
  ) {
    let columns = g.columnAxis, multiplier = g.groupOutputChannels
    var channel = 0
    if multiplier == 1 {
      while channel + 16 <= g.outputChannels {
        var low = load8(target + channel), high = load8(target + channel + 8)
        for column in 0..<g.outputWidth {
          guard let inputColumn = columns.source(output: column, tap: tapColumn) else { continue }
          let from = x + inputColumn * g.inputChannels + channel, gradient = dy + column * g.outputChannels + channel
          low += load8(from) * load8(gradient)
          high += load8(from + 8) * load8(gradient + 8)
        }
        store8(low, target + channel)
        store8(high, target + channel + 8)
        channel += 16
      }
    }
    for column in 0..<g.outputWidth {
      guard let inputColumn = columns.source(output: column, tap: tapColumn) else { continue }
      let from = x + inputColumn * g.inputChannels, gradient = dy + column * g.outputChannels
      for channel in channel..<g.inputChannels {
        for filter in channel * multiplier..<(channel + 1) * multiplier {
          target[filter] += from[channel] * gradient[filter]
        }
      }
    }
  }

  /// `target[c] = bias[c] + sum over taps of source(tap)[c] * weight[tap][c]`.
  @inline(__always)
  private static func sumOfProducts(
    _ g: ConvolutionGeometry, source: (_ tapRow: Int, _ tapColumn: Int) -> UnsafePointer<Float>?,
    weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?, target: UnsafeMutablePointer<Float>
  ) {
    let channels = g.inputChannels
    var channel = 0
    while channel + 16 <= channels {
      var low = SIMD8<Float>.zero, high = SIMD8<Float>.zero
      if let bias {
        low = load8(bias + channel)
        high = load8(bias + channel + 8)
      }
      forEachTap(g, source) { source, tap in
        let kernel = weight + tap * channels + channel
        low += load8(source + channel) * load8(kernel)
        high += load8(source + channel + 8) * load8(kernel + 8)
      }
      store8(low, target + channel)
      store8(high, target + channel + 8)
      channel += 16
    }
    if channel == channels { return }
    for channel in channel..<channels { target[channel] = bias?[channel] ?? 0 }
    forEachTap(g, source) { source, tap in
      let kernel = weight + tap * channels
      for channel in channel..<channels { target[channel] += source[channel] * kernel[channel] }
    }
  }

  /// Calls `body` with the source pixel and the number of every tap that meets one.
  @inline(__always)
  private static func forEachTap(
    _ g: ConvolutionGeometry, _ source: (_ tapRow: Int, _ tapColumn: Int) -> UnsafePointer<Float>?,
    _ body: (_ source: UnsafePointer<Float>, _ tap: Int) -> Void
  ) {
    for tapRow in 0..<g.kernelHeight {
      for tapColumn in 0..<g.kernelWidth {
        if let pixel = source(tapRow, tapColumn) { body(pixel, tapRow * g.kernelWidth + tapColumn) }
      }
    }
  }

  /// Calls `body` for every pixel of a batch, its rows divided over the workers.
  @inline(__always)
  private static func forEachPixel(
    _ batch: Int, _ height: Int, _ width: Int, _ workers: Workers,
    _ body: (_ image: Int, _ row: Int, _ column: Int, _ pixel: Int) -> Void
  ) {
    workers.forEachRange(of: batch * height) { units, _ in
      for unit in units {
        for column in 0..<width { body(unit / height, unit % height, column, unit * width + column) }
      }
    }
  }

  @inline(__always)
  private static func load8(_ source: UnsafePointer<Float>) -> SIMD8<Float> {
    UnsafeRawPointer(source).loadUnaligned(as: SIMD8<Float>.self)
  }

  @inline(__always)
  private static func store8(_ value: SIMD8<Float>, _ target: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(target).storeBytes(of: value, as: SIMD8<Float>.self)
  }
}
