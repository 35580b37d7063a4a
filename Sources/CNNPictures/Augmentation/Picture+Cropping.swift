import CNNCore
import CNNRuntime

extension Picture {
  /// A copy of a rectangle of the picture.
  /// - Throws: `.invalidArgument` where it is not within the picture.
  public func cropped(to region: PictureRegion) throws(CNNError) -> Picture {
    guard region.top >= 0, region.left >= 0, region.height >= 1, region.width >= 1, region.height <= height,
      region.width <= width, region.top <= height - region.height, region.left <= width - region.width
    else {
      throw CNNError(
        .invalidArgument,
        "the part is \(region.width) x \(region.height) at \(region.left), \(region.top); expected one within "
          + "\(width) x \(height) pixels")
    }
    if region.height == height && region.width == width { return self }
    let result = try Picture(height: region.height, width: region.width, channels: channels)
    withExtendedLifetime(self) {
      let first = base + region.top * rowByteCount + region.left * channels
      for row in 0..<region.height {
        (result.base + row * result.rowByteCount).update(
          from: first + row * rowByteCount, count: result.rowByteCount)
      }
    }
    return result
  }

  /// The picture mirrored left to right.
  public func mirrored(workers: Workers) throws(CNNError) -> Picture {
    try oriented(.mirrored, workers: workers)
  }
}
