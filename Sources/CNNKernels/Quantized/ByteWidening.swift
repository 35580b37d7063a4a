import CNNCore
import CNNRuntime

/// Levels as numbers of 16 bits.
enum ByteWidening {
  /// Neighbouring ones.
  static func widen(_ x: UnsafePointer<UInt8>, into y: UnsafeMutableRawPointer, count: Int) {
    let y = y.assumingMemoryBound(to: Int16.self)
    for index in 0..<count { y[index] = Int16(truncatingIfNeeded: x[index]) }
  }

  /// Copies an image in blocks of 64 channels without a border into blocks of 32 with one of a level.
  static func copy(
    _ x: UnsafeRawPointer, _ tensor: BlockedTensor, into y: UnsafeMutableRawPointer, _ framed: BlockedTensor,
    filling level: UInt8, workers: Workers
  ) {
    let border = framed.border, rows = framed.paddedHeight
    workers.forEachRange(of: framed.blocks * framed.images * rows) { range, _ in
      for line in range {
        let row = line % rows, image = line / rows % framed.images, block = line / rows / framed.images
        let target = y + framed.byteOffset(image: image, block: block) + row * framed.rowByteCount
        guard border.top..<border.top + framed.height ~= row else {
          fill(target, framed.paddedWidth, level)
          continue
        }
        fill(target, border.left, level)
        widen(
          x + tensor.byteOffset(image: image, block: block / 2) + (row - border.top) * tensor.rowByteCount
            + block % 2 * blockChannels, into: target + border.left * BlockedTensor.pixelByteCount, pixels: framed.width
        )
        fill(target + (border.left + framed.width) * BlockedTensor.pixelByteCount, border.right, level)
      }
    }
  }

  /// Channels of a block of the result.
  private static let blockChannels = BlockedTensor.pixelByteCount / 2

  private static func widen(_ x: UnsafeRawPointer, into y: UnsafeMutableRawPointer, pixels: Int) {
    let x = x.assumingMemoryBound(to: UInt8.self), y = y.assumingMemoryBound(to: Int16.self)
    for pixel in 0..<pixels {
      let source = x + pixel * BlockedTensor.pixelByteCount, target = y + pixel * blockChannels
      for channel in 0..<blockChannels { target[channel] = Int16(truncatingIfNeeded: source[channel]) }
    }
  }

  private static func fill(_ y: UnsafeMutableRawPointer, _ pixels: Int, _ level: UInt8) {
    y.assumingMemoryBound(to: Int16.self).update(repeating: Int16(level), count: pixels * blockChannels)
  }
}
