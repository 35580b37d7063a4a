import CNNCore
import CNNRuntime

/// Noise that switches parts of a tensor off in training and scales the rest so that the expectation stays.
///
/// Nothing is stored for the backward pass: the choice is a function of seed, stream and place alone, so the gradient is
/// the same call on `dy`. Use another `stream` for every layer and step.
public enum DropoutKernels {
  /// Inverted dropout: `y[i]` is 0 with probability `rate`, else `x[i] / (1 - rate)` (Srivastava et al. 2014).
  ///
  /// Element `i` is decided by word `i % 4` of `Philox(seed:stream:)` at counter `i / 4`. For the backward pass give `dy`
  /// as `x` and `dx` as `y`.
  /// - Parameters:
  ///   - x: `count` floats.
  ///   - y: `count` floats; may be the memory of `x`.
  ///   - rate: in `[0, 1]`: 0 copies, 1 gives zeros.
  public static func apply(
    x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, count: Int, rate: Float, seed: UInt64, stream: UInt64,
    workers: Workers
  ) {
    let random = Philox(seed: seed, stream: stream)
    let survival = Survival(rate)
    workers.forEachRange(of: count, grain: 4096) { range, _ in
      switch survival {
      case .everything:
        if x != UnsafePointer(y) { (y + range.lowerBound).update(from: x + range.lowerBound, count: range.count) }
      case .nothing:
        (y + range.lowerBound).update(repeating: 0, count: range.count)
      case .some(let threshold, let scale):
        // Ranges begin at multiples of four, so a block of four is one counter.
        var index = range.lowerBound
        while index + 4 <= range.upperBound {
          let isKept = random.words(at: UInt64(index / 4)) .>= threshold
          let scaled = UnsafeRawPointer(x + index).loadUnaligned(as: SIMD4<Float>.self) * scale
          let kept = SIMD4<Float>().replacing(with: scaled, where: isKept)
          UnsafeMutableRawPointer(y + index).storeBytes(of: kept, as: SIMD4<Float>.self)
          index += 4
        }
        let words = random.words(at: UInt64(index / 4))
        for lane in 0..<(range.upperBound - index) {
          y[index + lane] = words[lane] >= threshold ? x[index + lane] * scale : 0
        }
      }
    }
  }

  /// Stochastic depth: a whole sample is 0 with probability `rate`, else divided by `1 - rate`
  /// (Huang et al. 2016; torchvision's `stochastic_depth` in mode `row`).
  ///
  /// Sample `n` is decided by the first word of `Philox(seed:stream:)` at counter `n`. For the backward pass give `dy` as
  /// `x` and `dx` as `y`.
  /// - Parameters:
  ///   - x: `samples * sampleLength` floats.
  ///   - y: as many floats; may be the memory of `x`.
  ///   - rate: in `[0, 1]`: 0 copies, 1 gives zeros.
  public static func applyToSamples(
    x: UnsafePointer<Float>, y: UnsafeMutablePointer<Float>, samples: Int, sampleLength: Int, rate: Float,
    seed: UInt64, stream: UInt64, workers: Workers
  ) {
    let factors = SampleFactors(rate: rate, seed: seed, stream: stream)
    workers.forEachRange(of: samples, grain: max(1, 4096 / max(sampleLength, 1))) { range, _ in
      for sample in range {
        let x = x + sample * sampleLength
        let y = y + sample * sampleLength
        let factor = factors[sample]
        if factor == 0 {
          y.update(repeating: 0, count: sampleLength)
        } else {
          for index in 0..<sampleLength { y[index] = x[index] * factor }
        }
      }
    }
  }

  /// What each sample is multiplied by in stochastic depth; see `applyToSamples`.
  public struct SampleFactors: Sendable {
    private let random: Philox
    private let survival: Survival

    /// The factors for this rate and stream of random numbers.
    public init(rate: Float, seed: UInt64, stream: UInt64) {
      random = Philox(seed: seed, stream: stream)
      survival = Survival(rate)
    }

    /// That of one sample.
    public subscript(sample: Int) -> Float { survival.factor(for: random.words(at: UInt64(sample))[0]) }
  }

  /// What a rate means for a 32-bit random word.
  private enum Survival {
    case everything
    case nothing
    /// Words below `threshold` are dropped, and what survives is multiplied by `scale`.
    case some(threshold: UInt32, scale: Float)

    init(_ rate: Float) {
      let threshold = Double(rate) * 0x1p32
      if rate >= 1 {
        self = .nothing
      } else if threshold >= 1 {
        self = .some(threshold: UInt32(min(threshold, 0x1p32 - 1)), scale: Float(1 / (1 - Double(rate))))
      } else {
        self = .everything
      }
    }

    func factor(for word: UInt32) -> Float {
      switch self {
      case .everything: 1
      case .nothing: 0
      case .some(let threshold, let scale): word < threshold ? 0 : scale
      }
    }
  }
}
