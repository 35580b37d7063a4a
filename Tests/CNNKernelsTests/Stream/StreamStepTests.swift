import CNNCore
import CNNRuntime
import Testing

@testable import CNNKernels

/// Steps that are made in common passes.
@Suite struct StreamStepTests {
  typealias Image = StreamTests.Image

  private static let swish = VectorActivation(.silu, constants: [])

  /// `f = normalised x times s` and the sums of `df` times what was normalised, which squeeze and excitation needs in its
  /// gradient: three steps in one pass, as they are one after the other.
  @Test(arguments: BlockedConvolutionTests.targets, StreamTests.tensors)
  func normalizationScalingAndSumsAreOnePass(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    let channels = tensor.channels, library = KernelLibrary(target), team = Workers(count: 2)
    let again = StreamStep.normalizationByStatistics(
      tensor, BlockedNormalization(epsilon: 0, activation: Self.swish))
    let scaling = StreamStep.scaling(tensor)
    let sums = StreamStep.sum(.images, of: tensor, ofProducts: true)
    // x, gamma, beta, mean, 1 / deviation, s, then e, f.
    let two = try #require(
      again.followed(
        by: scaling,
        .init(first: [0, 1, 2, 3, 4, 6], second: [6, 5, 7], shared: [(made: 5, read: 0)]), [], target))
    // e is not in memory any more: 6 is df, 7 is f, 8 are the sums.
    let three = try #require(
      two.followed(
        by: sums,
        .init(
          first: [0, 1, 2, 3, 4, 5, nil, 7], second: [6, nil, 8], shared: [(made: 6, read: 1)]), [], target))
    let separate = [again, scaling, sums].map { StreamStepKernels($0, library: library) }
    let common = StreamStepKernels(three, library: library)
    try library.finish()

    let x = try Image(tensor, seed: 1, stream: 1), df = try Image(tensor, seed: 1, stream: 2)
    let s = try Image(tensor.onePixel, seed: 1, stream: 3)
    let vectors = try (0..<4).map { try StreamTests.floats(channels, 1, UInt64(4 + $0), shift: 1) }
    let e = try Image(emptyLike: tensor), f = try Image(emptyLike: tensor), f2 = try Image(emptyLike: tensor)
    let sum = try Image(emptyLike: tensor.onePixel), sum2 = try Image(emptyLike: tensor.onePixel)
    let given: [any PortMemory] = [x.blocked] + vectors
    try separate[0].run(given + [e.blocked], workers: team)
    try separate[1].run([e.blocked, s.blocked, f.blocked], workers: team)
    try separate[2].run([df.blocked, e.blocked, sum.blocked], workers: team)
    try common.run(given + [s.blocked, df.blocked, f2.blocked, sum2.blocked], workers: team)
    #expect(f2.values == f.values && sum2.values == sum.values, "\(tensor) \(target.instructionSet)")
    #expect(f2.blocked.isGuardIntact && sum2.blocked.isGuardIntact)
  }

  /// `dy s + g` is made on the way to the gradient of a normalisation, whose second pass reads what the first has kept.
  @Test(arguments: BlockedConvolutionTests.targets, StreamTests.tensors)
  func gradientsAreScaledAndAddedOnTheWay(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    let channels = tensor.channels, library = KernelLibrary(target), team = Workers(count: 2)
    let scaling = StreamStep.scaling(tensor), spreading = StreamStep.spreading(over: tensor)
    let addition = StreamStep.addition(tensor)
    let gradient = StreamStep.normalizationGradient(tensor, try .activation(#require(Self.swish)))
    // df, s and what is scaled; g; the sum.
    let two = try #require(
      scaling.followed(
        by: addition, .init(first: [0, 1, nil], second: [nil, 2, 3], shared: [(made: 2, read: 0)]), [], target))
    // g of one pixel, df, s, then the sum.
    let three = try #require(
      spreading.followed(
        by: two,
        .init(first: [0, nil], second: [1, 2, nil, 3], shared: [(made: 1, read: 2)]), [], target))
    // g, df, s, x, gamma, mean, 1 / deviation, beta, dx, dGamma, dBeta.
    let four = three.followed(
      by: gradient,
      .init(
        first: [0, 1, 2, nil], second: [3, nil, 4, 5, 6, 7, 8, 9, 10], shared: [(made: 3, read: 1)]), [], target)
    guard let four else {
      // With 16 registers there are too few.
      #expect(!target.hasAVX512)
      return
    }
    let separate = [scaling, spreading, addition, gradient].map { StreamStepKernels($0, library: library) }
    let common = StreamStepKernels(four, library: library)
    try library.finish()

    let x = try Image(tensor, seed: 2, stream: 1), df = try Image(tensor, seed: 2, stream: 2)
    let s = try Image(tensor.onePixel, seed: 2, stream: 3), g = try Image(tensor.onePixel, seed: 2, stream: 4)
    let vectors = try (0..<4).map { try StreamTests.floats(channels, 2, UInt64(5 + $0), shift: 1) as ConvolutionBuffer }
    let parts = try (0..<3).map { _ in try Image(emptyLike: tensor) },
      dx = try (0..<2).map { _ in try Image(emptyLike: tensor) }
    let sums = try (0..<4).map { _ in try GuardedFloats(channels) }
    try separate[0].run([df.blocked, s.blocked, parts[0].blocked], workers: team)
    try separate[1].run([g.blocked, parts[1].blocked], workers: team)
    try separate[2].run(parts.map(\.blocked), workers: team)
    let constants: [any PortMemory] = vectors
    try separate[3].run(
      [x.blocked, parts[2].blocked] + constants + [dx[0].blocked, sums[0], sums[1]],
      workers: team)
    try common.run(
      [g.blocked, df.blocked, s.blocked, x.blocked] + constants
        + [dx[1].blocked, sums[2], sums[3]], workers: team)
    // Sums are of other stretches.
    let what = "\(tensor) \(target.instructionSet)"
    StreamTests.expectClose(dx[1].values, dx[0].values, 1e-5, "dx of \(what)")
    StreamTests.expectClose(sums[2].values.map(Double.init), sums[0].values.map(Double.init), 1e-5, "gamma of \(what)")
    StreamTests.expectClose(sums[3].values.map(Double.init), sums[1].values.map(Double.init), 1e-5, "beta of \(what)")
    #expect(dx[1].blocked.isGuardIntact && sums[2].isIntact && sums[3].isIntact)
  }

  /// What is larger than the caches is written past them, which changes nothing but the way.
  @Test(arguments: BlockedConvolutionTests.targets, StreamTests.tensors)
  func largeTensorsAreWrittenPastTheCaches(_ target: CodeTarget, _ tensor: BlockedTensor) throws {
    let step = StreamStep.activation(try #require(Self.swish), tensor),
      small = CodeTarget(target.instructionSet, lastCacheByteCount: 64)
    #expect(step.streamsPastCaches(ofPass: 0, small.lastCacheByteCount) == [1])
    #expect(step.streamsPastCaches(ofPass: 0, 1 << 30) == [])
    let gradient = StreamStep.normalizationGradient(tensor, try .activation(#require(Self.swish)))
    #expect(gradient.streamsPastCaches(ofPass: 0, 64) == [], "the second pass reads what the first has kept")
    #expect(gradient.streamsPastCaches(ofPass: 1, 64) == [], "it is written where it was read")
    let x = try Image(tensor, seed: 3, stream: 1)
    let results = try [target, small].map { target in
      let library = KernelLibrary(target), y = try Image(emptyLike: tensor)
      let kernels = StreamStepKernels(step, library: library)
      try library.finish()
      try kernels.run([x.blocked, y.blocked], workers: Workers(count: 2))
      #expect(y.blocked.isGuardIntact)
      return y.values
    }
    #expect(results[0] == results[1])
  }

  /// What is read later than the same place is written stays where it is.
  @Test func resultsOverwriteWhatHasBeenRead() throws {
    let tensor = BlockedTensor(images: 2, height: 5, width: 3, channels: 20)
    let gradient = StreamStep.normalizationGradient(tensor, try .activation(#require(Self.swish)))
    #expect(gradient.overwritable(by: 6, of: 0..<6) == [1], "dx may lie where dy was, not where x is read again")
    let plain = StreamStep.normalizationGradient(tensor, .gradient)
    #expect(plain.overwritable(by: 5, of: 0..<5) == [1, 0])
    let ofSum = StreamStep.normalizationGradient(tensor, .result)
    #expect(ofSum.overwritable(by: 6, of: 0..<6) == [0, 1, 5] || ofSum.overwritable(by: 6, of: 0..<6) == [0, 5, 1])
    #expect(Set(ofSum.overwritable(by: 9, of: 0..<6)) == [1, 5])
    #expect(
      StreamStep.scaling(tensor).with(elements: [.float32, .float32, .bfloat16]).overwritable(by: 2, of: 0..<2) == [])
    #expect(StreamStep.sum(.all, of: tensor).overwritable(by: 1, of: 0..<1) == [])
  }

  /// Statistics are differences from the first pixel, which is nowhere before a pass that makes it.
  @Test func whatIsNeededInMemoryIsNotHandedOver() {
    let tensor = BlockedTensor(images: 2, height: 5, width: 3, channels: 20)
    let addition = StreamStep.addition(tensor)
    let normalization = StreamStep.normalization(tensor, BlockedNormalization(epsilon: 1e-3))
    #expect(!addition.canBeFollowed(by: normalization, shared: [(made: 2, read: 0)]))
    let sum = StreamStep.sum(.images, of: tensor)
    #expect(normalization.canBeFollowed(by: sum, shared: [(made: 5, read: 0)]))
    #expect(!normalization.canBeFollowed(by: .scaling(tensor), shared: [(made: 6, read: 1)]))
    let other = BlockedTensor(images: 2, height: 5, width: 4, channels: 20)
    #expect(!normalization.canBeFollowed(by: .sum(.images, of: other), shared: [(made: 5, read: 0)]))
  }
}
