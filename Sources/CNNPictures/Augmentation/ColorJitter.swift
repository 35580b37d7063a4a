import CNNCore
import CNNRuntime

/// Random changes of brightness, contrast, saturation and hue, in a random order, as torchvision's ColorJitter.
public struct ColorJitter: Sendable {
  /// How far a factor may be from 1; 0 leaves it out.
  public var brightness, contrast, saturation: Double
  /// How far the hues may turn, as a share of the circle, to 0.5.
  public var hue: Double

  /// Changes.
  public init(brightness: Double = 0, contrast: Double = 0, saturation: Double = 0, hue: Double = 0) {
    (self.brightness, self.contrast, self.saturation, self.hue) = (brightness, contrast, saturation, hue)
  }

  func applied(to picture: Picture, _ random: inout PhiloxGenerator, workers: Workers) throws(CNNError) -> Picture {
    var changes: [(PictureOperation, Double)] = []
    for (operation, distance) in [
      (PictureOperation.brightness, brightness), (.contrast, contrast), (.color, saturation),
    ] where distance > 0 {
      changes.append((operation, random.uniform(max(0, 1 - distance)...1 + distance)))
    }
    if hue > 0 { changes.append((.hue, random.uniform(-hue...hue))) }
    var result = picture
    while !changes.isEmpty {
      let (operation, amount) = changes.remove(at: random.below(changes.count))
      result = try operation.applied(to: result, amount: amount, workers: workers)
    }
    return result
  }
}
