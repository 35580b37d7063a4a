import CNNCore

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

  /// The phases for a convolution; nil where it does not pay or there is no transform of that size.
  init?(_ g: ConvolutionGeometry) {
    guard g.groups == 1, g.strideHeight == 2, g.strideWidth == 2, g.dilationHeight == 1, g.dilationWidth == 1,
      g.kernelHeight >= 5, g.kernelWidth >= 5, 4 * g.inputChannels <= BlockedTensor.blockChannels,
      g.inputHeight > 1, g.inputWidth > 1
    else { return nil }
    let taps = max(Self.taps(g.kernelHeight, padding: g.padTop), Self.taps(g.kernelWidth, padding: g.padLeft))
    guard let transform: WinogradTransform = [3: .f4, 4: .f3WithFourTaps][taps] else { return nil }
    self.transform = transform
    geometry = g
    tensor = BlockedTensor(
      images: g.batch, height: (g.inputHeight + 1) / 2, width: (g.inputWidth + 1) / 2, channels: 4 * g.inputChannels)
    padding = BlockedTensor.Border(top: (g.padTop + 1) / 2, left: (g.padLeft + 1) / 2)
  }

  /// Tap `k` meets pixel `2 y + k - padding`, which is in row `y + (k - padding) / 2`, rounded down, of a phase.
  private static func taps(_ size: Int, padding: Int) -> Int {
    (size - 1 - padding) >> 1 + (padding + 1) / 2 + 1
  }

  /// The filter `[output, phases, taps, taps]` of `weight` `[output, channels, height, width]`.
  func filter(_ weight: UnsafePointer<Float>) -> [Float] {
    let g = geometry, taps = transform.taps
    var result = [Float](repeating: 0, count: g.outputChannels * tensor.channels * taps * taps)
    for output in 0..<g.outputChannels {
      for channel in 0..<g.inputChannels {
        let source = weight + (output * g.inputChannels + channel) * g.kernelHeight * g.kernelWidth
        for row in 0..<g.kernelHeight {
          for column in 0..<g.kernelWidth {
            let y = row - g.padTop + 2 * padding.top, x = column - g.padLeft + 2 * padding.left
            let phase = (y % 2 * 2 + x % 2) * g.inputChannels + channel
            result[((output * tensor.channels + phase) * taps + y / 2) * taps + x / 2] =
              source[row * g.kernelWidth + column]
          }
        }
      }
    }
    return result
  }

  /// Writes the phases of NHWC images.
  func split(_ x: UnsafePointer<Float>, into y: UnsafeMutableRawPointer, workers: Workers) {
    let g = geometry, pair = 2 * g.inputChannels, row = g.inputWidth * g.inputChannels, tensor = tensor
    workers.forEachRange(of: tensor.images * tensor.height, grain: 8) { range, _ in
      for line in range {
        let image = line / tensor.height, top = line % tensor.height * 2
        for half in 0..<2 {
          let source = x + (image * g.inputHeight + top + half) * row
          var target = (y + line * tensor.rowByteCount).assumingMemoryBound(to: Float.self) + half * pair
          let isInside = top + half < g.inputHeight
          // Whole pairs of pixels, 8 floats at a time where that reads nothing behind the row and writes nothing that
          // matters: the lanes behind a row's are written later or mean nothing.
          var column = 0
          if isInside {
            while (column + 1) * pair + 8 <= row {
              UnsafeRawPointer(source + column * pair).loadUnaligned(as: SIMD8<Float>.self).store(to: target)
              target += BlockedTensor.blockChannels
              column += 1
            }
          }
          while column < tensor.width {
            for lane in 0..<pair {
              let place = column * pair + lane
              target[lane] = isInside && place < row ? source[place] : 0
            }
            target += BlockedTensor.blockChannels
            column += 1
          }
        }
      }
    }
  }
}

extension SIMD8<Float> {
  @inline(__always) fileprivate func store(to pointer: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(pointer).storeBytes(of: self, as: Self.self)
  }
}
