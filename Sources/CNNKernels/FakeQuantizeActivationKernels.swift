import CNNCore
import CNNRuntime

/// The 256 levels of a byte that numbers are rounded to while a network is trained for integers, made of a scale and a zero
/// point that are parameters. What is computed is `ByteLevels.level`, which integers are computed with, in floats.
public struct TrainedLevels: Sendable, Equatable {
  /// How far levels lie apart, and 1 over it.
  public let scale, inverse: Float
  /// The level that stands for 0, a whole number.
  public let zero: Float
  /// The sign of the parameter: of the gradient of its magnitude.
  let sign: Float

  /// The highest level; the lowest is 0.
  static let highest: Float = 255

  /// The levels; nil where the scale is 0: then there are none.
  public init?(scale: Float, zeroPoint: Float) {
    if scale == 0 { return nil }
    // A learned scale may come near to 0; its reciprocal is an ordinary number still.
    self.scale = max(scale.magnitude, 1e-30)
    inverse = 1 / self.scale
    zero = min(max(zeroPoint.rounded(.toNearestOrEven), 0), Self.highest)
    sign = scale < 0 ? -1 : 1
  }

  /// What the gradient of the scale is multiplied by, `1 / sqrt(N Q)` (Esser et al. 2020, section 2.2).
  /// - Parameter count: the numbers in a sample.
  public func gradientScale(count: Int) -> Float {
    sign / (Float(max(1, count)) * max(1, Self.highest - zero)).squareRoot()
  }

  /// A number measured in levels.
  @inline(__always)
  func position(_ x: Float) -> Float { zero.addingProduct(x, inverse) }

  /// The nearest level; NaN stays NaN.
  @inline(__always)
  func level(_ position: Float) -> Float {
    let clipped = position < 0 ? 0 : position > Self.highest ? Self.highest : position
    return clipped.rounded(.toNearestOrEven)
  }

  /// Whether a number that is measured in levels is among them, so that a gradient passes.
  @inline(__always)
  func contains(_ position: Float) -> Bool { position >= 0 && position <= Self.highest }
}

/// A range as the parameters that it is kept in: the scale and the zero point, which need not be whole.
public struct TrackedRange: Sendable, Equatable {
  /// How far levels lie apart; 0 where the range is not known.
  public let scale: Float
  /// The level that stands for 0.
  public let zeroPoint: Float

  /// A range from its parameters.
  public init(scale: Float, zeroPoint: Float) { (self.scale, self.zeroPoint) = (scale, zeroPoint) }

  /// The range after a batch that went from `lowest`, 0 at most, to `highest`, 0 at least: moved towards that by a share.
  /// Where it was not known it is the batch's; where it would have no ordinary width it stays.
  func following(lowest: Float, highest: Float, momentum: Float) -> TrackedRange {
    let oldLowest = -zeroPoint * scale, oldHighest = (TrainedLevels.highest - zeroPoint) * scale
    let share = scale == 0 ? 1 : momentum
    let newLowest = oldLowest + share * (lowest - oldLowest), newHighest = oldHighest + share * (highest - oldHighest)
    let newScale = (newHighest - newLowest) / TrainedLevels.highest
    guard newScale.isNormal, newScale > 1e-30, newScale < 1e30 else { return self }
    return TrackedRange(scale: newScale, zeroPoint: -newLowest / newScale)
  }
}

/// Rounding of numbers that follow each other to levels whose scale is a parameter.
public enum FakeQuantizeActivationKernels {
  /// `y = (level of x - zero) * scale`; `x` where there are no levels. `y` may be `x`.
  public static func apply(
    _ x: UnsafePointer<Float>, _ levels: TrainedLevels?, into y: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for i in range {
        y[i] = levels.map { ($0.level($0.position(x[i])) - $0.zero) * $0.scale } ?? x[i]
      }
    }
  }

  /// The same, and the range that follows from the batch. Where none was known, it is rounded with that.
  public static func applyTracking(
    _ x: UnsafePointer<Float>, _ range: TrackedRange, momentum: Float, into y: UnsafeMutablePointer<Float>, count: Int,
    workers: Workers
  ) -> TrackedRange {
    // The larger of their negatives is that of the smaller one.
    let ends = ChunkedReduction.reduce(count: count, workers: workers) { range in
      range.reduce(SIMD2<Float>()) { pointwiseMax($0, SIMD2(-x[$1], x[$1])) }
    } combine: {
      pointwiseMax($0, $1)
    }
    let next = range.following(lowest: -(ends?.x ?? 0), highest: ends?.y ?? 0, momentum: momentum)
    let used = range.scale == 0 ? next : range
    apply(x, TrainedLevels(scale: used.scale, zeroPoint: used.zeroPoint), into: y, count: count, workers: workers)
    return next
  }

  /// `dx = dy` where `x` lies within the levels, else 0. `dx` may be `dy` or `x`.
  public static func applyGradient(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ levels: TrainedLevels?,
    into dx: UnsafeMutablePointer<Float>, count: Int, workers: Workers
  ) {
    workers.forEachRange(of: count, grain: Workers.grainOfFloats) { range, _ in
      for i in range { dx[i] = levels.map { $0.contains($0.position(x[i])) } ?? true ? dy[i] : 0 }
    }
  }

  /// The gradient of the scale, `factor * sum(dy * (level - (position within the levels, else zero)))` (Esser et al. 2020,
  /// equation 3); 0 where there are no levels.
  public static func scaleGradient(
    _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ levels: TrainedLevels?, sampleCount: Int, count: Int,
    workers: Workers
  ) -> Float {
    guard let levels else { return 0 }
    let sum = ChunkedReduction.sum(count: count, workers: workers) { i in
      let position = levels.position(x[i])
      let slope = levels.level(position) - (levels.contains(position) ? position : levels.zero)
      return Double(dy[i]) * Double(slope)
    }
    return Float(sum * Double(levels.gradientScale(count: sampleCount)))
  }
}
