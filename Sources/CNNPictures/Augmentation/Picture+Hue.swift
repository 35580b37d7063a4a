import CNNCore

extension Picture {
  /// The picture with its hues turned by a share of the circle, from -0.5 to 0.5, as torchvision does it: in Pillow's HSV
  /// of 8 bits each. A grey picture has none.
  func withHueTurned(by share: Double) throws(CNNError) -> Picture {
    if channels == 1 { return self }
    let turn = UInt8(truncatingIfNeeded: Int(share * 255))
    let result = try Picture(height: height, width: width, channels: channels)
    withExtendedLifetime(self) {
      for pixel in 0..<height * width {
        let source = base + pixel &* channels, target = result.base + pixel &* channels
        var color = HSV(red: source[0], green: source[1], blue: source[2])
        color.hue &+= turn
        (target[0], target[1], target[2]) = color.rgb
      }
    }
    return result
  }
}

/// A color as Pillow's mode HSV holds it, hue, saturation and value from 0 to 255; rounded where Pillow rounds.
private struct HSV {
  var hue: UInt8, saturation: UInt8, value: UInt8

  init(red: UInt8, green: UInt8, blue: UInt8) {
    let largest = max(red, green, blue), smallest = min(red, green, blue)
    value = largest
    guard largest > smallest else {
      (hue, saturation) = (0, 0)
      return
    }
    let range = Float(largest - smallest)
    func distance(_ channel: UInt8) -> Float { Float(largest - channel) / range }
    let (r, g, b) = (distance(red), distance(green), distance(blue))
    let sixths: Float =
      if red == largest {
        b - g
      } else if green == largest {
        Float(2.0 + Double(r) - Double(b))
      } else {
        Float(4.0 + Double(g) - Double(r))
      }
    let turns = Double(sixths) / 6 + 1
    let whole = Float(turns >= 1 ? turns - 1 : turns)
    hue = UInt8(truncatingIfNeeded: Int(Double(whole) * 255))
    saturation = UInt8(truncatingIfNeeded: Int(Double(range / Float(largest)) * 255))
  }

  var rgb: (UInt8, UInt8, UInt8) {
    if saturation == 0 { return (value, value, value) }
    let place = Double(hue) * 6 / 255, sector = Int(place)
    let fraction = Float(place - Double(Float(sector))), share = Float(Double(saturation) / 255), light = Double(value)
    func rounded(_ number: Double) -> UInt8 { UInt8(truncatingIfNeeded: Int(min(max(number.rounded(), 0), 255))) }
    let p = rounded(light * (1 - Double(share)))
    let q = rounded(light * (1 - Double(share * fraction)))
    let t = rounded(light * (1 - Double(share) * (1 - Double(fraction))))
    return switch sector % 6 {
    case 0: (value, t, p)
    case 1: (q, value, p)
    case 2: (p, value, t)
    case 3: (p, q, value)
    case 4: (t, p, value)
    default: (value, p, q)
    }
  }
}
