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
        for x in first..<end {
          let from = sourceRow + (x + place.left) * channels
          let to = row + (target.width - 1 - x) * channels
          for c in 0..<channels { to[c] = from[c] }
        }
      } else {
        row.update(repeating: 0, count: first * channels)
        (row + end * channels).update(repeating: 0, count: (target.width - end) * channels)
        (row + first * channels).update(
          from: sourceRow + (first + place.left) * channels, count: (end - first) * channels)
      }
    }
  }
}
