import CNNCore
import CNNKernels

/// A few of fourteen operations, drawn at random and all of one strength (Cubuk et al., "RandAugment: practical automated
/// data augmentation with a reduced search space", 2019), with the strengths of torchvision.
public struct RandAugment: Sendable, Equatable {
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
    let share = Double(magnitude) / Double(Self.magnitudes.upperBound), sign = isNegative ? -1.0 : 1.0
    // Moved by whole pixels; the paper's 150 are of pictures of 331.
    func pixels(_ side: Int) -> Double { sign * (share * 150 / 331 * Double(side)).rounded(.towardZero) }
    return switch operation {
    case .shearX, .shearY: sign * share * 0.3
    case .translateX: pixels(picture.width)
    case .translateY: pixels(picture.height)
    case .rotate: sign * share * 30
    case .brightness, .color, .contrast, .sharpness: 1 + sign * share * 0.9
    case .posterize: 8 - (share * 4).rounded(.toNearestOrEven)
    case .solarize: 255 * (1 - share)
    case .identity, .autoContrast, .equalize, .hue, .mirror: 0
    }
  }
}
