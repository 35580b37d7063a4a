import CNNCore
import Glibc

/// Where a pixel of a new picture comes from: from column `a * x + b * y + c` and row `d * x + e * y + f` of the old one,
/// pixels being squares whose middles are at halves.
struct AffineMap: Equatable {
  var a = 1.0, b = 0.0, c = 0.0
  var d = 0.0, e = 1.0, f = 0.0

  /// Moves what is on the picture right and down.
  static func translation(right: Double, down: Double) -> AffineMap { AffineMap(c: -right, f: -down) }

  /// Shifts each row by a share of its place, and each column.
  static func shear(x: Double, y: Double) -> AffineMap { AffineMap(b: x, d: y) }

  /// Turns counterclockwise about the middle, as Pillow's `Image.rotate` computes it.
  static func rotation(degrees: Double, height: Int, width: Int) -> AffineMap {
    let rest = degrees.truncatingRemainder(dividingBy: 360), angle = -(rest < 0 ? rest + 360 : rest) * (Double.pi / 180)
    // Fifteen decimals, so that quarters of a turn are exact. What the product loses decides what is half way.
    func rounded(_ value: Double) -> Double {
      let product = value * 1e15, lost = (-product).addingProduct(value, 1e15), whole = product.rounded(.down)
      return (whole + (product - whole - 0.5 + lost > 0 ? 1 : 0)) / 1e15
    }
    let cosine = rounded(cos(angle)), sine = rounded(sin(angle)), opposite = rounded(-sin(angle))
    let x = Double(width) / 2, y = Double(height) / 2
    return AffineMap(
      a: cosine, b: sine, c: cosine * -x + sine * -y + x, d: opposite, e: cosine, f: opposite * -x + cosine * -y + y)
  }
}

extension Picture {
  /// The picture moved, turned or slanted, in its own size; what comes from outside is black. The same bytes as Pillow's
  /// `Image.transform` gives, with nearest neighbours or bilinear interpolation.
  func transformed(by map: AffineMap, isBilinear: Bool) throws(CNNError) -> Picture {
    if map == AffineMap() { return self }
    let result = try Picture(height: height, width: width, channels: channels)
    withExtendedLifetime(self) {
      if isBilinear {
        fillBilinear(result, map)
      } else if map.b == 0 && map.d == 0 {
        fillScaled(result, map)
      } else {
        fillNearest(result, map)
      }
    }
    return result
  }

  private func copyPixel(row: Int, column: Int, to target: UnsafeMutablePointer<UInt8>) {
    let source = base + (row &* rowByteCount &+ column &* channels)
    for channel in 0..<channels { target[channel] = source[channel] }
  }

  /// Rows and columns by themselves, whose places Pillow sums up in floating point.
  private func fillScaled(_ result: Picture, _ map: AffineMap) {
    var y = map.f + map.e * 0.5
    for row in 0..<height {
      var x = map.c + map.a * 0.5
      for column in 0..<width {
        if x >= 0, x < Double(width), y >= 0, y < Double(height) {
          copyPixel(row: Int(y), column: Int(x), to: result.base + row * rowByteCount + column * channels)
        }
        x += map.a
      }
      y += map.e
    }
  }

  /// With Pillow's fixed-point numbers of 16 bits behind the point.
  private func fillNearest(_ result: Picture, _ map: AffineMap) {
    func fixed(_ value: Double) -> Int { Int((value * 65536 + 0.5).rounded(.down)) }
    let (a, b, d, e) = (fixed(map.a), fixed(map.b), fixed(map.d), fixed(map.e))
    var (rowX, rowY) = (fixed(map.c + map.a * 0.5 + map.b * 0.5), fixed(map.f + map.d * 0.5 + map.e * 0.5))
    for row in 0..<height {
      var (x, y) = (rowX, rowY)
      var target = result.base + row * rowByteCount
      for _ in 0..<width {
        let column = x >> 16, line = y >> 16
        if column >= 0, column < width, line >= 0, line < height {
          copyPixel(row: line, column: column, to: target)
        }
        (x, y) = (x &+ a, y &+ d)
        target += channels
      }
      (rowX, rowY) = (rowX &+ b, rowY &+ e)
    }
  }

  private func fillBilinear(_ result: Picture, _ map: AffineMap) {
    for row in 0..<height {
      for column in 0..<width {
        let middleX = Double(column) + 0.5, middleY = Double(row) + 0.5
        let x = map.a * middleX + map.b * middleY + map.c, y = map.d * middleX + map.e * middleY + map.f
        guard x >= 0, x < Double(width), y >= 0, y < Double(height) else { continue }
        let left = (x - 0.5).rounded(.down), top = (y - 0.5).rounded(.down)
        let shareX = x - 0.5 - left, shareY = y - 0.5 - top
        let firstColumn = max(Int(left), 0), secondColumn = min(Int(left) + 1, width - 1)
        let firstRow = max(Int(top), 0), secondRow = min(Int(top) + 1, height - 1)
        let upper = base + firstRow * rowByteCount, lower = base + secondRow * rowByteCount
        let target = result.base + row * rowByteCount + column * channels
        for channel in 0..<channels {
          func between(_ line: UnsafePointer<UInt8>) -> Double {
            let first = Double(line[firstColumn * channels + channel])
            return first + (Double(line[secondColumn * channels + channel]) - first) * shareX
          }
          let above = between(upper), below = between(lower)
          target[channel] = UInt8(truncatingIfNeeded: Int(above + (below - above) * shareY))
        }
      }
    }
  }
}
