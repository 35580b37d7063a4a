import CNNCore
import Glibc

/// What augmentations draw.
extension PhiloxGenerator {
  /// A number that is uniform in a range.
  mutating func uniform(_ range: ClosedRange<Double>) -> Double {
    let unit = Double(next() >> 11) * 0x1p-53
    return range.lowerBound + (range.upperBound - range.lowerBound) * unit
  }

  /// A whole number in `0..<limit`.
  mutating func below(_ limit: Int) -> Int {
    Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(truncatingIfNeeded: max(1, limit))).high)
  }

  /// Whether something happens that has this probability.
  mutating func happens(_ probability: Double) -> Bool { uniform(0...1) < probability }

  /// A normal number (Box and Muller 1958).
  private mutating func normal() -> Double {
    (-2 * log(1 - uniform(0...1))).squareRoot() * cos(2 * Double.pi * uniform(0...1))
  }

  /// The logarithm of a number of the gamma distribution (Marsaglia and Tsang 2000). The logarithm, since for a small
  /// shape most numbers are less than the smallest that there is.
  private mutating func logarithmOfGamma(_ shape: Double) -> Double {
    if shape < 1 { return logarithmOfGamma(shape + 1) + log(1 - uniform(0...1)) / shape }
    let d = shape - 1.0 / 3, c = 1 / (9 * d).squareRoot()
    while true {
      let x = normal(), root = 1 + c * x
      if root <= 0 { continue }
      let v = root * root * root
      if log(1 - uniform(0...1)) < 0.5 * x * x + d - d * v + d * log(v) { return log(d) + log(v) }
    }
  }

  /// A share of the beta distribution with both parameters `alpha`.
  mutating func beta(_ alpha: Double) -> Double {
    let a = logarithmOfGamma(alpha), b = logarithmOfGamma(alpha)
    return 1 / (1 + exp(b - a))
  }
}
