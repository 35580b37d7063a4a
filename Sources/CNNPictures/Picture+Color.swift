import CNNCore

/// Changes of the channels, in Pillow's integer arithmetic.
extension Picture {
  /// Fills a new picture pixel by pixel from this one.
  @inline(__always)
  private func mapped(
    channels count: Int, _ body: (_ source: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>) -> Void
  ) throws(CNNError) -> Picture {
    let result = try Picture(height: height, width: width, channels: count)
    withExtendedLifetime(self) {
      for pixel in 0..<height * width { body(base + pixel * channels, result.base + pixel * count) }
    }
    return result
  }

  /// The brightness by ITU-R 601-2, weights in units of 1/65536; a grey picture as it is.
  func grey() throws(CNNError) -> Picture {
    if channels == 1 { return self }
    return try mapped(channels: 1) { source, target in
      let red = Int32(source[0]), green = Int32(source[1]), blue = Int32(source[2])
      target[0] = UInt8(truncatingIfNeeded: (red &* 19595 &+ green &* 38470 &+ blue &* 7471 &+ 0x8000) &>> 16)
    }
  }

  /// The first three channels of four.
  func withoutAlpha() throws(CNNError) -> Picture {
    try mapped(channels: 3) { source, target in
      (target[0], target[1], target[2]) = (source[0], source[1], source[2])
    }
  }

  /// Three channels and an alpha of 255, also of a grey picture.
  func withOpaqueAlpha() throws(CNNError) -> Picture {
    let (green, blue) = channels == 1 ? (0, 0) : (1, 2)
    return try mapped(channels: 4) { source, target in
      (target[0], target[1], target[2], target[3]) = (source[0], source[green], source[blue], 255)
    }
  }

  /// Grey in each of three channels.
  func greyAsColor() throws(CNNError) -> Picture {
    try mapped(channels: 3) { source, target in
      (target[0], target[1], target[2]) = (source[0], source[0], source[0])
    }
  }

  /// Red, green and blue of cyan, magenta, yellow and black as Adobe's programs write them, 255 being none.
  func fromInvertedCMYK() throws(CNNError) -> Picture {
    try mapped(channels: 3) { source, target in
      let light = Int32(source[3])
      for channel in 0..<3 {
        let ink = dividedBy255((255 &- Int32(source[channel])) &* light)
        target[channel] = UInt8(truncatingIfNeeded: max(0, light &- ink))
      }
    }
  }

  /// Colours multiplied by their alpha, as they can be averaged.
  func premultiplied() throws(CNNError) -> Picture {
    try mapped(channels: 4) { source, target in
      let alpha = Int32(source[3])
      for channel in 0..<3 {
        target[channel] = UInt8(truncatingIfNeeded: dividedBy255(Int32(source[channel]) &* alpha))
      }
      target[3] = source[3]
    }
  }

  /// The reverse of `premultiplied`.
  func unpremultiplied() throws(CNNError) -> Picture {
    try mapped(channels: 4) { source, target in
      let alpha = Int32(source[3])
      for channel in 0..<3 {
        let value = Int32(source[channel])
        target[channel] =
          alpha == 0 || alpha == 255 ? source[channel] : UInt8(truncatingIfNeeded: min(255, 255 &* value / alpha))
      }
      target[3] = source[3]
    }
  }

  /// The picture in another colour than it has.
  public func converted(to color: PictureColor) throws(CNNError) -> Picture {
    switch (color, channels) {
    case (.stored, _), (.grey, 1), (.rgb, 3), (.rgba, 4): self
    case (.grey, _): try grey()
    case (.rgb, 1): try greyAsColor()
    case (.rgb, _): try withoutAlpha()
    case (.rgba, _): try withOpaqueAlpha()
    }
  }
}

/// The quotient rounded to the nearest, of a product of two bytes.
@inline(__always)
private func dividedBy255(_ product: Int32) -> Int32 {
  let biased = product &+ 128
  return ((biased &>> 8) &+ biased) &>> 8
}
