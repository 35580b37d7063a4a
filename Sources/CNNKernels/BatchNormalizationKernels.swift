import CNNRuntime

/// Batch normalisation (Ioffe and Szegedy 2015) of a [rows, channels] tensor, where rows = images * height * width,
/// with an addition and a relu that may follow it: `y = relu((x - mean) / √(variance + epsilon) * gamma + beta + residual)`.
///
/// All per-channel vectors are [channels]. `workspace` holds `workspaceByteCount(channels:workers:)` bytes everywhere.
public enum BatchNormalizationKernels {
  /// The bytes of workspace that every function here needs.
  public static func workspaceByteCount(channels: Int, workers: Workers) -> Int {
    workers.count * Moments.stride(channels) * MemoryLayout<Double>.size
  }

  /// Normalises by the statistics of `x` itself.
  ///
  /// Writes `mean`, the biased `variance` and `inverseDeviation = 1 / √(variance + epsilon)` of the batch beside `y`.
  /// `residual` is [rows, channels] or absent. `y` may be `x` or `residual`. `rows` is at least 1.
  public static func trainingForward(
    _ x: UnsafePointer<Float>, rows: Int, channels: Int, gamma: UnsafePointer<Float>, beta: UnsafePointer<Float>,
    epsilon: Float, residual: UnsafePointer<Float>? = nil, relu: Bool = false, into y: UnsafeMutablePointer<Float>,
    mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    inverseDeviation: UnsafeMutablePointer<Float>, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    moments(x, rows, channels, mean, variance, workspace, workers)
    invert(variance, epsilon, inverseDeviation, channels)
    normalize(x, rows, channels, mean, inverseDeviation, gamma, beta, residual, relu, y, workspace, workers)
  }

  /// Normalises by given statistics, for prediction and frozen layers. `y` may be `x` or `residual`.
  public static func inference(
    _ x: UnsafePointer<Float>, rows: Int, channels: Int, gamma: UnsafePointer<Float>, beta: UnsafePointer<Float>,
    mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, epsilon: Float, residual: UnsafePointer<Float>? = nil,
    relu: Bool = false, into y: UnsafeMutablePointer<Float>, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let inverseDeviation = workspace.assumingMemoryBound(to: Float.self) + 2 * channels
    invert(variance, epsilon, inverseDeviation, channels)
    normalize(x, rows, channels, mean, inverseDeviation, gamma, beta, residual, relu, y, workspace, workers)
  }

  /// `running = (1 - momentum) * running + momentum * batch`; with `unbiased` the running variance takes up
  /// `n / (n - 1)` times the batch's, as PyTorch's. One row has no unbiased variance: the batch's, 0, stands for it, as
  /// in Keras.
  public static func runningUpdate(
    mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, rows: Int, channels: Int, momentum: Float,
    unbiased: Bool, runningMean: UnsafeMutablePointer<Float>, runningVariance: UnsafeMutablePointer<Float>
  ) {
    let correction = unbiased && rows > 1 ? Float(Double(rows) / Double(rows - 1)) : 1
    for c in 0..<channels {
      runningMean[c] = (1 - momentum) * runningMean[c] + momentum * mean[c]
      runningVariance[c] = (1 - momentum) * runningVariance[c] + momentum * (variance[c] * correction)
    }
  }

  /// `inverseDeviation = 1 / √(variance + epsilon)`
  static func invert(
    _ variance: UnsafePointer<Float>, _ epsilon: Float, _ inverseDeviation: UnsafeMutablePointer<Float>,
    _ channels: Int
  ) {
    for c in 0..<channels { inverseDeviation[c] = Float(1 / (Double(variance[c]) + Double(epsilon)).squareRoot()) }
  }

  /// Calls `body` for strips of at least `minimum` rows, over which blocks of channels then pass from top to bottom.
  ///
  /// A strip is at most a page of memory: long enough to keep per-channel values in registers for a while, short enough
  /// that memory is read nearly in order, as prefetching needs, and that no load is 4 KiB after a recent store, which
  /// the processor would take for the same address.
  @inline(__always)
  static func forEachStrip(
    of range: Range<Int>, channels: Int, minimum: Int, _ body: (_ rows: Range<Int>) -> Void
  ) {
    forEachPart(of: range, size: max(minimum, 1024 / max(1, channels)), body)
  }

  /// Calls `body` for strips of rows to which nothing is done but a few multiplications by per-channel values: long
  /// rows are better taken in order, one at a time.
  @inline(__always)
  static func forEachStrip(of range: Range<Int>, channels: Int, _ body: (_ rows: Range<Int>) -> Void) {
    forEachPart(of: range, size: channels <= 128 ? 1024 / max(1, channels) : 1, body)
  }

  /// Calls `body` for chunks of rows few enough to be summed in single precision.
  @inline(__always)
  static func forEachChunk(of range: Range<Int>, _ body: (_ rows: Range<Int>) -> Void) {
    forEachPart(of: range, size: 256, body)
  }

  @inline(__always)
  private static func forEachPart(of range: Range<Int>, size: Int, _ body: (_ part: Range<Int>) -> Void) {
    var first = range.lowerBound
    while first < range.upperBound {
      let end = min(first + size, range.upperBound)
      body(first..<end)
      first = end
    }
  }

  private static func moments(
    _ x: UnsafePointer<Float>, _ rows: Int, _ channels: Int, _ mean: UnsafeMutablePointer<Float>,
    _ variance: UnsafeMutablePointer<Float>, _ workspace: UnsafeMutableRawPointer, _ workers: Workers
  ) {
    for worker in 0..<workers.count { Moments(workspace, worker, channels).clear() }
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, worker in
      let moments = Moments(workspace, worker, channels)
      forEachChunk(of: range) { chunk in moments.add(x, rows: chunk) }
    }
    let total = Moments(workspace, 0, channels)
    for worker in 1..<max(1, workers.count) { total.merge(Moments(workspace, worker, channels)) }
    for c in 0..<channels {
      mean[c] = Float(total.mean[c])
      variance[c] = Float(total.squares[c] / Double(rows))
    }
  }

  private static func normalize(
    _ x: UnsafePointer<Float>, _ rows: Int, _ channels: Int, _ mean: UnsafePointer<Float>,
    _ inverseDeviation: UnsafePointer<Float>, _ gamma: UnsafePointer<Float>, _ beta: UnsafePointer<Float>,
    _ residual: UnsafePointer<Float>?, _ relu: Bool, _ y: UnsafeMutablePointer<Float>,
    _ workspace: UnsafeMutableRawPointer, _ workers: Workers
  ) {
    let scale = workspace.assumingMemoryBound(to: Float.self)
    let shift = scale + channels
    for c in 0..<channels {
      scale[c] = gamma[c] * inverseDeviation[c]
      shift[c] = Float(Double(beta[c]) - Double(mean[c]) * Double(scale[c]))
    }
    workers.forEachRange(of: rows, grain: Workers.grainOfRows(channels: channels)) { range, _ in
      forEachStrip(of: range, channels: channels) { strip in
        forEachBlock(
          of: 0..<channels,
          Normalize(
            x: x, rows: strip, channels: channels, scale: scale, shift: shift, residual: residual, relu: relu, y: y))
      }
    }
  }
}

private struct Normalize: BlockKernel {
  let x: UnsafePointer<Float>
  let rows: Range<Int>
  let channels: Int
  let scale: UnsafePointer<Float>
  let shift: UnsafePointer<Float>
  let residual: UnsafePointer<Float>?
  let relu: Bool
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let scale = V.load(self.scale + channel)
    let shift = V.load(self.shift + channel)
    var offset = rows.lowerBound &* channels &+ channel
    for _ in 0..<rows.count {
      var value = V.load(x + offset) * scale + shift
      if let residual { value = value + V.load(residual + offset) }
      if relu { value = value.rectified }
      value.store(y + offset)
      offset &+= channels
    }
  }
}

/// The number of rows one worker has seen, their mean, and the sum of their squared differences from it, in double
/// precision; and three vectors of floats for the chunk of rows at hand.
private struct Moments {
  let count: UnsafeMutablePointer<Double>
  let mean: UnsafeMutablePointer<Double>
  let squares: UnsafeMutablePointer<Double>
  let chunk: ChunkSums
  let channels: Int

  /// The size in doubles.
  static func stride(_ channels: Int) -> Int { 1 + 4 * channels }

  init(_ workspace: UnsafeMutableRawPointer, _ worker: Int, _ channels: Int) {
    count = workspace.assumingMemoryBound(to: Double.self) + worker * Moments.stride(channels)
    mean = count + 1
    squares = mean + channels
    let floats = UnsafeMutableRawPointer(squares + channels).assumingMemoryBound(to: Float.self)
    chunk = ChunkSums(shift: floats, sum: floats + channels, squares: floats + 2 * channels)
    self.channels = channels
  }

  func clear() { count.update(repeating: 0, count: Moments.stride(channels)) }

  /// Adds a chunk of rows.
  ///
  /// The sums are of differences from the mean of the rows before (of the first chunk, from its own): where that is far
  /// from the mean of this chunk the distance is part of the final variance too, so cancellation cannot lose it.
  @inline(__always) func add(_ x: UnsafePointer<Float>, rows: Range<Int>) {
    let newCount = Double(rows.count)
    for c in 0..<channels { chunk.shift[c] = Float(mean[c]) }
    if count.pointee == 0 {
      sum(x, rows)
      for c in 0..<channels { chunk.shift[c] = Float(Double(chunk.sum[c]) / newCount) }
    }
    sum(x, rows)
    for c in 0..<channels {
      let difference = Double(chunk.sum[c]) / newCount
      let centred = Double(chunk.squares[c]) - Double(chunk.sum[c]) * difference
      merge(c, mean: Double(chunk.shift[c]) + difference, squares: centred < 0 ? 0 : centred, count: newCount)
    }
    count.pointee += newCount
  }

  @inline(__always) private func sum(_ x: UnsafePointer<Float>, _ rows: Range<Int>) {
    chunk.sum.update(repeating: 0, count: 2 * channels)
    BatchNormalizationKernels.forEachStrip(of: rows, channels: channels, minimum: 2) { strip in
      forEachBlock(of: 0..<channels, AddRows(x: x, rows: strip, channels: channels, chunk: chunk))
    }
  }

  func merge(_ other: Moments) {
    if other.count.pointee == 0 { return }
    for c in 0..<channels {
      merge(c, mean: other.mean[c], squares: other.squares[c], count: other.count.pointee)
    }
    count.pointee += other.count.pointee
  }

  /// Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
  @inline(__always)
  private func merge(_ c: Int, mean otherMean: Double, squares otherSquares: Double, count other: Double) {
    let share = other / (count.pointee + other)
    let difference = otherMean - mean[c]
    mean[c] += difference * share
    squares[c] += otherSquares + difference * difference * (count.pointee * share)
  }
}

/// Sums over a chunk of rows of the differences from `shift`, and of their squares.
private struct ChunkSums {
  let shift: UnsafeMutablePointer<Float>
  let sum: UnsafeMutablePointer<Float>
  let squares: UnsafeMutablePointer<Float>
}

private struct AddRows: BlockKernel {
  let x: UnsafePointer<Float>
  let rows: Range<Int>
  let channels: Int
  let chunk: ChunkSums

  @inline(__always) func callAsFunction<V: Lanes>(at channel: Int, _: V.Type) {
    let shift = V.load(chunk.shift + channel)
    var sum = V.load(chunk.sum + channel)
    var squares = V.load(chunk.squares + channel)
    var pointer = x + (rows.lowerBound &* channels &+ channel)
    for _ in 0..<rows.count {
      let difference = V.load(pointer) - shift
      sum = sum + difference
      squares = squares + difference * difference
      pointer += channels
    }
    sum.store(chunk.sum + channel)
    squares.store(chunk.squares + channel)
  }
}
