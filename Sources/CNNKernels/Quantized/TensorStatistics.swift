import CNNRuntime

/// What is known of the numbers that a tensor had, over many runs: the smallest and the largest, where they are wanted the
/// sums of its channels, and how many fell into each of the bins of a histogram. Bins are fixed, so that each number is
/// looked at once and none is kept.
public struct TensorStatistics: Hashable, Sendable {
  /// The sizes of the tensor, `[pixels, channels]`.
  public let pixels, channels: Int
  /// What is kept.
  public let state: StatisticsState

  /// Statistics of a tensor of these sizes.
  public init(pixels: Int, channels: Int, _ state: StatisticsState) {
    (self.pixels, self.channels, self.state) = (pixels, channels, state)
  }

  /// The bytes that `add` works in.
  public func workspaceByteCount(_ workers: Workers) -> Int { workers.count * perWorker * 8 }
  /// The ends, the sums of `rows` pixels that lie side by side, and the counts.
  private var perWorker: Int { firstCounted + countedBins }
  private var firstCounted: Int { 2 + rows * channels }
  /// So many pixels are summed side by side that there are a few vectors of numbers.
  private var rows: Int { channels < 8 ? 8 : 1 }
  private var countedBins: Int { state.hasHistogram ? StatisticsState.binCount : 0 }

  /// Adds the numbers of a tensor to what is known. Where one is not finite, an end of the range is not.
  /// - Parameters:
  ///   - x: `[pixels, channels]`.
  ///   - known: a state; `result` is the next one, and may not be the same memory.
  ///   - workspace: `workspaceByteCount` bytes.
  public func add(
    _ x: UnsafePointer<Float>, to known: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let perWorker = perWorker, all = workspace.assumingMemoryBound(to: Double.self)
    all.update(repeating: 0, count: workers.count * perWorker)
    workers.forEachRange(of: pixels, grain: 16) { range, worker in
      let own = all + worker * perWorker, numbers = range.lowerBound * channels..<range.upperBound * channels
      noteRange(x, numbers, own)
      if state.hasSums { addUp(x, numbers, own + 2) }
      if state.hasHistogram {
        let counts = own + firstCounted
        for index in numbers { counts[StatisticsState.bin(of: x[index])] += 1 }
      }
    }
    func total(_ index: Int) -> Double { (0..<workers.count).reduce(0) { $0 + all[$1 * perWorker + index] } }
    state.setRange(
      (0..<workers.count).map { (Float(all[$0 * perWorker]), Float(all[$0 * perWorker + 1])) }, known, result)
    let first = StatisticsState.rangeCount
    for bin in 0..<countedBins { result[first + bin] = known[first + bin] + Float(total(firstCounted + bin)) }
    guard let sums = state.firstSum else { return }
    for channel in 0..<channels {
      let sum = (0..<rows).reduce(0) { $0 + total(2 + $1 * channels + channel) }
      result[sums + channel] = known[sums + channel] + Float(sum)
    }
    result[sums + channels] = known[sums + channels] + Float(pixels)
  }

  /// Adds the numbers of whole pixels to sums, `rows` pixels at a time.
  private func addUp(_ x: UnsafePointer<Float>, _ range: Range<Int>, _ sums: UnsafeMutablePointer<Double>) {
    let width = rows * channels, raw = UnsafeMutableRawPointer(sums)
    for first in stride(from: range.lowerBound, to: range.upperBound, by: width) {
      let count = min(width, range.upperBound - first)
      var index = 0
      while index + 8 <= count {
        let numbers = UnsafeRawPointer(x + first + index).loadUnaligned(as: SIMD8<Float>.self)
        let sum = (raw + index * 8).loadUnaligned(as: SIMD8<Double>.self) + SIMD8<Double>(numbers)
        (raw + index * 8).storeBytes(of: sum, as: SIMD8<Double>.self)
        index += 8
      }
      for index in index..<count { sums[index] += Double(x[first + index]) }
    }
  }

  /// Notes the smallest and the largest of some numbers and 0; NaN where one is.
  private func noteRange(_ x: UnsafePointer<Float>, _ range: Range<Int>, _ ends: UnsafeMutablePointer<Double>) {
    var low = SIMD8<Float>(), high = SIMD8<Float>(), zeros = SIMD8<Float>()
    var index = range.lowerBound
    while index + 8 <= range.upperBound {
      let v = UnsafeRawPointer(x + index).loadUnaligned(as: SIMD8<Float>.self)
      low.replace(with: v, where: v .< low)
      high.replace(with: v, where: v .> high)
      zeros += v * 0
      index += 8
    }
    var (smallest, largest, zero) = (low.min(), high.max(), zeros.sum())
    for index in index..<range.upperBound {
      (smallest, largest, zero) = (min(smallest, x[index]), max(largest, x[index]), zero + x[index] * 0)
    }
    // 0 times a number that is not finite is NaN.
    (ends[0], ends[1]) = (Double(smallest + zero), Double(largest + zero))
  }
}

/// Floats in which statistics of a tensor are kept: the ends of its range, and where they are wanted the counts of a histogram,
/// and the channels' sums with the number of pixels behind them. All of them 0 know nothing, so every range holds 0.
///
/// A bin is a sign, an exponent from -24 to 23 and the first six bits behind the point: a 64th of its numbers wide.
public struct StatisticsState: Hashable, Sendable {
  /// Whether there is a histogram.
  public let hasHistogram: Bool
  /// The channels that there are sums of; nil where there are none.
  public let summedChannels: Int?

  /// The floats of a range.
  static let rangeCount = 2

  /// What is kept.
  public init(hasHistogram: Bool, summedChannels: Int?) {
    (self.hasHistogram, self.summedChannels) = (hasHistogram, summedChannels)
  }

  /// The counts of the bins; none where there is no histogram.
  public func counts(_ state: UnsafeBufferPointer<Float>) -> Slice<UnsafeBufferPointer<Float>> {
    state[countPlaces]
  }

  /// The places of the counts.
  var countPlaces: Range<Int> { Self.rangeCount..<countEnd }
  var hasSums: Bool { summedChannels != nil }
  /// The place of the first sum.
  var firstSum: Int? { hasSums ? countEnd : nil }
  private var countEnd: Int { Self.rangeCount + (hasHistogram ? Self.binCount : 0) }
  /// How many floats.
  public var count: Int { countEnd + (summedChannels.map { $0 + 1 } ?? 0) }

  /// The mean of each channel; none where there are no sums, or no pixels.
  public func means(_ state: UnsafeBufferPointer<Float>) -> [Float] {
    guard let firstSum, let pixels = state.last, pixels > 0 else { return [] }
    return state[firstSum...].dropLast().map { $0 / pixels }
  }

  /// Widens a range by others.
  func setRange(
    _ others: [(Float, Float)], _ known: UnsafePointer<Float>, _ result: UnsafeMutablePointer<Float>
  ) {
    var (low, high) = (known[0], known[1])
    for (smallest, largest) in others {
      // NaN stays.
      low = low.isNaN || smallest.isNaN ? .nan : min(low, smallest)
      high = high.isNaN || largest.isNaN ? .nan : max(high, largest)
    }
    (result[0], result[1]) = (low, high)
  }

  // MARK: - Bins

  /// The exponents that have bins of their own; smaller numbers fall into the bin of 0, larger ones into the last.
  static let exponents = -24..<24
  static let binsPerOctave = 64
  /// Bins of one sign, that of 0 first.
  static let binsPerSign = 1 + exponents.count * binsPerOctave
  /// The bins of both signs, negative numbers first, those farthest from 0 first.
  public static let binCount = 2 * binsPerSign

  /// A float's bits behind the sign, less the last ones so that six remain behind the point, are this much above its place
  /// among the bins of its sign.
  static let firstPattern = (exponents.lowerBound + 127) * binsPerOctave - 1

  /// The bin of a number; NaN is in an outermost one.
  @inline(__always)
  static func bin(of x: Float) -> Int {
    let place = min(max(Int(x.magnitude.bitPattern >> 17) - firstPattern, 0), binsPerSign - 1)
    return x.sign == .minus ? binsPerSign - 1 - place : binsPerSign + place
  }

  /// The bins of all numbers between two, of which the first is not above 0 and the second not below; of 0 there are two.
  static func bins(from low: Float, to high: Float) -> ClosedRange<Int> {
    min(bin(of: low), binsPerSign - 1)...max(bin(of: high), binsPerSign)
  }

  /// The middle of a bin.
  public static func center(ofBin bin: Int) -> Float {
    let place = bin < binsPerSign ? binsPerSign - 1 - bin : bin - binsPerSign
    if place == 0 { return 0 }
    let magnitude = Float(bitPattern: UInt32((place + firstPattern) << 17 | 1 << 16))
    return bin < binsPerSign ? -magnitude : magnitude
  }
}
