import CNNCore

/// A rectangle of the picture painted over (Zhong et al., "Random erasing data augmentation", 2017), drawn as torchvision
/// does.
public struct RandomErasing: Sendable {
  /// What it is painted with.
  public enum Fill: String, Sendable, CaseIterable {
    /// Black.
    case zero
    /// Random bytes.
    case noise
    /// The mean of each of the picture's channels.
    case mean
  }

  /// How often it happens.
  public var probability: Double
  /// The share of the picture's area.
  public var scale: ClosedRange<Double>
  /// The height by the width.
  public var ratio: ClosedRange<Double>
  /// The paint.
  public var fill: Fill

  /// An erasure.
  public init(
    probability: Double = 0.5, scale: ClosedRange<Double> = 0.02...0.33, ratio: ClosedRange<Double> = 0.3...3.3,
    fill: Fill = .zero
  ) {
    (self.probability, self.scale, self.ratio, self.fill) = (probability, scale, ratio, fill)
  }

  private static let attempts = 10

  func applied(to picture: Picture, _ random: inout PhiloxGenerator) throws(CNNError) -> Picture {
    guard random.happens(probability), let region = region(of: picture, &random) else { return picture }
    let channels = picture.channels
    let result = try Picture(
      copying: picture.base, height: picture.height, width: picture.width, channels: channels)
    let mean = fill == .mean ? (0..<channels).map(picture.mean) : [UInt8](repeating: 0, count: channels)
    var noise: UInt64 = 0, left = 0
    for row in region.top..<region.top + region.height {
      let start = result.base + row * result.rowByteCount + region.left * channels
      for place in 0..<region.width * channels {
        if fill == .noise {
          if left == 0 { (noise, left) = (random.next(), 8) }
          start[place] = UInt8(truncatingIfNeeded: noise)
          (noise, left) = (noise >> 8, left - 1)
        } else {
          start[place] = mean[place % channels]
        }
      }
    }
    return result
  }

  /// Where it is; nil where ten attempts do not fit.
  private func region(of picture: Picture, _ random: inout PhiloxGenerator) -> PictureRegion? {
    for _ in 0..<Self.attempts {
      // The ratio is the reverse of a crop's.
      let (width, height) = randomSize(area: picture.height * picture.width, scale: scale, ratio: ratio, &random)
      if 1..<picture.height ~= height, 1..<picture.width ~= width {
        return PictureRegion(
          top: random.below(picture.height - height + 1), left: random.below(picture.width - width + 1),
          height: height, width: width)
      }
    }
    return nil
  }
}
