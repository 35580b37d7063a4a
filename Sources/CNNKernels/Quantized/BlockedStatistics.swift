import CNNCore
import CNNRuntime

/// `TensorStatistics` of a blocked tensor by generated code: of each stretch of pixels the range and the sums, and then, while
/// it is in a near cache, the histogram.
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

  /// What one worker has seen; its counters lie behind it.
  private struct Seen {
    var low: Float = 0, high: Float = 0
    /// Those groups of four bins whose counters are cleared. Every range holds 0, so these are without gaps.
    var groups = StatisticsState.binsPerSign / 4..<StatisticsState.binsPerSign / 4

    static let byteCount = 64
  }

  /// The counters of one worker, of a whole number of vectors of four bins.
  private static let countByteCount = (StatisticsState.binCount + 3) / 4 * 4 * HistogramKernel.counters * 4
  private var workerByteCount: Int { Seen.byteCount + (state.hasHistogram ? Self.countByteCount : 0) }
  private var firstWorker: Int { (pass.sumByteCount + 63) / 64 * 64 }
  /// As many of the workers as there is work for.
  private func workerCount(_ workers: Workers) -> Int { min(workers.count, pass.unitCount) }

  /// The bytes it works in.
  public func workspaceByteCount(_ workers: Workers) -> Int { firstWorker + workers.count * workerByteCount }

  /// Adds the numbers of a tensor to what is known; see `TensorStatistics.add`.
  public func add(
    _ x: UnsafeRawPointer, to known: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let count = workerCount(workers), all = workspace + firstWorker, counts = state.countPlaces
    workers.share(pass.unitCount) { worker, next in
      var seen = Seen()
      let own = all + worker * workerByteCount
      let share = counts.count * worker / count..<counts.count * (worker + 1) / count
      (result + counts.lowerBound + share.lowerBound).update(
        from: known + counts.lowerBound + share.lowerBound, count: share.count)
      while let units = next() {
        for unit in units { observe(unit, x, workspace, &seen, own + Seen.byteCount) }
      }
      own.storeBytes(of: seen, as: Seen.self)
    }
    var low: Float = 0, high: Float = 0
    for worker in 0..<count {
      let seen = (all + worker * workerByteCount).load(as: Seen.self)
      (low, high) = low.isNaN || seen.low.isNaN ? (.nan, .nan) : (min(low, seen.low), max(high, seen.high))
    }
    state.setRange([(low, high)], known, result)
    if let sums = state.firstSum {
      for channel in stride(from: 0, to: tensor.channels, by: BlockedTensor.blockChannels) {
        let total = pass.total(Part.sum, block: channel / BlockedTensor.blockChannels, workspace)
        for lane in 0..<min(BlockedTensor.blockChannels, tensor.channels - channel) {
          result[sums + channel + lane] = known[sums + channel + lane] + Float(total[lane])
        }
      }
      result[sums + tensor.channels] = known[sums + tensor.channels] + Float(tensor.pixels)
    }
    // Whose range is none needs no histogram.
    if state.hasHistogram, !low.isNaN { sumUp(low, high, all, known, result, workers) }
  }

  /// Looks at a stretch of pixels: at its range and sums, and then at how many numbers fall into which bin.
  private func observe(
    _ unit: Int, _ x: UnsafeRawPointer, _ sums: UnsafeMutableRawPointer, _ seen: inout Seen,
    _ counters: UnsafeMutableRawPointer
  ) {
    pass.run(StreamPass.Operands(x).sums(sums), unit: unit)
    let (block, first, pixels) = pass.place(ofUnit: unit), isLast = block == tensor.blocks - 1
    let least = pass.value(Part.minimum, ofUnit: unit, sums), most = pass.value(Part.maximum, ofUnit: unit, sums)
    let sum = pass.value(Part.sum, ofUnit: unit, sums)
    for lane in 0..<min(BlockedTensor.blockChannels, tensor.channels - block * BlockedTensor.blockChannels) {
      // NaN stays.
      let isNumber = !seen.low.isNaN && !sum[lane].isNaN
      seen.low = isNumber ? min(seen.low, least[lane]) : .nan
      seen.high = isNumber ? max(seen.high, most[lane]) : .nan
    }
    guard state.hasHistogram, !seen.low.isNaN, pixels > 0 else { return }
    let groups = Self.groups(from: seen.low, to: seen.high)
    func clear(_ groups: Range<Int>) {
      (counters + groups.lowerBound * 64).initializeMemory(as: UInt8.self, repeating: 0, count: groups.count * 64)
    }
    clear(groups.lowerBound..<seen.groups.lowerBound)
    clear(seen.groups.upperBound..<groups.upperBound)
    seen.groups = groups
    var arguments = HistogramArguments(
      x: x + block * tensor.blockByteCount + first * BlockedTensor.pixelByteCount, counts: counters, pixels: pixels)
    histogram(isLast: isLast, &arguments)
  }

  /// The groups of four bins that numbers between two fall into.
  private static func groups(from low: Float, to high: Float) -> Range<Int> {
    let bins = StatisticsState.bins(from: low, to: high)
    return bins.lowerBound / 4..<bins.upperBound / 4 + 1
  }

  /// Adds all workers' counters to what is known.
  private func sumUp(
    _ low: Float, _ high: Float, _ all: UnsafeMutableRawPointer, _ known: UnsafePointer<Float>,
    _ result: UnsafeMutablePointer<Float>, _ workers: Workers
  ) {
    let groups = Self.groups(from: low, to: high), count = workerCount(workers)
    workers.forEachRange(of: groups.count, grain: 128) { range, _ in
      for group in groups.lowerBound + range.lowerBound..<groups.lowerBound + range.upperBound {
        var found = SIMD16<UInt32>()
        for worker in 0..<count {
          let own = all + worker * workerByteCount
          guard own.load(as: Seen.self).groups.contains(group) else { continue }
          found &+= (own + Seen.byteCount + group * 64).load(as: SIMD16<UInt32>.self)
        }
        let pairs = found.evenHalf &+ found.oddHalf, sums = pairs.evenHalf &+ pairs.oddHalf
        for lane in 0..<min(4, StatisticsState.binCount - group * 4) {
          let place = StatisticsState.rangeCount + group * 4 + lane
          result[place] = known[place] + Float(sums[lane])
        }
      }
    }
  }
}
