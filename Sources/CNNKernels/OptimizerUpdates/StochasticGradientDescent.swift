/// Stochastic gradient descent with momentum, as `torch.optim.SGD` with dampening 0.
extension OptimizerUpdates {
  /// The settings of one step of `stochasticGradientDescent`.
  public struct StochasticGradientDescent: Sendable, Hashable {
    /// The learning rate.
    public var learningRate: Double
    /// How much of the last step's velocity is kept; 0 is plain descent and needs no velocity.
    public var momentum: Double
    /// Whether to step along the velocity that is to come (Sutskever et al. 2013).
    public var nesterov: Bool
    /// Whether the velocity is one of steps, with the learning rate inside, as Keras keeps it, instead of gradients, as
    /// PyTorch: the same while the rate is constant, but after a change of it a velocity of steps still carries the old one.
    public var rateInVelocity: Bool
    /// How parameters are pulled toward zero.
    public var weightDecay: WeightDecay

    /// Settings; the defaults are plain descent.
    public init(
      learningRate: Double, momentum: Double = 0, nesterov: Bool = false, rateInVelocity: Bool = false,
      weightDecay: WeightDecay = .none
    ) {
      self.learningRate = learningRate
      self.rateInVelocity = rateInVelocity
      self.momentum = momentum
      self.nesterov = nesterov
      self.weightDecay = weightDecay
    }
  }

  /// `v = momentum * v + g; p -= learningRate * v`, or with Nesterov's momentum
  /// `p -= learningRate * (g + momentum * v)`; with the rate in the velocity `g` stands for `learningRate * g` and the
  /// other rate is 1.
  /// - Parameter velocity: `nil` only without momentum.
  public static func stochasticGradientDescent(
    parameter p: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
    velocity: UnsafeMutablePointer<Float>?, count: Int, settings: StochasticGradientDescent,
    gradientScale: Float = 1, gradientLimit: Float = .infinity,
    workers: Workers
  ) {
    let rate = Float(settings.learningRate)
    let momentum = Float(settings.momentum)
    let decay = settings.weightDecay.gradientTerm
    let shrinkage = settings.weightDecay.shrinkage(learningRate: settings.learningRate)
    guard let velocity, momentum != 0 else {
      forEachElement(count, workers) { i in
        let g = limited(gradient[i] * gradientScale, gradientLimit) + decay * p[i]
        p[i] = shrinkage * p[i] - rate * g
      }
      return
    }
    let (inner, outer): (Float, Float) = settings.rateInVelocity ? (rate, 1) : (1, rate)
    if settings.nesterov {
      forEachElement(count, workers) { i in
        let g = inner * (limited(gradient[i] * gradientScale, gradientLimit) + decay * p[i])
        let v = momentum * velocity[i] + g
        velocity[i] = v
        p[i] = shrinkage * p[i] - outer * (g + momentum * v)
      }
    } else {
      forEachElement(count, workers) { i in
        let v = momentum * velocity[i] + inner * (limited(gradient[i] * gradientScale, gradientLimit) + decay * p[i])
        velocity[i] = v
        p[i] = shrinkage * p[i] - outer * v
      }
    }
  }
}
