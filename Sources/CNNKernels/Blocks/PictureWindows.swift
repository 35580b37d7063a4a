import CNNCore
import CNNRuntime

/// The windows of a convolution over a picture's few channels, as an image of bfloat16 whose channels are what a window's
/// row holds: so the tiles' depth is filled by 21 numbers of a ResNet's first layer and not by 3.
///
/// Where all rows of a window fit into a block of 32 channels, as the 27 numbers of 3 x 3 over 3 channels, they are one
/// pixel of it, and the convolution becomes a pointwise one; else it keeps the filter's rows.
struct PictureWindows: Sendable {
  /// The convolution of the windows.
  let geometry: ConvolutionGeometry
  /// The windows.
  let tensor: BlockedTensor
  private let original: ConvolutionGeometry
  private let picture: ImageInput
  /// How many rows of the picture are side by side, and from one row of windows to the next.
  private let rows, rowStep: Int

  /// Why there are no windows for a convolution; nil where there are.
  static func refusal(_ g: ConvolutionGeometry) -> String? {
    if g.groups > 1 { return "the channels of a picture are in \(g.groups) groups" }
    if g.dilationHeight > 1 || g.dilationWidth > 1 {
      return "the dilation is \(g.dilationHeight)x\(g.dilationWidth); windows of pictures need 1x1"
    }
    return g.kernelWidth * g.inputChannels > TileFilter.blockChannels
      ? "a row of the window holds \(g.kernelWidth * g.inputChannels) numbers, more than a block" : nil
  }

  /// Where there is a refusal it is thrown, as `.invalidArgument`.
  init(_ g: ConvolutionGeometry, _ element: ImageInput.Element) throws(CNNError) {
    if let refusal = Self.refusal(g) { throw CNNError(.invalidArgument, refusal) }
    (original, picture) = (g, ImageInput(element, g))
    let isWhole = g.taps * g.inputChannels <= TileFilter.blockChannels
    (rows, rowStep) = isWhole ? (g.kernelHeight, g.strideHeight) : (1, 1)
    geometry = try ConvolutionGeometry(
      batch: g.batch, inputHeight: isWhole ? g.outputHeight : g.padTop + g.inputHeight + g.padBottom,
      inputWidth: g.outputWidth, inputChannels: rows * g.kernelWidth * g.inputChannels,
      outputChannels: g.outputChannels, kernelHeight: isWhole ? 1 : g.kernelHeight, kernelWidth: 1,
      strideHeight: isWhole ? 1 : g.strideHeight)
    tensor = geometry.blockedInput.with(element: .bfloat16)
  }

  /// The filter `[output, row and column and channel, taps, 1]` of `weight` `[output, channels, height, width]`.
  func filter(_ weight: UnsafePointer<Float>) -> [Float] {
    let g = original, taps = geometry.kernelHeight
    var result = [Float](repeating: 0, count: g.outputChannels * g.taps * g.inputChannels)
    for output in 0..<g.outputChannels {
      for channel in 0..<g.inputChannels {
        for row in 0..<g.kernelHeight {
          for column in 0..<g.kernelWidth {
            let lane = ((rows > 1 ? row * g.kernelWidth : 0) + column) * g.inputChannels + channel
            let place = (output * geometry.inputChannels + lane) * taps + (taps > 1 ? row : 0)
            result[place] =
              weight[((output * g.inputChannels + channel) * g.kernelHeight + row) * g.kernelWidth + column]
          }
        }
      }
    }
    return result
  }

  /// The numbers of a row of the picture with its border, and as many again as one window reads beyond it.
  private var lineCount: Int {
    ((original.padLeft + original.inputWidth + original.padRight) * original.inputChannels + 63) / 32 * 32
  }
  /// For each thread the window's rows, rounded, and one of numbers.
  private var scratchByteCount: Int { rows * lineCount * 2 + (picture.rowCount + 15) / 16 * 64 }

  /// The bytes of the windows, and of what each thread works in.
  func byteCount(threads: Int) -> Int { tensor.byteCount + threads * scratchByteCount }

  /// Writes the windows of NHWC images, and works behind them.
  func write(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    let lines = tensor.images * tensor.height
    workers.forEachRange(of: lines, grain: 4) { range, worker in
      let scratch = y + tensor.byteCount + worker * scratchByteCount
      let rounded = scratch.assumingMemoryBound(to: UInt16.self)
      let numbers = (scratch + rows * lineCount * 2).assumingMemoryBound(to: Float.self)
      rounded.update(repeating: 0, count: rows * lineCount)
      for line in range {
        let image = line / tensor.height, top = line % tensor.height * rowStep - original.padTop
        for row in 0..<rows { round(image, top + row, of: x, numbers, into: rounded + row * lineCount) }
        writeLine(rounded, into: y + line * tensor.rowByteCount)
      }
    }
  }

  /// Rounds a row of the picture, which may lie above or below it, between the border's columns.
  private func round(
    _ image: Int, _ row: Int, of x: UnsafeRawPointer, _ numbers: UnsafeMutablePointer<Float>,
    into rounded: UnsafeMutablePointer<UInt16>
  ) {
    let target = rounded + original.padLeft * original.inputChannels, count = picture.rowCount
    guard (0..<picture.height).contains(row) else { return target.update(repeating: 0, count: count) }
    var source = x.assumingMemoryBound(to: Float.self) + (image * picture.height + row) * count
    if !picture.isReadInPlace {
      picture.readRow(image * picture.height + row, of: x, into: numbers)
      source = UnsafePointer(numbers)
    }
    var index = 0
    while index + 16 <= count {
      let bits = UnsafeRawPointer(source + index).loadUnaligned(as: SIMD16<UInt32>.self)
      UnsafeMutableRawPointer(target + index).storeBytes(of: BFloat16.rounded(bits), as: SIMD16<UInt16>.self)
      index += 16
    }
    while index < count {
      target[index] = BFloat16(source[index]).bitPattern
      index += 1
    }
  }

  /// Writes the windows of a line: zeros where they hold no number.
  private func writeLine(_ rounded: UnsafePointer<UInt16>, into y: UnsafeMutableRawPointer) {
    let width = original.kernelWidth * original.inputChannels, step = original.strideWidth * original.inputChannels
    var places = SIMD32<UInt16>()
    for lane in 0..<32 { places[lane] = UInt16(lane) }
    for row in 0..<rows {
      let source = rounded + row * lineCount
      let isInside = places .< UInt16(width)
      for column in 0..<tensor.width {
        let pixel = y + column * BlockedTensor.pixelByteCount
        let window = UnsafeRawPointer(source + column * step).loadUnaligned(as: SIMD32<UInt16>.self)
          .replacing(with: 0, where: .!isInside)
        if row == 0 {
          pixel.storeBytes(of: window, as: SIMD32<UInt16>.self)
        } else {
          let target = (pixel + row * width * 2).assumingMemoryBound(to: UInt16.self)
          for lane in 0..<width { target[lane] = window[lane] }
        }
      }
    }
  }
}
