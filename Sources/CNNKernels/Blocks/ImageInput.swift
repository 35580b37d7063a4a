import CNNCore
import CNNRuntime
import Glibc

/// The input of a network's first layer: images as NHWC with few channels, which are copied once anyway, with a border or
/// as phases. Pixels become numbers on the way.
public struct ImageInput: Hashable, Sendable {
  /// What the images are made of.
  public enum Element: Hashable, Sendable {
    /// float32.
    case number
    /// uint8, of which the number is `(pixel - mean[c]) / deviation[c]`.
    case pixel(mean: [Float], deviation: [Float])
  }

  let element: Element
  let images, height, width, channels: Int

  init(_ element: Element, _ geometry: ConvolutionGeometry) {
    self.element = element
    (images, height) = (geometry.batch, geometry.inputHeight)
    (width, channels) = (geometry.inputWidth, geometry.inputChannels)
  }

  /// The numbers of a row.
  var rowCount: Int { width * channels }

  /// Whether the numbers are where the picture is.
  var isReadInPlace: Bool { element == .number }

  /// Writes the numbers of a row, counted over all images.
  func readRow(_ row: Int, of x: UnsafeRawPointer, into y: UnsafeMutablePointer<Float>) {
    switch element {
    case .number:
      y.update(from: x.assumingMemoryBound(to: Float.self) + row * rowCount, count: rowCount)
    case .pixel(let mean, let deviation):
      Pixels.normalize(x.assumingMemoryBound(to: UInt8.self) + row * rowCount, y, width, channels, mean, deviation)
    }
  }

  /// The number of floats with a border.
  func paddedCount(_ border: BlockedTensor.Border) -> Int {
    images * (height + border.top + border.bottom) * (width + border.left + border.right) * channels
  }

  /// Writes the images with a border of zeros.
  func pad(
    _ x: UnsafeRawPointer, _ border: BlockedTensor.Border, into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let padded = paddedRowCount(border), rows = border.top + height + border.bottom
    workers.forEachRange(of: images * rows, grain: 16) { range, _ in
      for position in range {
        padRow(position % rows - border.top, ofImage: position / rows, x, border, into: y + position * padded)
      }
    }
  }

  /// The numbers of a row with its border.
  func paddedRowCount(_ border: BlockedTensor.Border) -> Int { (border.left + width + border.right) * channels }

  /// Writes a row of an image, which may lie above or below it, with a border of zeros.
  func padRow(
    _ row: Int, ofImage image: Int, _ x: UnsafeRawPointer, _ border: BlockedTensor.Border,
    into y: UnsafeMutablePointer<Float>
  ) {
    guard row >= 0, row < height else { return y.update(repeating: 0, count: paddedRowCount(border)) }
    let left = border.left * channels
    y.update(repeating: 0, count: left)
    readRow(image * height + row, of: x, into: y + left)
    (y + left + rowCount).update(repeating: 0, count: border.right * channels)
  }
}
