/// RMSprop (Hinton, "Neural networks for machine learning", lecture 6e; centered: Graves 2013, equations 38 to 45).
extension OptimizerUpdates {
  /// The settings of one step of `rmsprop`.
  public struct RMSprop: Sendable, Hashable {
    /// Two libraries' readings of RMSprop, which train differently.
    public enum Convention: Sendable, Hashable, CaseIterable {
      /// `ε` is added to the root; the velocity is multiplied by the learning rate when it is applied.
      case pytorch
      /// `ε` is added under the root; the learning rate is part of the velocity. Keras's, and that with which EfficientNet
      /// and MobileNetV3 were trained.
      case tensorFlow
    }

    /// The learning rate.
    public var learningRate: Double
    /// The decay of the running mean of squared gradients (`alpha` in PyTorch, `rho` in Keras).
    public var decay: Double
    /// What keeps the divisor from zero; where it is added depends on `convention`.
    public var epsilon: Double
    /// How much of the last step's velocity is kept; 0 needs no velocity.
    public var momentum: Double
    /// Whether to divide by the running variance instead of the running mean square.
    public var centered: Bool
    /// Where epsilon and learning rate enter.
    public var convention: Convention
    /// How parameters are pulled toward zero.
    public var weightDecay: WeightDecay

    /// Settings; the defaults are PyTorch's.
    public init(
      learningRate: Double = 1e-2, decay: Double = 0.99, epsilon: Double = 1e-8, momentum: Double = 0,
      centered: Bool = false, convention: Convention = .pytorch, weightDecay: WeightDecay = .none
    ) {
      self.learningRate = learningRate
      self.decay = decay
      self.epsilon = epsilon
      self.momentum = momentum
      self.centered = centered
      self.convention = convention
      self.weightDecay = weightDecay
    }
  }

  /// `s = decay * s + (1 - decay) * g²`, then a step along `g / √s`, through a velocity where there is momentum.
  /// - Parameters:
  ///   - mean: the running mean of gradients; `nil` only when not centered.
  ///   - velocity: `nil` only without momentum.
  public static func rmsprop(
    parameter p: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    meanSquare: UnsafeMutablePointer<Float>, mean: UnsafeMutablePointer<Float>?,
    velocity: UnsafeMutablePointer<Float>?, count: Int, settings: RMSprop, gradientScale: Float = 1,
    gradientLimit: Float = .infinity,
    workers: Workers
  ) {
    let keep = Float(settings.decay)
    let take = Float(1 - settings.decay)
    let decay = settings.weightDecay.gradientTerm
    let shrinkage = settings.weightDecay.shrinkage(learningRate: settings.learningRate)
    let momentum = Float(settings.momentum)
    // Of the two places of epsilon and of the learning rate the convention uses one each; the other is neutral.
    let tensorFlow = settings.convention == .tensorFlow
    let under = tensorFlow ? Float(settings.epsilon) : 0
    let outside = tensorFlow ? 0 : Float(settings.epsilon)
    let inner = tensorFlow ? Float(settings.learningRate) : 1
    let outer = tensorFlow ? 1 : Float(settings.learningRate)

    @inline(__always)
    func run(square: (_ i: Int, _ g: Float, _ s: Float) -> Float, step: (_ i: Int, _ direction: Float) -> Float) {
      forEachElement(count, workers) { i in
        let g = limited(gradient[i] * gradientScale, gradientLimit) + decay * p[i]
        let s = keep * meanSquare[i] + take * (g * g)
        meanSquare[i] = s
        let divisor = root(square(i, g, s) + under) + outside
        p[i] = shrinkage * p[i] - outer * step(i, inner * g / divisor)
      }
    }

    @inline(__always)
    func run(square: (_ i: Int, _ g: Float, _ s: Float) -> Float) {
      if let velocity, momentum != 0 {
        run(square: square) { i, direction in
          let v = momentum * velocity[i] + direction
          velocity[i] = v
          return v
        }
      } else {
        run(square: square) { _, direction in direction }
      }
    }

    if let mean, settings.centered {
      run { i, g, s in
        let m = mean[i] + take * (g - mean[i])
        mean[i] = m
        // Rounding can take the variance below zero, which PyTorch turns into NaN.
        let variance = s - m * m
        return variance < 0 ? 0 : variance
      }
    } else {
      run { _, _, s in s }
    }
  }
}
