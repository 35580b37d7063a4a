import CNNRuntime
import Testing

@testable import CNNKernels

/// Rounding to levels, and the sums of what it changes, beside their definitions.
@Suite struct RoundingNoiseTests {
  /// Numbers of all sizes, halves among them.
  private static func numbers(_ count: Int, seed: UInt64) -> [Float] {
    var random = RandomNumbers(seed: seed)
    return (0..<count).map { index in
      switch index % 5 {
      case 0: Float(random.int(-300...300)) + 0.5
      case 1: random.float(-1...1) * 1e7
      case 2: random.float(-1...1) * 1e30
      default: random.float(-200...200)
      }
    }
  }

  private struct Levels {
    let scale: Float, zero: Float, minimum: Float, maximum: Float
  }

  private static let levels = [
    Levels(scale: 1, zero: 0, minimum: -127, maximum: 127), Levels(scale: 0.25, zero: 17, minimum: 0, maximum: 255),
    Levels(scale: 3, zero: -4, minimum: -128, maximum: 127),
    Levels(scale: 0.5, zero: 1, minimum: -5_000_000, maximum: 5_000_000),
  ]

  @Test(arguments: 0..<4, [1, 3]) func roundingIsAsDefined(_ number: Int, _ threads: Int) {
    let levels = Self.levels[number]
    let x = Self.numbers(20_003, seed: UInt64(number)) + [.nan, .infinity, -.infinity, 0, -0.0, 1e-40]
    var y = x
    let kernels = FakeQuantizeKernels(
      scale: [levels.scale], zero: [levels.zero], minimum: levels.minimum, maximum: levels.maximum, count: x.count,
      channels: 1, inner: x.count)
    kernels.apply(x, into: &y, workers: Workers(count: threads))
    for (x, y) in zip(x, y) {
      let level = (x / levels.scale).rounded(.toNearestOrEven) + levels.zero
      let expected = (min(max(level, levels.minimum), levels.maximum) - levels.zero) * levels.scale
      #expect(x.isNaN ? y.isNaN : y == expected, "\(x)")
    }
  }

  @Test(arguments: [0, 1, 3, 4, 7, 4096, 50_001]) func sumsAreThoseOfTheDefinition(_ count: Int) {
    var random = RandomNumbers(seed: UInt64(count))
    func numbers() -> [Float] { (0..<count).map { _ in random.float(-2...3) } }
    let exact = numbers(), rounded = numbers(), gradient = numbers()
    let signal = exact.reduce(0.0) { $0 + Double($1) * Double($1) }
    let changes = zip(exact, rounded).map { Double($1) - Double($0) }
    let noise = changes.reduce(0) { $0 + $1 * $1 }
    let harm = zip(gradient, changes).reduce(0) { $0 + Double($1.0) * $1.1 }
    var first: [Float]?
    for threads in [1, 2, 5] {
      var sums: [Float] = [0, 0, 0]
      let known: [Float] = [2, 0.5, -1], workers = Workers(count: threads)
      sums.withUnsafeMutableBufferPointer { sums in
        guard let base = sums.baseAddress else { return }
        RoundingNoise.add(exact: exact, rounded: rounded, count: count, to: known, into: base, workers: workers)
        RoundingNoise.addHarm(
          gradient: gradient, exact: exact, rounded: rounded, count: count, to: [known[2]], into: base + 2,
          workers: workers)
      }
      for (sum, expected) in zip(sums, [2 + signal, 0.5 + noise, harm - 1]) {
        #expect((Double(sum) - expected).magnitude <= 1e-6 * (1 + signal + noise), "\(count) \(threads)")
      }
      // The same bits for every number of threads.
      #expect(first == nil || first == sums)
      first = sums
    }
  }
}
