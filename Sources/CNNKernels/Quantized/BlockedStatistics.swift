import CNNCore
import CNNRuntime

/// `TensorStatistics` of a blocked tensor by generated code: one pass for the range and the sums, and one for the histogram.
public struct BlockedStatistics: Sendable {
  private let state: StatisticsState
  private let tensor: BlockedTensor
  private let pass: StreamPass
  private let histogram: BlockKernels

  /// What the first pass has of each channel.
  private enum Part { static let minimum = 0, maximum = 1, sum = 2 }

  /// - Parameter tensor: the sizes: of float32, without a border.
  public init(_ tensor: BlockedTensor, _ state: StatisticsState, library: KernelLibrary) {
    (self.tensor, self.state) = (tensor, state)
    var program = StreamProgram("statistics")
    let x = program.load(0)
    program.minimum(x, into: Part.minimum)
    program.maximum(x, into: Part.maximum)
    program.sum(x, into: Part.sum)
    pass = StreamPass(program, tensor, library: library)
    func kernel(channels: Int) -> GeneratedKernel {
      let key = HistogramKernel(target: library.target, channels: channels)
      return library.kernel(key, name: key.name) { key.code() }
    }
    let last = kernel(channels: tensor.channels - (tensor.blocks - 1) * BlockedTensor.blockChannels)
    histogram = BlockKernels(
      whole: tensor.blocks > 1 ? kernel(channels: BlockedTensor.blockChannels) : last, last: last)
  }

  /// How many cycles each of the workers will take for so many numbers, measured.
  public static func cycles(_ count: Int, _ state: StatisticsState, _ workers: Workers) -> Double {
    Double(count) * (state.hasHistogram ? 1.3 : 0.3) / Double(workers.count)
  }

  /// The bins with the counters of one worker, a whole number of vectors of four bins.
  private static let binCount = (StatisticsState.binCount + 3) / 4 * 4
  private static let countByteCount = binCount * HistogramKernel.counters * 4
  private var firstCount: Int { (pass.sumByteCount + 63) / 64 * 64 }

  /// The bytes it works in.
  public func workspaceByteCount(_ workers: Workers) -> Int {
    firstCount + (state.hasHistogram ? workers.count * Self.countByteCount : 0)
  }

  /// Adds the numbers of a tensor to what is known; see `TensorStatistics.add`.
  public func add(
    _ x: UnsafeRawPointer, to known: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    pass.run(StreamPass.Operands(x).sums(workspace), workers: workers)
    var low: Float = 0, high: Float = 0, isNumber = true
    for block in 0..<tensor.blocks {
      let first = block * BlockedTensor.blockChannels, count = min(BlockedTensor.blockChannels, tensor.channels - first)
      let total = pass.total(Part.sum, block: block, workspace)
      let minimum = pass.minimum(Part.minimum, block: block, workspace)
      let maximum = pass.maximum(Part.maximum, block: block, workspace)
      for lane in 0..<count {
        (low, high) = (min(low, minimum[lane]), max(high, maximum[lane]))
        isNumber = isNumber && !total[lane].isNaN
        if let sums = state.firstSum {
          result[sums + first + lane] = known[sums + first + lane] + Float(total[lane])
        }
      }
    }
    if let sums = state.firstSum {
      result[sums + tensor.channels] = known[sums + tensor.channels] + Float(tensor.pixels)
    }
    state.setRange([isNumber ? (low, high) : (.nan, .nan)], known, result)
    guard state.hasHistogram else { return }
    let counts = workspace + firstCount
    let knownCounts = known + StatisticsState.rangeCount, nextCounts = result + StatisticsState.rangeCount
    nextCounts.update(from: knownCounts, count: StatisticsState.binCount)
    // Whose range is none needs no histogram.
    guard isNumber else { return }
    let bins = StatisticsState.bins(from: low, to: high), groups = bins.lowerBound / 4..<bins.upperBound / 4 + 1
    count(x, counts, groups, workers)
    sumUp(counts, groups, knownCounts, nextCounts, workers)
  }

  /// Counts into the workers' own counters.
  /// - Parameter groups: those of four bins that numbers fall into.
  private func count(
    _ x: UnsafeRawPointer, _ counts: UnsafeMutableRawPointer, _ groups: Range<Int>, _ workers: Workers
  ) {
    let pixels = tensor.pixels, all = tensor.blocks * pixels
    workers.run { worker in
      let own = counts + worker * Self.countByteCount
      (own + groups.lowerBound * 64).initializeMemory(as: UInt8.self, repeating: 0, count: groups.count * 64)
      var next = all * worker / workers.count
      let end = all * (worker + 1) / workers.count
      while next < end {
        let (block, pixel) = next.quotientAndRemainder(dividingBy: pixels), count = min(pixels - pixel, end - next)
        var arguments = HistogramArguments(
          x: x + block * tensor.blockByteCount + pixel * BlockedTensor.pixelByteCount, counts: own, pixels: count)
        histogram(isLast: block == tensor.blocks - 1, &arguments)
        next += count
      }
    }
  }

  /// Adds all counters to what is known.
  private func sumUp(
    _ counts: UnsafeMutableRawPointer, _ groups: Range<Int>, _ known: UnsafePointer<Float>,
    _ result: UnsafeMutablePointer<Float>, _ workers: Workers
  ) {
    workers.forEachRange(of: groups.count, grain: 128) { range, _ in
      for group in range {
        let first = (groups.lowerBound + group) * 4
        var all = SIMD16<UInt32>()
        for worker in 0..<workers.count {
          all &+= (counts + worker * Self.countByteCount + first * 16).load(as: SIMD16<UInt32>.self)
        }
        let pairs = all.evenHalf &+ all.oddHalf, sums = pairs.evenHalf &+ pairs.oddHalf
        for lane in 0..<min(4, StatisticsState.binCount - first) {
          result[first + lane] = known[first + lane] + Float(sums[lane])
        }
      }
    }
  }
}
