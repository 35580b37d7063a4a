import CNNCore
import CNNRuntime

/// `TensorStatistics` of a blocked tensor by generated code, which reads each stretch of pixels once.
public struct BlockedStatistics: Sendable {
  private let state: StatisticsState
  private let tensor: BlockedTensor
  /// Range and sums of a stretch; how tensors are cut into these, and where they are put.
  private let pass: StreamPass
  /// The same with a histogram; nil where there is none, or so few numbers that counters cost more than they save.
  private let histogram: BlockKernels?

  /// What there is of each channel of a stretch.
  private enum Part { static let minimum = 0, maximum = 1, sum = 2 }

  /// Numbers of a tensor that are counted one by one.
  private static let fewNumbers = 4096
  private static func areFew(_ tensor: BlockedTensor) -> Bool { tensor.pixels * tensor.channels <= fewNumbers }
  private var areFew: Bool { Self.areFew(tensor) }

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
    guard state.hasHistogram, !Self.areFew(tensor) else {
      histogram = nil
      return
    }
    let last = kernel(channels: tensor.channels - (tensor.blocks - 1) * BlockedTensor.blockChannels)
    histogram = BlockKernels(
      whole: tensor.blocks > 1 ? kernel(channels: BlockedTensor.blockChannels) : last, last: last)
  }

  /// How many cycles each of the workers will take for so many numbers, measured.
  public static func cycles(_ count: Int, _ state: StatisticsState, _ workers: Workers) -> Double {
    Double(count) * (state.hasHistogram ? 1.2 : 0.3) / Double(workers.count)
  }

  /// What one worker has seen. Behind it lies how many numbers fell into each bin, and its counters.
  private struct Seen {
    var low: Float = 0, high: Float = 0
    /// Sixteens of bins that its numbers fell into; none where one was none.
    private(set) var bins = 0..<0

    mutating func note(_ low: Float, _ high: Float, isNumber: Bool) {
      // NaN stays.
      let isNumber = isNumber && !self.low.isNaN
      self.low = isNumber ? min(self.low, low) : .nan
      self.high = isNumber ? max(self.high, high) : .nan
    }

    mutating func findBins() {
      if low.isNaN { return }
      let bins = StatisticsState.bins(from: low, to: high)
      self.bins = bins.lowerBound / 16..<bins.upperBound / 16 + 1
    }

    static let byteCount = 64
  }

  /// The bins, in whole sixteens, and those that some kernels read or write beyond them.
  private static let roundedBins = (StatisticsState.binCount + 15) / 16 * 16
  private static let binByteCount = (roundedBins + 16) * 4
  private static let counterByteCount = (roundedBins + 16) * HistogramKernel.binByteCount
  private var workerByteCount: Int {
    Seen.byteCount + (state.hasHistogram ? Self.binByteCount : 0) + (histogram != nil ? Self.counterByteCount : 0)
  }
  private var firstWorker: Int { (pass.sumByteCount + 63) / 64 * 64 }
  /// As many of the workers as there is work for.
  private func workerCount(_ workers: Workers) -> Int { areFew ? 1 : min(workers.count, pass.unitCount) }

  /// The bytes it works in.
  public func workspaceByteCount(_ workers: Workers) -> Int { firstWorker + workers.count * workerByteCount }

  /// Adds the numbers of a tensor to what is known; see `TensorStatistics.add`.
  public func add(
    _ x: UnsafeRawPointer, to known: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let count = workerCount(workers), all = workspace + firstWorker, counts = state.countPlaces
    // Few numbers are looked at before another thread would have begun.
    workers.share(areFew ? 1 : pass.unitCount) { worker, next in
      let own = all + worker * workerByteCount
      let share = counts.count * worker / count..<counts.count * (worker + 1) / count
      (result + counts.lowerBound + share.lowerBound).update(
        from: known + counts.lowerBound + share.lowerBound, count: share.count)
      look(at: x, workspace, own) { areFew ? next().map { _ in 0..<pass.unitCount } : next() }
    }
    var seen = Seen()
    for worker in 0..<count {
      let other = (all + worker * workerByteCount).load(as: Seen.self)
      seen.note(other.low, other.high, isNumber: !other.low.isNaN)
    }
    state.setRange([(seen.low, seen.high)], known, result)
    if let sums = state.firstSum {
      for channel in stride(from: 0, to: tensor.channels, by: BlockedTensor.blockChannels) {
        let total = pass.total(Part.sum, block: channel / BlockedTensor.blockChannels, workspace)
        for lane in 0..<min(BlockedTensor.blockChannels, tensor.channels - channel) {
          result[sums + channel + lane] = known[sums + channel + lane] + Float(total[lane])
        }
      }
      result[sums + tensor.channels] = known[sums + tensor.channels] + Float(tensor.pixels)
    }
    seen.findBins()
    if state.hasHistogram { sumUp(seen.bins, all, count, known, result) }
  }

  /// What one worker does: it looks at stretches as long as there are any, and sums up its own counters.
  private func look(
    at x: UnsafeRawPointer, _ sums: UnsafeMutableRawPointer, _ own: UnsafeMutableRawPointer,
    _ next: () -> Range<Int>?
  ) {
    var seen = Seen()
    let bins = own + Seen.byteCount, counters = bins + Self.binByteCount
    if histogram != nil {
      counters.initializeMemory(as: UInt8.self, repeating: 0, count: Self.counterByteCount)
    }
    while let units = next() {
      for unit in units {
        observe(unit, x, sums, counters)
        let least = pass.value(Part.minimum, ofUnit: unit, sums), most = pass.value(Part.maximum, ofUnit: unit, sums)
        let sum = pass.value(Part.sum, ofUnit: unit, sums), block = pass.place(ofUnit: unit).block
        for lane in 0..<min(BlockedTensor.blockChannels, tensor.channels - block * BlockedTensor.blockChannels) {
          seen.note(least[lane], most[lane], isNumber: !sum[lane].isNaN)
        }
      }
    }
    seen.findBins()
    own.storeBytes(of: seen, as: Seen.self)
    guard state.hasHistogram else { return }
    if histogram != nil { Self.sumUp(counters, seen.bins, bins) } else { countOneByOne(x, seen.bins, bins) }
  }

  /// Looks at a stretch of pixels.
  private func observe(
    _ unit: Int, _ x: UnsafeRawPointer, _ sums: UnsafeMutableRawPointer, _ counters: UnsafeMutableRawPointer
  ) {
    guard let histogram else { return pass.run(StreamPass.Operands(x).sums(sums), unit: unit) }
    let (block, first, pixels) = pass.place(ofUnit: unit)
    var arguments = HistogramArguments(
      x: x + block * tensor.blockByteCount + first * BlockedTensor.pixelByteCount, counts: counters, pixels: pixels,
      ranges: pass.sums(ofUnit: unit, sums))
    histogram(isLast: block == tensor.blocks - 1, &arguments)
  }

  /// Sums up the counters of each of some bins, in sixteens.
  private static func sumUp(_ counters: UnsafeMutableRawPointer, _ range: Range<Int>, _ bins: UnsafeMutableRawPointer) {
    let size = HistogramKernel.binByteCount, zero = StatisticsState.binsPerSign, extra = HistogramKernel.zeroBins - 1
    /// Adds the counters of 0 that have no place among the bins to those that have.
    func gather(_ extras: Range<Int>, into bin: Int) {
      for other in extras {
        let sum =
          (counters + bin * size).load(as: SIMD4<UInt32>.self) &+ (counters + other * size).load(as: SIMD4<UInt32>.self)
        (counters + bin * size).storeBytes(of: sum, as: SIMD4<UInt32>.self)
      }
    }
    gather(zero..<zero + extra, into: zero - 1)
    gather(zero + extra..<zero + 2 * extra, into: zero + HistogramKernel.gap)
    /// Four bins at a time; what is written behind the last is written again, or read by nobody.
    func sumUp(_ range: Range<Int>, ahead: Int) {
      for bin in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
        let four = (counters + (bin + ahead) * size).loadUnaligned(as: SIMD16<UInt32>.self)
        let pairs = four.evenHalf &+ four.oddHalf
        (bins + bin * 4).storeBytes(of: pairs.evenHalf &+ pairs.oddHalf, as: SIMD4<UInt32>.self)
      }
    }
    let first = range.lowerBound * 16, end = range.upperBound * 16
    sumUp(min(first, zero)..<min(end, zero), ahead: 0)
    sumUp(max(first, zero)..<max(end, zero), ahead: HistogramKernel.gap)
  }

  /// Counts all numbers of the tensor, which fall into some sixteens of bins.
  private func countOneByOne(_ x: UnsafeRawPointer, _ range: Range<Int>, _ bins: UnsafeMutableRawPointer) {
    if range.isEmpty { return }
    (bins + range.lowerBound * 64).initializeMemory(as: UInt8.self, repeating: 0, count: range.count * 64)
    let counts = bins.assumingMemoryBound(to: UInt32.self)
    for block in 0..<tensor.blocks {
      let lanes = min(BlockedTensor.blockChannels, tensor.channels - block * BlockedTensor.blockChannels)
      let numbers = (x + block * tensor.blockByteCount).assumingMemoryBound(to: Float.self)
      for pixel in 0..<tensor.pixels {
        for lane in 0..<lanes {
          counts[StatisticsState.bin(of: numbers[pixel * BlockedTensor.blockChannels + lane])] &+= 1
        }
      }
    }
  }

  /// Adds what all workers have counted in some sixteens of bins to what is known.
  private func sumUp(
    _ range: Range<Int>, _ all: UnsafeMutableRawPointer, _ workerCount: Int, _ known: UnsafePointer<Float>,
    _ result: UnsafeMutablePointer<Float>
  ) {
    for sixteen in range {
      var found = SIMD16<UInt32>()
      for worker in 0..<workerCount {
        let own = all + worker * workerByteCount
        guard own.load(as: Seen.self).bins.contains(sixteen) else { continue }
        found &+= (own + Seen.byteCount + sixteen * 64).load(as: SIMD16<UInt32>.self)
      }
      let counts = SIMD16<Float>(found), place = state.countPlaces.lowerBound + sixteen * 16
      if sixteen * 16 + 16 <= StatisticsState.binCount {
        let sums = UnsafeRawPointer(known + place).loadUnaligned(as: SIMD16<Float>.self) + counts
        UnsafeMutableRawPointer(result + place).storeBytes(of: sums, as: SIMD16<Float>.self)
      } else {
        for lane in 0..<StatisticsState.binCount - sixteen * 16 {
          result[place + lane] = known[place + lane] + counts[lane]
        }
      }
    }
  }
}
