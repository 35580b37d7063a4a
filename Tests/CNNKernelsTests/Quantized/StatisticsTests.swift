import CNNCore
import CNNRuntime
import Glibc
import Testing

@testable import CNNKernels

/// What is known of tensors: the definition beside plain counting, and generated code beside the definition.
@Suite struct StatisticsTests {
  /// A tensor of random sizes with numbers of all magnitudes, zeros and subnormal ones among them, and those beside the
  /// smallest that does not count as 0.
  private struct Case {
    let tensor: BlockedTensor
    let statistics: TensorStatistics
    let x: [Float]
    let known: [Float]
    var count: Int { statistics.state.count }

    init(seed: UInt64) {
      var random = RandomNumbers(seed: seed)
      tensor = BlockedTensor(
        images: random.int(1...3), height: random.int(1...12), width: random.int(1...40), channels: random.int(1...70))
      let state = StatisticsState(
        hasHistogram: seed % 4 != 0, summedChannels: seed % 3 != 0 ? tensor.channels : nil)
      statistics = TensorStatistics(pixels: tensor.pixels, channels: tensor.channels, state)
      x = (0..<tensor.pixels * tensor.channels).map { _ in
        switch random.int(0...9) {
        case 0...2: 0
        case 3: -0.0
        case 4: random.float(-1...1) * 1e-41
        case 5: random.float(-1...1) * exp2f(Float(random.int(-30...30)))
        case 6:
          Float(bitPattern: UInt32(StatisticsState.firstPattern + random.int(-6...6)) << 17)
            * (random.int(0...1) == 0 ? 1 : -1)
        default: random.float(-2...3)
        }
      }
      known = (0..<state.count).map { Float(random.int(0...9)) * ($0 == 0 ? -0.5 : 1) }
    }

    /// The state after the definition.
    func defined(_ x: [Float]) -> [Float] {
      KernelChecks.floats(count) { result, workers in
        let space = UnsafeMutableRawPointer.allocate(
          byteCount: statistics.workspaceByteCount(workers), alignment: 64)
        defer { space.deallocate() }
        x.withUnsafeBufferPointer { x in
          known.withUnsafeBufferPointer { known in
            guard let x = x.baseAddress, let known = known.baseAddress else { return }
            statistics.add(x, to: known, into: result, workspace: space, workers: workers)
          }
        }
      }
    }

    /// The state after generated code.
    func generated(_ x: [Float], _ target: CodeTarget) throws -> [Float] {
      let library = KernelLibrary(target), buffer = try ConvolutionBuffer(byteCount: tensor.byteCount)
      let statistics = BlockedStatistics(tensor, statistics.state, library: library)
      try library.finish()
      x.withUnsafeBufferPointer {
        guard let x = $0.baseAddress else { return }
        BlockedCopies.pack(x, into: buffer.base, tensor, workers: Workers(count: 1))
      }
      BlockedWeightGradientTests.poison(buffer, tensor)
      let result = KernelChecks.floats(count) { result, workers in
        let size = statistics.workspaceByteCount(workers)
        let space = UnsafeMutableRawPointer.allocate(byteCount: size + 64, alignment: 64)
        defer { space.deallocate() }
        (space + size).initializeMemory(as: UInt8.self, repeating: 77, count: 64)
        known.withUnsafeBufferPointer { known in
          guard let known = known.baseAddress else { return }
          statistics.add(buffer.base, to: known, into: result, workspace: space, workers: workers)
        }
        #expect((0..<64).allSatisfy { (space + size).load(fromByteOffset: $0, as: UInt8.self) == 77 })
      }
      #expect(buffer.isGuardIntact)
      return result
    }
  }

  @Test(arguments: 0..<UInt64(24)) func statisticsAreThoseOfPlainCounting(_ seed: UInt64) {
    let c = Case(seed: seed), channels = c.tensor.channels, state = c.statistics.state
    let result = c.defined(c.x)
    #expect(result[0] == min(c.known[0], c.x.min() ?? 0))
    #expect(result[1] == max(c.known[1], c.x.max() ?? 0))
    if state.hasHistogram {
      var counts = Array(c.known[2..<2 + StatisticsState.binCount])
      for x in c.x { counts[StatisticsState.bin(of: x)] += 1 }
      #expect(Array(result[2..<2 + StatisticsState.binCount]) == counts)
    }
    if let first = state.firstSum {
      for channel in 0..<channels {
        let sum = stride(from: channel, to: c.x.count, by: channels).reduce(0.0) { $0 + Double(c.x[$1]) }
        #expect(abs(Double(result[first + channel] - c.known[first + channel]) - sum) <= 1e-6 * max(abs(sum), 100))
      }
      #expect(result[first + channels] == c.known[first + channels] + Float(c.tensor.pixels))
    }
  }

  @Test(arguments: 0..<UInt64(24)) func generatedStatisticsAreThoseOfTheDefinition(_ seed: UInt64) throws {
    let c = Case(seed: seed), expected = c.defined(c.x)
    let exact = c.statistics.state.firstSum ?? c.count
    for target in CodeTarget.tried {
      let result = try c.generated(c.x, target)
      #expect(Array(result[..<exact]) == Array(expected[..<exact]), "\(target.instructionSet) \(c.tensor)")
      let scale = c.x.reduce(Float(1)) { max($0, $1.magnitude) }
      for index in exact..<c.count {
        #expect(abs(result[index] - expected[index]) <= 1e-5 * scale * Float(c.tensor.pixels), "\(c.tensor)")
      }
    }
  }

  /// A bin holds its middle, and bins follow each other as numbers do.
  @Test func binsAreInOrder() {
    for bin in 0..<StatisticsState.binCount where StatisticsState.center(ofBin: bin) != 0 {
      #expect(StatisticsState.bin(of: StatisticsState.center(ofBin: bin)) == bin)
    }
    let numbers: [Float] = [
      -.infinity, -1e9, -2, -1, -1e-3, -1e-9, -0.0, 0, 1e-9, 1e-7, 1, 1.02, 2, 1e6, 1e9, .infinity,
    ]
    let bins = numbers.map(StatisticsState.bin)
    #expect(zip(bins, bins.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(bins.first == 0 && bins.last == StatisticsState.binCount - 1)
  }

  /// One number that is none is seen wherever it stands, by every target, and stays known.
  @Test(arguments: [Float.nan, -.nan, .infinity, -.infinity], 0..<UInt64(6))
  func whatIsNoNumberIsSeen(_ number: Float, _ seed: UInt64) throws {
    let c = Case(seed: seed)
    var x = c.x
    x[Int(seed) * 7919 % x.count] = number
    var results = [c.defined(x)]
    for target in CodeTarget.tried { results.append(try c.generated(x, target)) }
    for result in results {
      let range = result.withUnsafeBufferPointer { c.statistics.state.range($0) }
      #expect(range == nil)
    }
    #expect(c.known.withUnsafeBufferPointer { c.statistics.state.range($0) } != nil)
    var next: [Float] = [0, 0]
    c.statistics.state.setRange([(-1, 1)], results[0], &next)
    #expect(next.contains { !$0.isFinite })
  }
}

/// Ranges from histograms.
@Suite struct CalibrationRangeTests {
  private typealias Method = @Sendable (CalibrationRange, CalibrationRange.Counts) -> CalibrationRange

  private static let methods: [(name: String, range: Method)] = [
    ("percentile", { CalibrationRange.percentile(99.9, $0, $1) }), ("entropy", CalibrationRange.leastDivergence),
    ("mse", CalibrationRange.leastError),
  ]

  /// The whole range and the counts of numbers.
  private func observe<Result>(
    _ x: [Float], _ body: (CalibrationRange, CalibrationRange.Counts) throws -> Result
  ) throws -> Result {
    let state = StatisticsState(hasHistogram: true, summedChannels: nil)
    let statistics = TensorStatistics(pixels: x.count, channels: 1, state)
    let result = KernelChecks.floats(state.count) { result, workers in
      let space = UnsafeMutableRawPointer.allocate(byteCount: statistics.workspaceByteCount(workers), alignment: 64)
      defer { space.deallocate() }
      let zeros = [Float](repeating: 0, count: state.count)
      statistics.add(x, to: zeros, into: result, workspace: space, workers: workers)
    }
    return try result.withUnsafeBufferPointer { try body(#require(state.range($0)), state.counts($0)) }
  }

  private func normal(_ count: Int, seed: UInt64) -> [Float] {
    var random = RandomNumbers(seed: seed)
    return (0..<count).map { _ in
      sqrtf(-2 * logf(max(random.float(0...1), 1e-9))) * cosf(6.2831853 * random.float(0...1))
    }
  }

  /// Every method leaves numbers alone that are levels already, and cuts what is far out.
  @Test func rangesHoldWhatTheyShould() throws {
    let even = (0...255).flatMap { Array(repeating: Float($0), count: 8) }
    var outlier = normal(50_000, seed: 5)
    outlier.append(300)
    for method in Self.methods {
      let whole = try observe(even) { method.range($0, $1) }
      #expect(whole.lowest == 0 && whole.highest > 245, "\(method.name)")
      let cut = try observe(outlier) { method.range($0, $1) }
      // One number far out is worth its square to the least squared error, and next to nothing to the others.
      #expect((cut.highest < 100) == (method.name != "mse") && cut.highest > 2, "\(method.name) \(cut)")
      #expect(cut.lowest < -1.5 && cut.lowest > -6, "\(method.name) \(cut)")
      let constant = try observe(Array(repeating: Float(3), count: 100)) { method.range($0, $1) }
      #expect(constant.lowest == 0 && abs(constant.highest - 3) < 0.05, "\(method.name) \(constant)")
      let zero = try observe(Array(repeating: Float(0), count: 100)) { method.range($0, $1) }
      #expect(zero == CalibrationRange(0, 0), "\(method.name)")
    }
  }

  /// The search by sums over neighbouring bins finds what adding up the error of every number finds.
  @Test(arguments: 0..<UInt64(4)) func theLeastErrorIsThatOfAllNumbers(_ seed: UInt64) throws {
    let x = normal(3000, seed: seed).map { seed % 2 == 0 ? max($0, 0) : $0 * $0 * $0 }
    func error(_ range: CalibrationRange) -> Double {
      let step = Double(range.highest - range.lowest) / 255
      return x.reduce(0.0) { sum, x in
        if x == 0 { return sum }
        let beyond = max(Double(range.lowest - x), Double(x - range.highest), 0)
        return sum + beyond * beyond + step * step / 12
      }
    }
    let (whole, best) = try observe(x) { ($0, CalibrationRange.leastError($0, $1)) }
    for step in 1...64 {
      for other in [
        CalibrationRange(best.lowest, whole.highest * Float(step) / 64),
        CalibrationRange(whole.lowest * Float(step) / 64, best.highest),
      ] where step >= 9 { #expect(error(best) <= error(other) * 1.03, "\(best) \(other)") }
    }
    #expect(error(best) <= error(whole) * 1.01)
  }

  /// The same for the divergence, from its definition: what is beyond the range is in its last bin.
  @Test(arguments: 0..<UInt64(3)) func theLeastDivergenceIsThatOfItsDefinition(_ seed: UInt64) throws {
    let x = normal(4000, seed: seed).map { abs($0 * $0) }
    let (whole, best, largest) = try observe(x) { ($0, CalibrationRange.leastDivergence($0, $1), $0.highest) }
    #expect(whole.highest == largest)
    // Exact bins here, where the range is found with those of a histogram.
    var bins = [Double](repeating: 0, count: 4096)
    for x in x { bins[min(4095, Int(x / largest * 4096))] += 1 }
    func divergence(_ end: Int) -> Double {
      var p = Array(bins[..<end])
      p[end - 1] += bins[end...].reduce(0, +)
      let total = p.reduce(0, +), inside = bins[..<end].reduce(0, +)
      var sum = 0.0
      for level in 0..<256 {
        let range = end * level / 256..<end * (level + 1) / 256
        let given = bins[range].reduce(0, +), filled = range.count { p[$0] > 0 }
        for bin in range where p[bin] > 0 {
          sum += p[bin] / total * log(p[bin] / total / (max(given / Double(filled), 1e-9) / inside))
        }
      }
      return sum
    }
    let candidates = Array(stride(from: 256, through: 4096, by: 32)), all = candidates.map(divergence)
    let chosen = divergence(Int((best.highest / largest * 4096).rounded()))
    #expect(chosen <= (all.min() ?? 0) + 0.1 * ((all.max() ?? 0) - (all.min() ?? 0)), "\(best)")
  }
}
