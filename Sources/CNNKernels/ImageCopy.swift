/// Copies of one image into another, shifted and mirrored: what random crops and flips are made of.
struct ImageCopy {
  /// Height and width of the image that is read, and of the one that is written.
  let source, target: (height: Int, width: Int)
  /// The number of channels, the fastest axis.
  let channels: Int

  /// Where the target lies in the source, and whether it is mirrored.
  struct Place: Equatable {
    /// The row and column of the source that the target's first ones are, before mirroring; may lie outside.
    var top = 0
    var left = 0
    /// Mirrored left to right.
    var isFlipped = false
    /// Mirrored top to bottom.
    var isUpsideDown = false
  }

  /// The number of elements of the image that is read, and of the one that is written.
  var sourceLength: Int { source.height * source.width * channels }
  var targetLength: Int { target.height * target.width * channels }

  /// Fills the target; what lies outside of the source is zero.
  @inline(__always)
  func run<Element: BitwiseCopyable & ExpressibleByIntegerLiteral>(
    _ place: Place, from image: UnsafePointer<Element>, to result: UnsafeMutablePointer<Element>
  ) {
    let rowLength = target.width * channels
    // The columns of the target that lie in the source.
    let first = min(target.width, max(0, -place.left))
    let end = max(first, min(target.width, source.width - place.left))
    for y in 0..<target.height {
      let row = result + (place.isUpsideDown ? target.height - 1 - y : y) * rowLength
      let sourceY = y + place.top
      if sourceY < 0 || sourceY >= source.height || first == end {
        row.update(repeating: 0, count: rowLength)
        continue
      }
      let sourceRow = image + sourceY * source.width * channels
      if place.isFlipped {
        (row + (target.width - first) * channels).update(repeating: 0, count: first * channels)
        row.update(repeating: 0, count: (target.width - end) * channels)
        Self.mirror(
          UnsafeRawPointer(sourceRow + (first + place.left) * channels), count: end - first,
          pixelLength: channels * MemoryLayout<Element>.stride,
          to: UnsafeMutableRawPointer(row + (target.width - end) * channels))
      } else {
        row.update(repeating: 0, count: first * channels)
        (row + end * channels).update(repeating: 0, count: (target.width - end) * channels)
        (row + first * channels).update(
          from: sourceRow + (first + place.left) * channels, count: (end - first) * channels)
      }
    }
  }

  /// Copies `count` pixels of so many bytes in the reverse order.
  private static func mirror(
    _ source: UnsafeRawPointer, count: Int, pixelLength: Int, to target: UnsafeMutableRawPointer
  ) {
    switch pixelLength {
    case 1: mirrorBytes(source, count: count, to: target)
    case 3, 4: mirror(source, count: count, pixelLength: pixelLength, as: UInt32.self, to: target)
    case 12, 16: mirror(source, count: count, pixelLength: pixelLength, as: SIMD4<Float>.self, to: target)
    default:
      for pixel in 0..<count {
        (target + pixel * pixelLength).copyMemory(
          from: source + (count - 1 - pixel) * pixelLength, byteCount: pixelLength)
      }
    }
  }

  /// The same in words that are as long as a pixel or a little longer: what a word has too much, the next one overwrites.
  @inline(__always)
  private static func mirror<Word: BitwiseCopyable>(
    _ source: UnsafeRawPointer, count: Int, pixelLength: Int, as: Word.Type, to target: UnsafeMutableRawPointer
  ) {
    if count <= 0 { return }
    let last = (count - 1) * pixelLength
    // Byte by byte at the ends, since nothing beyond the rows is read or written.
    target.copyMemory(from: source + last, byteCount: pixelLength)
    var offset = pixelLength
    while offset < last {
      (target + offset).storeBytes(of: (source + (last &- offset)).loadUnaligned(as: Word.self), as: Word.self)
      offset &+= pixelLength
    }
    (target + last).copyMemory(from: source, byteCount: pixelLength)
  }

  private static func mirrorBytes(_ source: UnsafeRawPointer, count: Int, to target: UnsafeMutableRawPointer) {
    var offset = 0
    while offset &+ 8 <= count {
      let word = (source + (count &- 8 &- offset)).loadUnaligned(as: UInt64.self)
      (target + offset).storeBytes(of: word.byteSwapped, as: UInt64.self)
      offset &+= 8
    }
    while offset < count {
      (target + offset).copyMemory(from: source + (count &- 1 &- offset), byteCount: 1)
      offset &+= 1
    }
  }
}
