import CNNCore
import CNNRuntime

extension Picture {
  /// The picture turned upright.
  func oriented(_ orientation: ExifOrientation, workers: Workers) throws(CNNError) -> Picture {
    if orientation == .upright { return self }
    let result =
      orientation.exchangesAxes
      ? try Picture(height: width, width: height, channels: channels)
      : try Picture(height: height, width: width, channels: channels)
    let path = PixelPath(orientation, of: self)
    withExtendedLifetime(self) {
      // A word may be longer than the pixel it moves; see `move`.
      switch channels {
      case 1: path.move(from: base, to: result, as: UInt8.self, workers: workers)
      default: path.move(from: base, to: result, as: UInt32.self, workers: workers)
      }
    }
    return result
  }
}

/// Where the pixels of a turned picture come from: from `start`, a step for each column and one for each row, in pixels.
private struct PixelPath {
  var start = 0, columnStep = 1, rowStep = 0

  init(_ orientation: ExifOrientation, of picture: Picture) {
    let width = picture.width, right = picture.width - 1, bottom = (picture.height - 1) * picture.width
    (start, columnStep, rowStep) =
      switch orientation {
      case .upright: (0, 1, width)
      case .mirrored: (right, -1, width)
      case .upsideDown: (bottom + right, -1, -width)
      case .flipped: (bottom, 1, -width)
      case .transposed: (0, width, 1)
      case .turnedLeft: (bottom, -width, 1)
      case .transversed: (bottom + right, -width, -1)
      case .turnedRight: (right, width, -1)
      }
  }

  /// Rows and columns of the squares that are moved one after the other: what is read along columns stays in the cache.
  private static let blockSize = 64

  /// Moves the pixels as words, which may be longer than a pixel: what a word has too much, the next one overwrites. So
  /// the last pixel of each row of a block is moved byte by byte.
  @inline(__always)
  func move<Word: BitwiseCopyable>(
    from source: UnsafePointer<UInt8>, to target: Picture, as type: Word.Type, workers: Workers
  ) {
    let channels = target.channels, size = Self.blockSize
    workers.forEachRange(of: target.height, grain: size) { rows, _ in
      for top in stride(from: rows.lowerBound, to: rows.upperBound, by: size) {
        for left in stride(from: 0, to: target.width, by: size) {
          let end = min(left + size, target.width)
          for row in top..<min(top + size, rows.upperBound) {
            var pixel = UnsafeRawPointer(source + (start + row * rowStep + left * columnStep) * channels)
            var place = UnsafeMutableRawPointer(target.base + (row * target.width + left) * channels)
            for _ in left..<end - 1 {
              place.storeBytes(of: pixel.loadUnaligned(as: Word.self), as: Word.self)
              pixel += columnStep * channels
              place += channels
            }
            place.copyMemory(from: pixel, byteCount: channels)
          }
        }
      }
    }
  }
}
