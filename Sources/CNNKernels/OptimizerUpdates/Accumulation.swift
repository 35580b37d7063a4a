import CNNRuntime

/// The mean of the gradients of several steps, with which an optimizer makes one update.
extension OptimizerUpdates {
  /// `sum = (sum + gradient) * scale`: where the scale is 1 the sum grows, at last it becomes the mean.
  public static func accumulate(
    _ gradients: [(gradient: UnsafeBufferPointer<Float>, sum: UnsafeMutableBufferPointer<Float>)], scale: Double,
    workers: Workers
  ) {
    let targets = gradients.compactMap { gradient, sum in
      sum.baseAddress.map { Target($0, count: gradient.count, gradient: gradient.baseAddress) }
    }
    run(Accumulation(scale: Float(scale)), on: targets, averageDecay: 0, workers: workers)
  }

  private struct Accumulation: Rule {
    let scale: Float

    struct Kernel: BlockKernel {
      let sum: UnsafeMutablePointer<Float>
      let gradient: UnsafePointer<Float>
      let scale: Float

      @inline(__always)
      func callAsFunction<V: Lanes>(at offset: Int, _: V.Type) {
        ((V.load(sum + offset) + V.load(gradient + offset)) * V(repeating: scale)).store(sum + offset)
      }
    }

    func kernel(for target: Target, gradient: UnsafePointer<Float>) -> Kernel? {
      Kernel(sum: target.values, gradient: gradient, scale: scale)
    }
  }
}
