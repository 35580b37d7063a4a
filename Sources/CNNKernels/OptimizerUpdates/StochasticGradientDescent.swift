import CNNRuntime

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

    /// Settings; the defaults are plain descent.
    public init(
      learningRate: Double, momentum: Double = 0, nesterov: Bool = false, rateInVelocity: Bool = false
    ) {
      self.learningRate = learningRate
      self.rateInVelocity = rateInVelocity
      self.momentum = momentum
      self.nesterov = nesterov
    }
  }

  /// `v = momentum * v + g; p -= learningRate * v`, or with Nesterov's momentum
  /// `p -= learningRate * (g + momentum * v)`; with the rate in the velocity `g` stands for `learningRate * g` and the
  /// other rate is 1. With momentum each target has a velocity.
  public static func stochasticGradientDescent(
    _ targets: [Target], settings: StochasticGradientDescent, gradientLimit: Float = .infinity,
    averageDecay: Double = 0, workers: Workers
  ) {
    if settings.momentum == 0 {
      let rule = PlainDescent(settings: settings, gradientLimit: gradientLimit)
      run(rule, on: targets, averageDecay: averageDecay, workers: workers)
    } else {
      let rule = MomentumDescent(settings: settings, gradientLimit: gradientLimit)
      run(rule, on: targets, averageDecay: averageDecay, workers: workers)
    }
  }

  private struct PlainDescent: Rule {
    let settings: StochasticGradientDescent
    let gradientLimit: Float

    struct Kernel: BlockKernel {
      let p: UnsafeMutablePointer<Float>
      let gradient: Gradient
      let rate, shrinkage: Float

      @inline(__always)
      func callAsFunction<V: Lanes>(at offset: Int, _: V.Type) {
        let old = V.load(p + offset)
        let step = V(repeating: rate) * gradient.load(at: offset, parameter: old)
        (V(repeating: shrinkage) * old - step).store(p + offset)
      }
    }

    func kernel(for target: Target, gradient: UnsafePointer<Float>) -> Kernel? {
      Kernel(
        p: target.values, gradient: Gradient(target, gradient, limit: gradientLimit),
        rate: Float(settings.learningRate),
        shrinkage: target.weightDecay.shrinkage(learningRate: settings.learningRate))
    }
  }

  private struct MomentumDescent: Rule {
    let settings: StochasticGradientDescent
    let gradientLimit: Float

    struct Kernel: BlockKernel {
      let p, velocity: UnsafeMutablePointer<Float>
      let gradient: Gradient
      let momentum, inner, outer, shrinkage: Float
      let nesterov: Bool

      @inline(__always)
      func callAsFunction<V: Lanes>(at offset: Int, _: V.Type) {
        let old = V.load(p + offset)
        let g = V(repeating: inner) * gradient.load(at: offset, parameter: old)
        let v = V(repeating: momentum) * V.load(velocity + offset) + g
        v.store(velocity + offset)
        let direction = nesterov ? g + V(repeating: momentum) * v : v
        (V(repeating: shrinkage) * old - V(repeating: outer) * direction).store(p + offset)
      }
    }

    func kernel(for target: Target, gradient: UnsafePointer<Float>) -> Kernel? {
      guard let velocity = target.velocity else { return nil }
      let rate = Float(settings.learningRate)
      return Kernel(
        p: target.values, velocity: velocity, gradient: Gradient(target, gradient, limit: gradientLimit),
        momentum: Float(settings.momentum), inner: settings.rateInVelocity ? rate : 1,
        outer: settings.rateInVelocity ? 1 : rate,
        shrinkage: target.weightDecay.shrinkage(learningRate: settings.learningRate), nesterov: settings.nesterov)
    }
  }
}
