import CNNCore

extension Convolution {
  /// The size of the workspace of `biasGradient`.
  /// - Throws: `.outOfMemory` if it overflows.
  public static func biasGradientWorkspaceByteCount(channels: Int, workers: Workers) throws(CNNError) -> Int {
    // A block's sum per worker, beside the worker's own sum.
    let sums = try PartialSums.otherFloatCount(channels, workers: workers)
    return try byteCount(sums, perWorker: cacheLineRounded(channels), workers)
  }

  /// `dBias`, `[channels]`: the sum over the rows of `dy`, `[rows, channels]`. Overwrites `dBias`.
  ///
  /// Rows are summed in blocks first: the rounding error of one long float32 sum grows with its length.
  public static func biasGradient(
    dy: UnsafePointer<Float>, rows: Int, channels: Int, dBias: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let workspace = workspace.assumingMemoryBound(to: Float.self)
    let partials = PartialSums(result: dBias, others: workspace, count: channels)
    let blockSums = workspace + (workers.count - 1) * cacheLineRounded(channels)
    dBias.update(repeating: 0, count: channels)
    workers.forEachRange(of: rows) { range, worker in
      let sum = partials.sum(ofWorker: worker)
      let blockSum = blockSums + worker * cacheLineRounded(channels)
      sum.update(repeating: 0, count: channels)
      for block in stride(from: range.lowerBound, to: range.upperBound, by: 256) {
        blockSum.update(repeating: 0, count: channels)
        for row in block..<min(block + 256, range.upperBound) { add(dy + row * channels, to: blockSum, channels) }
        add(blockSum, to: sum, channels)
      }
    }
    partials.reduce(parts: workers.partCount(of: rows), workers: workers)
  }

  private static func add(_ terms: UnsafePointer<Float>, to sums: UnsafeMutablePointer<Float>, _ count: Int) {
    for i in 0..<count { sums[i] += terms[i] }
  }
}
