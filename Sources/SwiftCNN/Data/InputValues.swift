import CNNCompiler
import CNNCore

/// What the numbers of images are, as far as a look at some of them tells.
enum InputValues: String, CaseIterable, Sendable {
  /// Pixels from 0 to 255, which the model normalises itself.
  case pixels
  /// float32 that is what this model makes of pixels.
  case normalized
  /// float32 from 0 to 1, as pixels divided by 255 are, where normalised pixels would reach further.
  case unit = "0 to 1"
  /// float32 far outside of what pixels become: as they are in a file, or with a mean taken away.
  case bytes = "0 to 255"
  /// Any other float32.
  case floats

  /// Looks at float32 images.
  /// - Returns: nil where nothing can be told: numbers that are all alike, or only a few.
  init?(_ sample: InputSample, _ normalization: Compiler.PixelNormalization) {
    guard sample.count >= 32, sample.minimum < sample.maximum else { return nil }
    let range = sample.minimum...sample.maximum
    let expected = normalization.range, reach = max(1, -expected.lowerBound, expected.upperBound)
    let isOfPixels = sample.isWhole && (0...255).contains(range)
    if isOfPixels && range.upperBound > max(1, expected.upperBound)
      || max(-range.lowerBound, range.upperBound) > 10 * reach
    {
      self = .bytes
    } else if sample.normalizedShare >= 0.5 {
      self = .normalized
    } else if !sample.isWhole, (0...1).contains(range), range.upperBound - range.lowerBound >= 0.5,
      expected.lowerBound < -0.2 || expected.upperBound > 1.25
    {
      self = .unit
    } else {
      self = .floats
    }
  }

  /// Whether a model that was trained on such numbers computes the same of others, as far as can be told.
  func fits(_ given: InputValues) -> Bool {
    switch (self, given) {
    case (.normalized, .pixels), (.normalized, .floats), (.pixels, .normalized), (.floats, .normalized): true
    default: self == given
    }
  }
}

/// What a few of the numbers of float32 images are.
struct InputSample {
  private(set) var count = 0
  private(set) var minimum = Float.infinity, maximum = -Float.infinity
  /// Whether all are whole numbers.
  private(set) var isWhole = true
  private var normalizedCount = 0

  /// The share of them that a pixel becomes.
  var normalizedShare: Double { Double(normalizedCount) / Double(max(1, count)) }

  private static let limit = 256

  /// Takes numbers from all over the images, so many that it costs a prediction nothing.
  init(_ x: TensorView, _ normalization: Compiler.PixelNormalization) {
    let channels = normalization.mean.count, total = x.shape.reduce(1, *)
    var step = max(1, total / Self.limit)
    // So that all channels come in turn.
    while channels > 1, step > 1, step % channels == 0 { step += 1 }
    let values = x.base.assumingMemoryBound(to: Float.self)
    for position in stride(from: 0, to: total, by: step) {
      let value = values[position], channel = position % channels
      guard value.isFinite else { continue }
      count += 1
      (minimum, maximum) = (min(minimum, value), max(maximum, value))
      isWhole = isWhole && value == value.rounded()
      let pixel = (Double(value) * normalization.deviation[channel] + normalization.mean[channel]) * 255
      if (-0.5...255.5).contains(pixel), abs(pixel - pixel.rounded()) < 0.05 { normalizedCount += 1 }
    }
  }
}

extension Compiler.PixelNormalization {
  /// Whether pixels stay as they are: numbers from 0 to 255.
  var isIdentity: Bool {
    mean.allSatisfy { $0 == 0 } && deviation.allSatisfy { abs($0 * 255 - 1) < 1e-6 }
  }

  /// From the smallest to the largest number that a pixel becomes.
  var range: ClosedRange<Float> {
    let ends = zip(mean, deviation).map { (-$0 / $1, (1 - $0) / $1) }
    return Float(ends.map(\.0).min() ?? 0)...Float(max(ends.map(\.1).max() ?? 1, ends.map(\.0).min() ?? 0))
  }
}

extension ClosedRange<Int> {
  fileprivate func contains(_ other: ClosedRange<Float>) -> Bool {
    Float(lowerBound) <= other.lowerBound && other.upperBound <= Float(upperBound)
  }
}
