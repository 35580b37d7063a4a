import CNNRuntime

/// Weighted sums of elements along an axis.
public enum Resizing {
  /// `y[r, i] = Σ weights[t] * x[r, indices[t]]` over the taps `t` in `offsets[i]..<offsets[i + 1]`, elements of `step`
  /// floats: `x` is [rows, length, step], `y` [rows, offsets.count - 1, step].
  public static func apply(
    _ x: UnsafePointer<Float>, offsets: [Int], indices: [Int], weights: [Float], rows: Int, length: Int, step: Int,
    into y: UnsafeMutablePointer<Float>, workers: Workers
  ) {
    let size = offsets.count - 1
    indices.withUnsafeBufferPointer { indices in
      weights.withUnsafeBufferPointer { weights in
        workers.forEachRange(of: rows * size, grain: Workers.grainOfRows(channels: step)) { range, _ in
          for item in range {
            let element = item % size
            let taps = WeightedSum(
              x: x + item / size &* length &* step, indices: indices, weights: weights,
              taps: offsets[element]..<offsets[element &+ 1], step: step, y: y + item &* step)
            forEachBlock(of: 0..<step, taps)
          }
        }
      }
    }
  }
}

private struct WeightedSum: BlockKernel {
  let x: UnsafePointer<Float>
  let indices: UnsafeBufferPointer<Int>
  let weights: UnsafeBufferPointer<Float>
  let taps: Range<Int>
  let step: Int
  let y: UnsafeMutablePointer<Float>

  @inline(__always) func callAsFunction<V: Lanes>(at i: Int, _: V.Type) {
    var sum = V.zero
    for tap in taps { sum = sum + V.load(x + (indices[tap] &* step &+ i)) * V(repeating: weights[tap]) }
    sum.store(y + i)
  }
}
