import CNNCore

/// Brightness, contrast, saturation and sharpness: the picture blended with one that has none of it, as Pillow's
/// ImageEnhance does it. A factor of 1 changes nothing, 0 takes all of it away, above 1 there is more.
extension Picture {
  /// Blended with black.
  func withBrightness(_ factor: Float) throws(CNNError) -> Picture {
    try blended(factor) { _ in 0 }
  }

  /// Blended with its mean grey.
  func withContrast(_ factor: Float) throws(CNNError) -> Picture {
    let grey = try grey(), mean = grey.mean(ofChannel: 0)
    return try blended(factor) { _ in mean }
  }

  /// Blended with its own grey.
  func withSaturation(_ factor: Float) throws(CNNError) -> Picture {
    if channels == 1 { return self }
    let grey = try grey(), channels = channels
    return try withExtendedLifetime(grey) { () throws(CNNError) in
      let pixels = UnsafePointer(grey.base)
      return try blended(factor) { pixels[$0 / channels] }
    }
  }

  /// Blended with a smoothed copy: the mean of a pixel's neighbours, in which it counts five times itself.
  func withSharpness(_ factor: Float) throws(CNNError) -> Picture {
    let smooth = try smoothed()
    return try withExtendedLifetime(smooth) { () throws(CNNError) in
      let pixels = UnsafePointer(smooth.base)
      return try blended(factor) { pixels[$0] }
    }
  }

  /// The mean of a channel, rounded to the nearest.
  func mean(ofChannel channel: Int) -> UInt8 {
    withExtendedLifetime(self) {
      var sum = 0
      for pixel in 0..<height * width { sum &+= Int(base[pixel &* channels &+ channel]) }
      return UInt8(truncatingIfNeeded: Int(Double(sum) / Double(height * width) + 0.5))
    }
  }

  /// Each byte, and what `other` gives for its place, as far from that as `factor` says, cut off at 0 and 255.
  @inline(__always)
  private func blended(_ factor: Float, with other: (_ place: Int) -> UInt8) throws(CNNError) -> Picture {
    if factor == 1 { return self }
    let result = try Picture(height: height, width: width, channels: channels)
    withExtendedLifetime(self) {
      for place in 0..<byteCount {
        let start = Int32(other(place)), value = Float(start) + factor * Float(Int32(base[place]) &- start)
        // Within 0...1 the clamp changes nothing; the fraction is cut off, as a cast in C does.
        result.base[place] = UInt8(truncatingIfNeeded: Int32(min(max(value, 0), 255)))
      }
    }
    return result
  }

  /// Pillow's ImageFilter.SMOOTH: its border stays as it is.
  private func smoothed() throws(CNNError) -> Picture {
    let result = try Picture(copying: base, height: height, width: width, channels: channels)
    if height < 3 || width < 3 { return result }
    let row = rowByteCount
    withExtendedLifetime(self) {
      for y in 1..<height - 1 {
        let first = y * row + channels
        for place in first..<first + row - 2 * channels {
          func three(_ place: Int) -> Int32 {
            Int32(base[place &- channels]) &+ Int32(base[place]) &+ Int32(base[place &+ channels])
          }
          let sum = three(place &- row) &+ three(place) &+ three(place &+ row) &+ 4 &* Int32(base[place])
          // A sum of 13 parts is never half way between two numbers.
          result.base[place] = UInt8(truncatingIfNeeded: (2 &* sum &+ 13) / 26)
        }
      }
    }
    return result
  }
}
