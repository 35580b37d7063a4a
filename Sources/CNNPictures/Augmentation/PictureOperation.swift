import CNNCore
import CNNRuntime

/// A change of a picture by an amount, in the arithmetic of Pillow and torchvision: what augmentations are made of.
public enum PictureOperation: String, Sendable, CaseIterable {
  /// None.
  case identity
  /// Each row is shifted left by this share of its place from the top; where it is negative, right.
  case shearX = "shear_x"
  /// Each column is shifted up by this share of its place from the left.
  case shearY = "shear_y"
  /// Moves by so many pixels to the right.
  case translateX = "translate_x"
  /// Moves by so many pixels down.
  case translateY = "translate_y"
  /// Turns counterclockwise by so many degrees.
  case rotate
  /// Multiplies the brightness.
  case brightness
  /// Multiplies the saturation.
  case color
  /// Multiplies the distance from the mean grey.
  case contrast
  /// Multiplies the distance from a smoothed copy.
  case sharpness
  /// Keeps so many upper bits of each byte.
  case posterize
  /// Inverts bytes that are not below this.
  case solarize
  /// Stretches each channel to the whole range.
  case autoContrast = "autocontrast"
  /// Makes the bytes of each channel about as frequent as each other.
  case equalize
  /// Turns the hues by this share of the circle.
  case hue
  /// Mirrors left to right.
  case mirror

  /// The amounts that it takes.
  var amounts: ClosedRange<Double> {
    switch self {
    case .identity, .autoContrast, .equalize, .mirror: -.greatestFiniteMagnitude ... .greatestFiniteMagnitude
    case .shearX, .shearY: -100...100
    case .translateX, .translateY: -1e6...1e6
    case .rotate: -360...360
    case .brightness, .color, .contrast, .sharpness: 0...1000
    case .posterize: 0...8
    case .solarize: 0...256
    case .hue: -0.5...0.5
    }
  }

  /// The changed picture.
  /// - Parameters:
  ///   - picture: of one channel or three.
  ///   - amount: as each operation says; some have none.
  ///   - isBilinear: whether shifted, slanted and turned pixels are interpolated, not the nearest.
  /// - Throws: `.invalidArgument` for an amount that the operation does not take, or a picture with alpha.
  public func applied(
    to picture: Picture, amount: Double, isBilinear: Bool = false, workers: Workers
  ) throws(CNNError) -> Picture {
    guard amounts.contains(amount) else {
      throw CNNError(
        .invalidArgument,
        "the amount of \(rawValue) is \(amount); expected \(amounts.lowerBound) to \(amounts.upperBound)")
    }
    guard picture.channels != 4 else {
      throw CNNError(.invalidArgument, "the picture has 4 channels; expected 1 or 3")
    }
    func moved(_ map: AffineMap) throws(CNNError) -> Picture {
      try picture.transformed(by: map, isBilinear: isBilinear)
    }
    switch self {
    case .identity: return picture
    case .shearX: return try moved(.shear(x: amount, y: 0))
    case .shearY: return try moved(.shear(x: 0, y: amount))
    case .translateX: return try moved(.translation(right: amount, down: 0))
    case .translateY: return try moved(.translation(right: 0, down: amount))
    case .rotate: return try moved(.rotation(degrees: amount, height: picture.height, width: picture.width))
    case .brightness: return try picture.withBrightness(Float(amount))
    case .color: return try picture.withSaturation(Float(amount))
    case .contrast: return try picture.withContrast(Float(amount))
    case .sharpness: return try picture.withSharpness(Float(amount))
    case .posterize: return try picture.posterized(bits: Int(amount))
    case .solarize: return try picture.solarized(threshold: amount)
    case .autoContrast: return try picture.withAutomaticContrast()
    case .equalize: return try picture.equalized()
    case .hue: return try picture.withHueTurned(by: amount)
    case .mirror: return try picture.mirrored(workers: workers)
    }
  }
}
