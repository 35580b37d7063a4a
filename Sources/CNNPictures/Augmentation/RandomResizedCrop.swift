import CNNCore
import Glibc

/// A part of the picture of random size and proportions, which then becomes as large as the network's input: the crop of
/// Inception (Szegedy et al., "Going deeper with convolutions", 2015), as torchvision's RandomResizedCrop draws it.
public struct RandomResizedCrop: Sendable {
  /// The share of the picture's area.
  public var scale: ClosedRange<Double>
  /// The width by the height.
  public var ratio: ClosedRange<Double>

  /// A crop.
  public init(scale: ClosedRange<Double> = 0.08...1, ratio: ClosedRange<Double> = 3.0 / 4...4.0 / 3) {
    (self.scale, self.ratio) = (scale, ratio)
  }

  private static let attempts = 10

  /// The part of a picture. Where ten attempts do not fit, as much of its middle as has allowed proportions.
  public func region(height: Int, width: Int, _ random: inout PhiloxGenerator) -> PictureRegion {
    for _ in 0..<Self.attempts {
      let size = randomSize(area: height * width, scale: scale, ratio: ratio, &random)
      if 1...width ~= size.width, 1...height ~= size.height {
        return PictureRegion(
          top: random.below(height - size.height + 1), left: random.below(width - size.width + 1),
          height: size.height, width: size.width)
      }
    }
    let proportion = Double(width) / Double(height)
    var (newHeight, newWidth) = (height, width)
    if proportion < ratio.lowerBound {
      newHeight = rounded(Double(width) / ratio.lowerBound, in: 1...height)
    } else if proportion > ratio.upperBound {
      newWidth = rounded(Double(height) * ratio.upperBound, in: 1...width)
    }
    return PictureRegion(
      top: (height - newHeight) / 2, left: (width - newWidth) / 2, height: newHeight, width: newWidth)
  }
}

/// The size of a rectangle with a share of the area, uniform in `scale`, and a width by height that is uniform in the
/// logarithm.
func randomSize(
  area: Int, scale: ClosedRange<Double>, ratio: ClosedRange<Double>, _ random: inout PhiloxGenerator
) -> (height: Int, width: Int) {
  let part = Double(area) * random.uniform(scale)
  let proportion = exp(random.uniform(log(ratio.lowerBound)...log(ratio.upperBound)))
  let sides = 0...Int(Int32.max)
  return (rounded((part / proportion).squareRoot(), in: sides), rounded((part * proportion).squareRoot(), in: sides))
}

/// The nearest whole number, halves to the even one, within a range.
private func rounded(_ value: Double, in range: ClosedRange<Int>) -> Int {
  let nearest = value.rounded(.toNearestOrEven)
  return Int(min(max(nearest, Double(range.lowerBound)), Double(range.upperBound)))
}
