import CNNCore
import CNNRuntime
import Glibc

/// Ways into and out of the blocked layout. Plans need them at their edges, and for borders of zeros.
public enum BlockedCopies {
  /// Copies row-major `[images, height, width, channels]` into a blocked tensor without a border; lanes behind the last
  /// channel become zero.
  public static func pack(
    _ x: UnsafePointer<Float>, into y: UnsafeMutableRawPointer, _ tensor: BlockedTensor, workers: Workers
  ) {
    let channels = tensor.channels, pixels = tensor.images * tensor.height * tensor.width
    workers.forEachRange(of: pixels, grain: 16) { range, _ in
      for block in 0..<tensor.blocks {
        let count = min(16, channels - block * 16)
        var source = x + range.lowerBound * channels + block * 16
        var target = (y + block * tensor.blockByteCount + range.lowerBound * 64).assumingMemoryBound(to: Float.self)
        for _ in range {
          if count == 16 {
            SIMD16<Float>.load(source).store(target)
          } else {
            target.update(from: source, count: count)
            (target + count).update(repeating: 0, count: 16 - count)
          }
          source += channels
          target += 16
        }
      }
    }
  }

  /// Calls `body` with each pixel's place in each block, in bytes, and that of its numbers among NHWC ones, and how many.
  @inline(__always)
  private static func forEachRun(
    _ tensor: BlockedTensor, _ workers: Workers, _ body: (_ place: Int, _ number: Int, _ count: Int) -> Void
  ) {
    let pixels = tensor.images * tensor.height * tensor.width, size = tensor.channelsPerBlock
    workers.forEachRange(of: pixels, grain: 16) { range, _ in
      for block in 0..<tensor.blocks {
        let count = min(size, tensor.channels - block * size)
        for pixel in range {
          body(
            block * tensor.blockByteCount + pixel * BlockedTensor.pixelByteCount,
            pixel * tensor.channels + block * size, count)
        }
      }
    }
  }

  /// Copies a blocked tensor without a border into row-major `[images, height, width, channels]`.
  public static func unpack(
    _ x: UnsafeRawPointer, _ tensor: BlockedTensor, into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let channels = tensor.channels, pixels = tensor.images * tensor.height * tensor.width
    workers.forEachRange(of: pixels, grain: 16) { range, _ in
      for block in 0..<tensor.blocks {
        let count = min(16, channels - block * 16)
        var source = (x + block * tensor.blockByteCount + range.lowerBound * 64).assumingMemoryBound(to: Float.self)
        var target = y + range.lowerBound * channels + block * 16
        for _ in range {
          if count == 16 {
            SIMD16<Float>.load(source).store(target)
          } else {
            target.update(from: source, count: count)
          }
          source += 16
          target += channels
        }
      }
    }
  }

  /// Writes NHWC bytes into blocks of bytes, zeros behind the last channel.
  public static func packBytes(
    _ x: UnsafePointer<UInt8>, into y: UnsafeMutableRawPointer, _ tensor: BlockedTensor, workers: Workers
  ) {
    forEachRun(tensor, workers) { place, number, count in
      memcpy(y + place, x + number, count)
      memset(y + place + count, 0, tensor.channelsPerBlock - count)
    }
  }

  /// Writes blocks of bytes as NHWC bytes.
  public static func unpackBytes(
    _ x: UnsafeRawPointer, _ tensor: BlockedTensor, into y: UnsafeMutablePointer<UInt8>, workers: Workers
  ) {
    forEachRun(tensor, workers) { place, number, count in memcpy(y + number, x + place, count) }
  }

  /// Copies a blocked tensor into the same with another border of zeros, or of bytes of another value.
  public static func copy(
    _ x: UnsafeRawPointer, _ tensor: BlockedTensor, into y: UnsafeMutableRawPointer, _ framed: BlockedTensor,
    filling byte: UInt8 = 0, workers: Workers
  ) {
    tensor.forEachImage(workers) { image, block in
      let source = x + tensor.byteOffset(image: image, block: block) + tensor.originByteOffset
      clearBorder(y + framed.byteOffset(image: image, block: block), of: framed, filling: byte) { row, target in
        memcpy(target, source + row * tensor.rowByteCount, tensor.width * BlockedTensor.pixelByteCount)
      }
    }
  }

  /// Writes the zeros around one image of one block, and by `write`, in the order of their places, its rows.
  @inline(__always)
  static func clearBorder(
    _ image: UnsafeMutableRawPointer, of tensor: BlockedTensor, filling byte: UInt8 = 0,
    write: (_ row: Int, _ target: UnsafeMutableRawPointer) -> Void = { _, _ in }
  ) {
    let border = tensor.border, size = BlockedTensor.pixelByteCount
    // What is on the right of a row and on the left of the next lies side by side.
    let sides = (border.left + border.right) * size
    var end = image
    memset(end, Int32(byte), tensor.originByteOffset)
    end += tensor.originByteOffset
    for row in 0..<tensor.height {
      write(row, end)
      end += tensor.width * size
      let zeros = row < tensor.height - 1 ? sides : border.right * size + border.bottom * tensor.rowByteCount
      memset(end, Int32(byte), zeros)
      end += zeros
    }
  }
}
