import CNNRuntime

/// One step of an optimizer over all parameters: flat float32 arrays, each with its gradient and the optimizer's own
/// arrays ("slots"), updated in place. Slots start as zeros.
///
/// The formulas are PyTorch's. Settings are doubles, and constants such as `1 - beta` are formed in double precision and
/// rounded once, as there. Every gradient is first multiplied by its scale and held within `±gradientLimit`, so that
/// clipping costs no pass of its own, and where there is a moving average it follows while the weights are at hand. Every
/// element is computed alone: the result does not depend on the number of workers.
public enum OptimizerUpdates {
  /// How parameters are pulled toward zero.
  public enum WeightDecay: Sendable, Hashable {
    /// Not at all.
    case none
    /// The derivative of `strength / 2 * Σ p²` is added to the gradient.
    case l2(strength: Double)
    /// The parameter is multiplied by `1 - learningRate * strength` before the step (Loshchilov and Hutter 2019).
    case decoupled(strength: Double)

    /// What multiplies the parameter when it is added to the gradient.
    var gradientTerm: Float {
      if case .l2(let strength) = self { Float(strength) } else { 0 }
    }

    /// What multiplies the parameter before the step.
    func shrinkage(learningRate: Double) -> Float {
      if case .decoupled(let strength) = self { Float(1 - learningRate * strength) } else { 1 }
    }
  }

  /// A parameter and what an update needs of it; all arrays have `count` elements.
  public struct Target {
    /// The parameter.
    public var values: UnsafeMutablePointer<Float>
    /// Its number of elements.
    public var count: Int
    /// Its gradient; nil where it is not trained and only its average follows.
    public var gradient: UnsafePointer<Float>?
    /// What the gradient is multiplied by.
    public var gradientScale: Float
    /// How the parameter is pulled toward zero.
    public var weightDecay: WeightDecay
    /// The slots; those that the rule does not name are nil.
    public var velocity, mean, meanSquare: UnsafeMutablePointer<Float>?
    /// The moving average; nil where none is kept.
    public var average: UnsafeMutablePointer<Float>?

    /// A parameter with its gradient; slots and average are set where there are any.
    public init(
      _ values: UnsafeMutablePointer<Float>, count: Int, gradient: UnsafePointer<Float>?, gradientScale: Float = 1,
      weightDecay: WeightDecay = .none
    ) {
      (self.values, self.count, self.gradient) = (values, count, gradient)
      (self.gradientScale, self.weightDecay) = (gradientScale, weightDecay)
    }
  }

  /// `Σ x²` of each array in double precision, with the same bits for every number of workers. Not finite where an
  /// element is not, and only then.
  public static func sumsOfSquares(of arrays: [UnsafeBufferPointer<Float>], workers: Workers) -> [Double] {
    let pieceLength = 16384
    // One list of pieces, so that it is shared out evenly whatever the sizes of the arrays.
    var pieces: [UnsafeBufferPointer<Float>] = []
    pieces.reserveCapacity(arrays.reduce(0) { $0 + ($1.count + pieceLength - 1) / pieceLength })
    for array in arrays {
      for start in stride(from: 0, to: array.count, by: pieceLength) {
        pieces.append(UnsafeBufferPointer(rebasing: array[start..<min(start + pieceLength, array.count)]))
      }
    }
    var sums = Array(repeating: 0.0, count: pieces.count)
    sums.withUnsafeMutableBufferPointer { sums in
      pieces.withUnsafeBufferPointer { pieces in
        workers.forEachRange(of: pieces.count) { range, _ in
          for index in range { sums[index] = sumOfSquares(pieces[index]) }
        }
      }
    }
    var next = 0
    return arrays.map { array in
      let count = (array.count + pieceLength - 1) / pieceLength
      defer { next += count }
      return sums[next..<next + count].reduce(0, +)
    }
  }

  private static func sumOfSquares(_ x: UnsafeBufferPointer<Float>) -> Double {
    // Four sums hide the time that an addition takes.
    var sums = (SIMD4<Double>(), SIMD4<Double>(), SIMD4<Double>(), SIMD4<Double>())
    guard let base = x.baseAddress else { return 0 }
    @inline(__always)
    func squares(_ index: Int) -> SIMD4<Double> {
      let values = SIMD4<Float>.load(base + index)
      let wide = SIMD4(Double(values.x), Double(values.y), Double(values.z), Double(values.w))
      return wide * wide
    }
    var index = 0
    while index &+ 16 <= x.count {
      sums.0 += squares(index)
      sums.1 += squares(index &+ 4)
      sums.2 += squares(index &+ 8)
      sums.3 += squares(index &+ 12)
      index &+= 16
    }
    var sum = ((sums.0 + sums.1) + (sums.2 + sums.3)).sum()
    while index < x.count {
      sum += Double(base[index]) * Double(base[index])
      index &+= 1
    }
    return sum
  }

  // MARK: - All parameters in one pass

  /// The formula of an optimizer.
  protocol Rule {
    associatedtype Kernel: BlockKernel
    /// The formula on one parameter; nil where an array that it needs is not there.
    func kernel(for target: Target, gradient: UnsafePointer<Float>) -> Kernel?
  }

  /// Few enough floats that what a formula has read and written is still in the first-level cache for the average.
  private static let pieceLength = 1024
  private static let grain = 8192

  /// Updates all parameters and their averages, divided among the workers by their elements.
  /// - Parameter averageDecay: the share of an average that is kept.
  @inline(__always)
  static func run(_ rule: some Rule, on targets: [Target], averageDecay: Double, workers: Workers) {
    // Where each begins in one row of them all. Blocks of 16, so that no worker begins in the middle of a vector.
    var starts = [0]
    starts.reserveCapacity(targets.count + 1)
    for target in targets { starts.append((starts[starts.count - 1] + target.count + 15) / 16 * 16) }
    targets.withUnsafeBufferPointer { targets in
      starts.withUnsafeBufferPointer { starts in
        workers.forEachRange(of: starts[targets.count], grain: grain) { range, _ in
          for index in targets.indices where starts[index] < range.upperBound && starts[index + 1] > range.lowerBound {
            let target = targets[index]
            let kernel = target.gradient.flatMap { rule.kernel(for: target, gradient: $0) }
            let average = target.average.map { Average(average: $0, values: target.values, decay: averageDecay) }
            var start = max(0, range.lowerBound - starts[index])
            let end = min(target.count, range.upperBound - starts[index])
            while start < end {
              let piece = start..<min(start + pieceLength, end)
              if let kernel { forEachBlock(of: piece, kernel) }
              if let average { forEachBlock(of: piece, average) }
              start = piece.upperBound
            }
          }
        }
      }
    }
  }

  /// `average = decay * average + (1 - decay) * p`: the exponential moving average of the weights.
  private struct Average: BlockKernel {
    let average: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let keep, take: Float

    init(average: UnsafeMutablePointer<Float>, values: UnsafeMutablePointer<Float>, decay: Double) {
      (self.average, self.values) = (average, values)
      (keep, take) = (Float(decay), Float(1 - decay))
    }

    @inline(__always)
    func callAsFunction<V: Lanes>(at offset: Int, _: V.Type) {
      let kept = V(repeating: keep) * V.load(average + offset)
      (kept + V(repeating: take) * V.load(values + offset)).store(average + offset)
    }
  }

  /// A gradient as the formulas want it: scaled, held within limits, with the derivative of an L2 penalty added.
  struct Gradient {
    let gradient: UnsafePointer<Float>
    let scale, limit, decay: Float

    init(_ target: Target, _ gradient: UnsafePointer<Float>, limit: Float) {
      (self.gradient, self.limit) = (gradient, limit)
      (scale, decay) = (target.gradientScale, target.weightDecay.gradientTerm)
    }

    @inline(__always)
    func load<V: Lanes>(at offset: Int, parameter p: V) -> V {
      var g = V.load(gradient + offset) * V(repeating: scale)
      if limit < .infinity { g = g.limited(to: limit) }
      return g + V(repeating: decay) * p
    }
  }
}
