import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Rounding to levels that are trained: by generated code as by portable kernels, and these as they are defined.
struct FakeQuantizeTests {
  /// Ranges with 0 at an end and within, one that is not known, and a scale that has become negative.
  static let ranges: [(scale: Float, zero: Float)] = [
    (0.01, 0), (0.013, 127.4), (0.02, 255), (0.5, 20.5), (0, 0), (-0.01, 100),
  ]

  @Test(arguments: BlockedConvolutionTests.targets, StreamTests.tensors)
  func generatedCodeGivesTheSameBits(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    for (number, range) in Self.ranges.enumerated() {
      let team = Workers(count: 1 + number % 3), library = KernelLibrary(target)
      let count = tensor.pixels * tensor.channels
      let plain = BlockedFakeQuantize(tensor, tracksRange: false, library: library)
      let tracking = BlockedFakeQuantize(tensor, tracksRange: true, library: library)
      let gradients = [false, true].map { BlockedFakeQuantizeGradient(tensor, learnsScale: $0, library: library) }
      try library.finish()
      let what = "\(tensor) \(range) \(target.instructionSet)"
      let x = try StreamTests.Image(tensor, seed: 3, stream: UInt64(number), factor: 2)
      let dy = try StreamTests.Image(tensor, seed: 4, stream: UInt64(number))
      let y = try StreamTests.Image(emptyLike: tensor)
      let levels = TrainedLevels(scale: range.scale, zeroPoint: range.zero)
      let workspace = try ConvolutionBuffer(
        byteCount: ([plain, tracking].map(\.workspaceByteCount) + gradients.map(\.workspaceByteCount)).max() ?? 0)
      let expected = try ConvolutionBuffer(count: count)

      plain.run(x.blocked.base, levels, into: y.blocked.base, workspace: workspace.base, workers: team)
      FakeQuantizeActivationKernels.apply(x.rows.base, levels, into: expected.base, count: count, workers: team)
      #expect(y.values == StreamTests.doubles(expected), "\(what)")

      let old = TrackedRange(scale: range.scale.magnitude, zeroPoint: range.zero)
      let next = tracking.runTracking(
        x.blocked.base, old, momentum: 0.3, into: y.blocked.base, workspace: workspace.base, workers: team)
      let expectedNext = FakeQuantizeActivationKernels.applyTracking(
        x.rows.base, old, momentum: 0.3, into: expected.base, count: count, workers: team)
      #expect(y.values == StreamTests.doubles(expected) && next == expectedNext, "\(what)")
      #expect(y.blocked.isGuardIntact && workspace.isGuardIntact)

      for gradient in gradients {
        let ofScale = gradient.run(
          x.blocked.base, gradient: dy.blocked.base, levels, into: y.blocked.base, workspace: workspace.base,
          workers: team)
        FakeQuantizeActivationKernels.applyGradient(
          x.rows.base, dy.rows.base, levels, into: expected.base, count: count, workers: team)
        #expect(y.values == StreamTests.doubles(expected), "\(what)")
        guard gradient.learnsScale else { continue }
        let expectedOfScale = FakeQuantizeActivationKernels.scaleGradient(
          x.rows.base, dy.rows.base, levels, sampleCount: tensor.height * tensor.width * tensor.channels, count: count,
          workers: team)
        // Steep slopes cancel: the tolerance is that of the sum of magnitudes.
        let slope = Float(count) * 255 * (levels?.gradientScale(count: count / tensor.images).magnitude ?? 1)
        #expect((ofScale - expectedOfScale).magnitude <= 1e-6 * slope, "\(what): \(ofScale), \(expectedOfScale)")
      }
      // In place.
      FakeQuantizeActivationKernels.apply(x.rows.base, levels, into: expected.base, count: count, workers: team)
      plain.run(x.blocked.base, levels, into: x.blocked.base, workspace: workspace.base, workers: team)
      #expect(x.values == StreamTests.doubles(expected), "\(what)")
    }
  }

  private func apply(_ x: [Float], scale: Float, zero: Float) -> [Float] {
    var y = x
    FakeQuantizeActivationKernels.apply(
      x, TrainedLevels(scale: scale, zeroPoint: zero), into: &y, count: x.count, workers: Workers(count: 1))
    return y
  }

  private func gradients(_ x: [Float], _ dy: [Float], scale: Float, zero: Float) -> (dx: [Float], scale: Float) {
    var dx = x
    let levels = TrainedLevels(scale: scale, zeroPoint: zero), workers = Workers(count: 1)
    FakeQuantizeActivationKernels.applyGradient(x, dy, levels, into: &dx, count: x.count, workers: workers)
    return (
      dx,
      FakeQuantizeActivationKernels.scaleGradient(
        x, dy, levels, sampleCount: x.count, count: x.count, workers: workers)
    )
  }

  @Test func halvesGoToTheEvenLevelAndEndsHold() {
    #expect(
      apply([0.25, 0.75, -0.75, 1.2, 1000, -1000, 0], scale: 0.5, zero: 10) == [0, 1, -1, 1, 122.5, -5, 0])
    #expect(apply([.nan], scale: 0.5, zero: 10)[0].isNaN)
    #expect(apply([3.1], scale: 0, zero: 0) == [3.1])
  }

  /// Those that integers are computed with.
  @Test func levelsAreThoseOfBytes() throws {
    let bytes = try #require(ByteLevels(scale: 0.0173, zeroPointNear: 100.4))
    let x = (0..<2000).map { Float($0 - 1000) * 0.00317 }
    #expect(apply(x, scale: 0.0173, zero: 100.4) == x.map { bytes.value(of: bytes.level(of: $0)) })
  }

  @Test func gradientPassesBetweenTheEnds() {
    let x: [Float] = [-5.01, -5, 0.3, 122.5, 122.6], dy: [Float] = [1, 2, 3, 4, 5]
    #expect(gradients(x, dy, scale: 0.5, zero: 10).dx == [0, 2, 3, 4, 0])
    #expect(gradients(x, dy, scale: 0, zero: 0).dx == dy)
  }

  /// Beyond the ends the result is a multiple of the scale, so its gradient is that of finite differences; within, it is
  /// what rounding has added (Esser et al. 2020, equation 3).
  @Test func scaleGradientIsThatOfLearnedSteps() {
    let factor = 1 / (Float(2) * 245).squareRoot()
    let outside: [Float] = [200, -9], dy: [Float] = [0.5, -2], step: Float = 0.01
    let above = apply(outside, scale: 0.5 + step, zero: 10), below = apply(outside, scale: 0.5 - step, zero: 10)
    let slope = zip(zip(above, below), dy).reduce(Float(0)) { $0 + ($1.0.0 - $1.0.1) / (2 * step) * $1.1 }
    #expect((gradients(outside, dy, scale: 0.5, zero: 10).scale - slope * factor).magnitude < 1e-3)
    // 1.3 and -0.6 steps of 0.5 are rounded to 1 and -1.
    let within = gradients([0.65, -0.3], dy, scale: 0.5, zero: 10).scale
    #expect((within - (0.5 * -0.3 + -2 * -0.4) * factor).magnitude < 1e-5)
    // The magnitude of a scale counts, and its gradient has its sign.
    #expect(gradients([0.65, -0.3], dy, scale: -0.5, zero: 10).scale == -within)
    #expect(gradients(outside, dy, scale: 0, zero: 0).scale == 0)
  }

  @Test func rangesFollowBatches() {
    let range = TrackedRange(scale: 2.0 / 255, zeroPoint: 127.5)  // From -1 to 1.
    let next = range.following(lowest: -3, highest: 2, momentum: 0.25)  // From -1.5 to 1.25.
    #expect((next.scale - 2.75 / 255).magnitude < 1e-6)
    #expect((next.zeroPoint - 1.5 / 2.75 * 255).magnitude < 1e-3)
    let first = TrackedRange(scale: 0, zeroPoint: 0).following(lowest: -1, highest: 3, momentum: 0.01)
    #expect(first == TrackedRange(scale: 4.0 / 255, zeroPoint: 1 / (4.0 / 255)))
    // What is always 0 has no range, and what is no number changes none.
    #expect(TrackedRange(scale: 0, zeroPoint: 0).following(lowest: 0, highest: 0, momentum: 1).scale == 0)
    #expect(range.following(lowest: -.infinity, highest: 1, momentum: 0.5) == range)
  }

  /// The largest magnitude is found whatever the place, and what is no number is passed over.
  @Test func largestMagnitudes() {
    var random = RandomNumbers(seed: 3)
    for count in 0..<40 {
      var numbers = (0..<count).map { _ in Float(random.int(-1000...1000)) / 8 }
      let expected = numbers.map(\.magnitude).max() ?? 0
      #expect(FakeQuantizeWeightKernels.largestMagnitude(numbers, count) == expected)
      for place in numbers.indices where numbers[place].magnitude < expected {
        numbers[place] = place % 2 == 0 ? .nan : -.nan
      }
      #expect(FakeQuantizeWeightKernels.largestMagnitude(numbers, count) == expected)
    }
    #expect(FakeQuantizeWeightKernels.largestMagnitude([Float](repeating: .nan, count: 9), 9) == 0)
    #expect(FakeQuantizeWeightKernels.largestMagnitude([1, -.infinity, 2], 3) == .infinity)
  }

  @Test(arguments: [1, 3]) func weightsAreRoundedToSignedBytes(_ threads: Int) {
    let weight: [Float] = [1.27, 0.014, -0.016, 0.004, -2.54, 0.034, 0, 0, 0, 0, 0, 0]
    func round(_ factors: [Float]?, perChannel: Bool) -> [Float] {
      var y = weight
      FakeQuantizeWeightKernels.apply(
        weight, times: factors, perChannel: perChannel, into: &y, outputs: 4, size: 3, workers: Workers(count: threads))
      return y
    }
    func expect(_ result: [Float], _ expected: [Float]) {
      for (a, b) in zip(result, expected) { #expect((a - b).magnitude < 1e-6, "\(result), \(expected)") }
    }
    let zeros = [Float](repeating: 0, count: 6)
    expect(round(nil, perChannel: true), [1.27, 0.01, -0.02, 0, -2.54, 0.04] + zeros)
    expect(round([3, 0.1, 1, 1], perChannel: true), [1.27, 0.01, -0.02, 0, -2.54, 0.04] + zeros)
    expect(round(nil, perChannel: false), [1.28, 0.02, -0.02, 0, -2.54, 0.04] + zeros)
    // Times -2 the first channel has the largest magnitude, 2.54; what is multiplied by 0 stays.
    expect(round([-2, 0, 1, 1], perChannel: false), [1.27, 0.01, -0.02, 0.004, -2.54, 0.034] + zeros)
  }
}
