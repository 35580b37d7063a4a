import CNNCore
import CNNRuntime

/// A few of fourteen operations, drawn at random and all of one strength (Cubuk et al., "RandAugment: practical automated
/// data augmentation with a reduced search space", 2019), with the strengths of torchvision.
public struct RandAugment: Sendable {
  /// How many operations a picture goes through.
  public var operationCount: Int
  /// Their strength, from 0 to 30.
  public var magnitude: Int
  /// Whether moved and turned pixels are interpolated, not the nearest.
  public var isBilinear: Bool

  /// The strengths that there are.
  public static let magnitudes = 0...30

  /// Operations.
  public init(operationCount: Int = 2, magnitude: Int = 9, isBilinear: Bool = false) {
    (self.operationCount, self.magnitude, self.isBilinear) = (operationCount, magnitude, isBilinear)
  }

  /// What is drawn from.
  static let operations: [PictureOperation] = [
    .identity, .shearX, .shearY, .translateX, .translateY, .rotate, .brightness, .color, .contrast, .sharpness,
    .posterize, .solarize, .autoContrast, .equalize,
  ]

  func applied(to picture: Picture, _ random: inout PhiloxGenerator, workers: Workers) throws(CNNError) -> Picture {
    var result = picture
    for _ in 0..<operationCount {
      let operation = Self.operations[random.below(Self.operations.count)], isNegative = random.happens(0.5)
      result = try operation.applied(
        to: result, amount: amount(of: operation, for: picture, isNegative: isNegative), isBilinear: isBilinear,
        workers: workers)
    }
    return result
  }

  /// How much of the operation the magnitude is.
  func amount(of operation: PictureOperation, for picture: Picture, isNegative: Bool) -> Double {
    let sign = isNegative ? -1.0 : 1.0
    // Moved by whole pixels; the paper's 150 are of pictures of 331.
    func pixels(_ side: Int) -> Double { sign * strength(0, Float(150.0 / 331 * Double(side))).rounded(.towardZero) }
    return switch operation {
    case .shearX, .shearY: sign * strength(0, 0.3)
    case .translateX: pixels(picture.width)
    case .translateY: pixels(picture.height)
    case .rotate: sign * strength(0, 30)
    case .brightness, .color, .contrast, .sharpness: 1 + sign * strength(0, 0.9)
    case .posterize: 8 - (Double(magnitude) / 7.5).rounded(.toNearestOrEven)
    case .solarize: strength(255, 0)
    case .identity, .autoContrast, .equalize, .hue, .mirror: 0
    }
  }

  /// The magnitude as a place between two numbers, in float32 and from the nearer end, as torch.linspace counts.
  private func strength(_ start: Float, _ end: Float) -> Double {
    let last = Self.magnitudes.upperBound, step = (end - start) / Float(last)
    return Double(2 * magnitude < last + 1 ? start + step * Float(magnitude) : end - step * Float(last - magnitude))
  }
}
