/// Copies `count` pixels of `channels` floats between layouts with different distances between pixels.
@inline(__always)
func copyPixels(
  _ source: UnsafePointer<Float>, pixelStride sourceStride: Int, to target: UnsafeMutablePointer<Float>,
  pixelStride targetStride: Int, count: Int, channels: Int
) {
  if count <= 0 { return }
  if sourceStride == channels && targetStride == channels {
    target.update(from: source, count: count * channels)
    return
  }
  for pixel in 0..<count {
    let from = source + pixel * sourceStride, to = target + pixel * targetStride
    // A loop, not memcpy: runs are short.
    for channel in 0..<channels { to[channel] = from[channel] }
  }
}

/// Sets `count` pixels of `channels` floats to `value`, one float per channel.
func fillPixels(
  _ target: UnsafeMutablePointer<Float>, pixelStride: Int, count: Int, with value: UnsafePointer<Float>, channels: Int
) {
  for pixel in 0..<count {
    let to = target + pixel * pixelStride
    for channel in 0..<channels { to[channel] = value[channel] }
  }
}

/// `count` floats rounded up to whole cache lines, so that neighbours in a workspace do not share one.
func cacheLineRounded(_ count: Int) -> Int { (count + 15) & ~15 }
