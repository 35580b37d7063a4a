import CNNCore
import CNNRuntime

/// The definition of a convolution of bytes: plain loops, whose integers every other kernel gives too.
public enum QuantizedConvolution {
  /// Convolves NHWC levels.
  /// - Parameters:
  ///   - x: `[batch, height, width, channels]`.
  ///   - zeroPoints: the level around the image, one, or one for each channel.
  ///   - filter: `[outputs, channels / groups, height, width]`.
  ///   - sums: what each output channel's sum begins with; see `QuantizedFilter.sums`.
  ///   - multipliers: of each output channel; see `Requantization.multipliers`, for vectors of one.
  ///   - residual: levels laid out like the result.
  ///   - y: levels, or floats where `requantization` has none.
  public static func forward(
    _ x: UnsafePointer<UInt8>, zeroPoints: [UInt8], filter: UnsafePointer<Int8>, sums: UnsafePointer<Int32>,
    multipliers: UnsafePointer<Float>, residual: UnsafePointer<UInt8>?, into y: UnsafeMutableRawPointer,
    _ requantization: Requantization, geometry g: ConvolutionGeometry, workers: Workers
  ) {
    let rows = g.rowAxis, columns = g.columnAxis, taps = g.kernelHeight * g.kernelWidth
    let depth = g.groupInputChannels * taps
    workers.forEachRange(of: g.batch * g.outputHeight) { range, _ in
      for line in range {
        let image = line / g.outputHeight, row = line % g.outputHeight
        for column in 0..<g.outputWidth {
          let pixel = line * g.outputWidth + column
          for output in 0..<g.outputChannels {
            var sum = sums[output]
            let firstChannel = output / g.groupOutputChannels * g.groupInputChannels
            for tap in 0..<taps {
              let weights = filter + output * depth + tap
              guard let inputRow = rows.source(output: row, tap: tap / g.kernelWidth),
                let inputColumn = columns.source(output: column, tap: tap % g.kernelWidth)
              else {
                for channel in 0..<g.groupInputChannels {
                  let zeroPoint = zeroPoints[zeroPoints.count == 1 ? 0 : firstChannel + channel]
                  sum &+= Int32(zeroPoint) &* Int32(weights[channel * taps])
                }
                continue
              }
              let source =
                x + ((image * g.inputHeight + inputRow) * g.inputWidth + inputColumn) * g.inputChannels + firstChannel
              for channel in 0..<g.groupInputChannels {
                sum &+= Int32(source[channel]) &* Int32(weights[channel * taps])
              }
            }
            let index = pixel * g.outputChannels + output
            let other = residual?[index]
            if requantization.levels == nil {
              let value = requantization.value(sum, multipliers, channel: output, residual: other)
              y.storeBytes(of: value, toByteOffset: index * 4, as: Float.self)
            } else {
              let level = requantization.level(sum, multipliers, channel: output, residual: other)
              y.storeBytes(of: level, toByteOffset: index, as: UInt8.self)
            }
          }
        }
      }
    }
  }
}
