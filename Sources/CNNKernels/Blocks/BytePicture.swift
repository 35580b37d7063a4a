import CNNCore
import CNNRuntime
import Glibc

/// A picture of few channels of bytes as tiles read it: NHWC, with a border. A row of a window is one run of bytes, which is
/// all of a tile's depth; what a tile reads behind it meets weights of zero.
struct BytePicture: Sendable {
  let channels: Int
  private let geometry: ConvolutionGeometry
  /// The level around the picture for each channel.
  private let zeroPoints: [UInt8]

  /// Why there are none for a convolution; nil where there are.
  static func refusal(_ g: ConvolutionGeometry) -> String? {
    if g.groups > 1 { return "the channels of a picture are in \(g.groups) groups" }
    if g.dilationWidth > 1 { return "the dilation is \(g.dilationWidth) columns; pictures need 1" }
    let count = g.kernelWidth * g.inputChannels
    return count > BlockedTensor.pixelByteCount
      ? "a row of the window holds \(count) bytes, more than \(BlockedTensor.pixelByteCount)" : nil
  }

  init(_ geometry: ConvolutionGeometry, zeroPoints: [UInt8]) {
    (self.geometry, channels) = (geometry, geometry.inputChannels)
    self.zeroPoints = (0..<channels).map { zeroPoints[zeroPoints.count == 1 ? 0 : $0] }
  }

  private var paddedWidth: Int { geometry.padLeft + geometry.inputWidth + geometry.padRight }
  private var paddedHeight: Int { geometry.padTop + geometry.inputHeight + geometry.padBottom }
  var rowByteCount: Int { paddedWidth * channels }
  var imageByteCount: Int { paddedHeight * rowByteCount }
  /// With what the last tile reads behind the picture.
  var byteCount: Int { geometry.batch * imageByteCount + 17 * BlockedTensor.pixelByteCount * geometry.strideWidth }

  /// The convolution in whose channels the columns of a window are.
  var product: ConvolutionGeometry {
    get throws(CNNError) {
      let g = geometry
      return try ConvolutionGeometry(
        batch: g.batch, inputHeight: paddedHeight, inputWidth: g.outputWidth,
        inputChannels: g.kernelWidth * g.inputChannels, outputChannels: g.outputChannels,
        kernelHeight: g.kernelHeight, kernelWidth: 1, strideHeight: g.strideHeight,
        dilationHeight: g.dilationHeight)
    }
  }

  /// The filter of that convolution, `[output, column and channel, row, 1]`, of `weight` `[output, channels, height, width]`.
  func filter(_ weight: UnsafePointer<Float>) -> [Float] {
    let g = geometry, count = g.kernelWidth * channels
    var result = [Float](repeating: 0, count: g.outputChannels * count * g.kernelHeight)
    for output in 0..<g.outputChannels {
      for channel in 0..<channels {
        for row in 0..<g.kernelHeight {
          for column in 0..<g.kernelWidth {
            result[(output * count + column * channels + channel) * g.kernelHeight + row] =
              weight[((output * channels + channel) * g.kernelHeight + row) * g.kernelWidth + column]
          }
        }
      }
    }
    return result
  }

  /// Copies NHWC bytes between the border's.
  func write(_ x: UnsafePointer<UInt8>, into y: UnsafeMutablePointer<UInt8>, workers: Workers) {
    let g = geometry, lines = g.batch * paddedHeight, count = g.inputWidth * channels
    workers.forEachRange(of: lines, grain: 8) { range, _ in
      for line in range {
        let row = line % paddedHeight - g.padTop, target = y + line * rowByteCount
        guard (0..<g.inputHeight).contains(row) else {
          fill(target, paddedWidth)
          continue
        }
        fill(target, g.padLeft)
        memcpy(target + g.padLeft * channels, x + (line / paddedHeight * g.inputHeight + row) * count, count)
        fill(target + g.padLeft * channels + count, g.padRight)
      }
    }
    memset(y + lines * rowByteCount, 0, byteCount - lines * rowByteCount)
  }

  private func fill(_ y: UnsafeMutablePointer<UInt8>, _ pixels: Int) {
    for index in 0..<pixels * channels { y[index] = zeroPoints[index % channels] }
  }
}
