import CNNCore
import CNNRuntime

/// A picture's four phases: its pixels in even and odd rows and columns, side by side as channels of an image of half the
/// size.
///
/// A convolution of stride 2 over the picture is one of stride 1 over the phases, with half as many taps along each side
/// (of an odd number one is zero). So the first layer of a ResNet, 7 x 7 over 3 channels, is 4 x 4 over 12, and Winograd's
/// transforms apply: 48 products for each result instead of 147.
struct PicturePhases: Sendable {
  /// The phases as channels: those of the even row, first of the even pixel, and then those of the odd row.
  let tensor: BlockedTensor
  /// What the convolution of the phases is padded by.
  let padding: BlockedTensor.Border
  let transform: WinogradTransform
  private let geometry: ConvolutionGeometry

  /// Why a convolution is not computed by its phases and this transform; nil where it is.
  static func refusal(_ g: ConvolutionGeometry, _ transform: WinogradTransform) -> String? {
    if g.groups > 1 { return "the channels of a picture are in \(g.groups) groups" }
    if g.strideHeight != 2 || g.strideWidth != 2 {
      return "the stride is \(g.strideHeight)x\(g.strideWidth); four phases need 2x2"
    }
    if g.dilationHeight > 1 || g.dilationWidth > 1 {
      return "the dilation is \(g.dilationHeight)x\(g.dilationWidth); phases need 1x1"
    }
    if g.kernelHeight < 5 || g.kernelWidth < 5 {
      return "the filter is \(g.kernelHeight)x\(g.kernelWidth); phases pay from 5x5 on"
    }
    if 4 * g.inputChannels > BlockedTensor.blockChannels {
      return "the picture has \(g.inputChannels) channels; four phases of 4 fit a block"
    }
    if g.inputHeight < 2 || g.inputWidth < 2 { return "the picture has one row or column" }
    let taps = Self.taps(g), expected = transform.taps
    return taps == expected ? nil : "the phases meet \(taps)x\(taps) taps, not \(expected)x\(expected)"
  }

  /// The phases for a convolution; nil where it does not pay or there is no transform of that size.
  init?(_ g: ConvolutionGeometry) {
    guard let transform = [WinogradTransform.f4, .f3WithFourTaps].first(where: { Self.refusal(g, $0) == nil }) else {
      return nil
    }
    self.transform = transform
    geometry = g
    tensor = BlockedTensor(
      images: g.batch, height: (g.inputHeight + 1) / 2, width: (g.inputWidth + 1) / 2, channels: 4 * g.inputChannels)
    padding = BlockedTensor.Border(top: (g.padTop + 1) / 2, left: (g.padLeft + 1) / 2)
  }

  /// The taps of the filter over the phases, along the longer side.
  private static func taps(_ g: ConvolutionGeometry) -> Int {
    max(taps(g.kernelHeight, padding: g.padTop), taps(g.kernelWidth, padding: g.padLeft))
  }

  /// Tap `k` meets pixel `2 y + k - padding`, which is in row `y + (k - padding) / 2`, rounded down, of a phase.
  private static func taps(_ size: Int, padding: Int) -> Int {
    (size - 1 - padding) >> 1 + (padding + 1) / 2 + 1
  }

  /// The number of floats of the filter `[output, phases, taps, taps]`.
  var filterCount: Int { geometry.outputChannels * tensor.channels * transform.taps * transform.taps }

  /// Calls `body` with the place of each number of the filter `[output, channels, height, width]`, and with its place in
  /// that of the phases.
  @inline(__always)
  private func forEachTap(_ body: (_ place: Int, _ phasePlace: Int) -> Void) {
    let g = geometry, taps = transform.taps
    for output in 0..<g.outputChannels {
      for channel in 0..<g.inputChannels {
        let first = (output * g.inputChannels + channel) * g.kernelHeight * g.kernelWidth
        for row in 0..<g.kernelHeight {
          for column in 0..<g.kernelWidth {
            let y = row - g.padTop + 2 * padding.top, x = column - g.padLeft + 2 * padding.left
            let phase = (y % 2 * 2 + x % 2) * g.inputChannels + channel
            body(
              first + row * g.kernelWidth + column,
              ((output * tensor.channels + phase) * taps + y / 2) * taps + x / 2)
          }
        }
      }
    }
  }

  /// The filter `[output, phases, taps, taps]` of `weight` `[output, channels, height, width]`.
  func filter(_ weight: UnsafePointer<Float>) -> [Float] {
    var result = [Float](repeating: 0, count: filterCount)
    forEachTap { place, phasePlace in result[phasePlace] = weight[place] }
    return result
  }

  /// Writes `weight` `[output, channels, height, width]` out of the filter of the phases.
  func mergeFilter(_ filter: UnsafePointer<Float>, into weight: UnsafeMutablePointer<Float>) {
    forEachTap { place, phasePlace in weight[place] = filter[phasePlace] }
  }

  /// The bytes of the phases, and of a row of numbers for each thread.
  func byteCount(threads: Int) -> Int { tensor.byteCount + threads * rowByteCount }
  private var rowByteCount: Int { (geometry.inputWidth * geometry.inputChannels * 4 + 63) / 64 * 64 }

  /// Writes the phases of NHWC images, and works behind them.
  func split(_ picture: ImageInput, _ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, workers: Workers) {
    workers.forEachRange(of: tensor.images * tensor.height, grain: 8) { range, worker in
      let numbers = (y + tensor.byteCount + worker * rowByteCount).assumingMemoryBound(to: Float.self)
      for line in range {
        let image = line / tensor.height, top = line % tensor.height * 2
        // First the even row: its last store reaches into the lanes of the odd one.
        for half in 0..<2 {
          let target =
            (y + line * tensor.rowByteCount).assumingMemoryBound(to: Float.self)
            + half * 2 * picture.channels
          let row = image * picture.height + top + half
          if top + half == picture.height {
            split(nil, into: target)
          } else if picture.isReadInPlace {
            split(x.assumingMemoryBound(to: Float.self) + row * picture.rowCount, into: target)
          } else {
            picture.readRow(row, of: x, into: numbers)
            split(UnsafePointer(numbers), into: target)
          }
        }
      }
    }
  }

  /// Writes a row's pairs of pixels, or zeros.
  private func split(_ source: UnsafePointer<Float>?, into target: UnsafeMutablePointer<Float>) {
    let pair = 2 * geometry.inputChannels, count = geometry.inputWidth * geometry.inputChannels
    var target = target
    var column = 0
    if let source {
      // 8 floats at a time where that reads nothing behind the row. What it writes behind the pair is written later, or
      // means nothing.
      while (column + 1) * pair + 8 <= count {
        let values = UnsafeRawPointer(source + column * pair).loadUnaligned(as: SIMD8<Float>.self)
        UnsafeMutableRawPointer(target).storeBytes(of: values, as: SIMD8<Float>.self)
        target += BlockedTensor.blockChannels
        column += 1
      }
    }
    while column < tensor.width {
      for lane in 0..<pair {
        let place = column * pair + lane
        target[lane] = place < count ? source?[place] ?? 0 : 0
      }
      target += BlockedTensor.blockChannels
      column += 1
    }
  }
}
