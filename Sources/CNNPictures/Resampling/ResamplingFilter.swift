import Glibc

/// How the pixels of a resized picture are made of those around them, under the names and with the meanings of Pillow.
///
/// All but `nearest` are weighted means over a window that grows with the ratio where a picture is made smaller, so that
/// nothing is skipped (antialiasing).
public enum ResamplingFilter: String, Sendable, CaseIterable {
  /// The pixel that is there.
  case nearest
  /// The mean of the pixels that are covered.
  case box
  /// Weights that fall linearly.
  case bilinear
  /// A cosine window: as sharp as `bicubic`, as fast as `bilinear`.
  case hamming
  /// Cubic convolution (Keys 1981) with a = -0.5.
  case bicubic
  /// A sinc cut off by another three times as wide.
  case lanczos

  /// How far the window reaches to each side, in pixels of the smaller of the two pictures.
  var support: Double {
    switch self {
    case .nearest: 0
    case .box: 0.5
    case .bilinear, .hamming: 1
    case .bicubic: 2
    case .lanczos: 3
    }
  }

  /// The weight at a distance of the window's middle, before all of them are made to sum to 1.
  func weight(_ distance: Double) -> Double {
    switch self {
    case .nearest: return 0
    case .box: return distance > -0.5 && distance <= 0.5 ? 1 : 0
    case .bilinear: return max(0, 1 - abs(distance))
    case .hamming:
      let x = abs(distance)
      if x == 0 { return 1 }
      // Pillow has the constants in float32.
      let raised = Double(0.54 as Float), swing = Double(0.46 as Float)
      return x < 1 ? sin(x * Double.pi) / (x * Double.pi) * (raised + swing * cos(x * Double.pi)) : 0
    case .bicubic:
      let x = abs(distance), a = -0.5
      if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    case .lanczos: return distance >= -3 && distance < 3 ? Self.sinc(distance) * Self.sinc(distance / 3) : 0
    }
  }

  private static func sinc(_ x: Double) -> Double {
    x == 0 ? 1 : sin(x * Double.pi) / (x * Double.pi)
  }
}
