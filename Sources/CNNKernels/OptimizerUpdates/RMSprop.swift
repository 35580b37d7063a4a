import CNNRuntime

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

    /// Settings; the defaults are PyTorch's.
    public init(
      learningRate: Double = 1e-2, decay: Double = 0.99, epsilon: Double = 1e-8, momentum: Double = 0,
      centered: Bool = false, convention: Convention = .pytorch
    ) {
      self.learningRate = learningRate
      self.decay = decay
      self.epsilon = epsilon
      self.momentum = momentum
      self.centered = centered
      self.convention = convention
    }
  }

  /// `s = decay * s + (1 - decay) * g²`, then a step along `g / √s`, through a velocity where there is momentum. Each
  /// target has a mean square, a mean where it is centered, and a velocity where there is momentum.
  public static func rmsprop(
    _ targets: [Target], settings: RMSprop, gradientLimit: Float = .infinity, averageDecay: Double = 0,
    workers: Workers
  ) {
    let rule = RMSpropRule(settings: settings, gradientLimit: gradientLimit)
    run(rule, on: targets, averageDecay: averageDecay, workers: workers)
  }

  private struct RMSpropRule: Rule {
    let settings: RMSprop
    let gradientLimit: Float

    struct Kernel: BlockKernel {
      let p, meanSquare: UnsafeMutablePointer<Float>
      let mean, velocity: UnsafeMutablePointer<Float>?
      let gradient: Gradient
      let keep, take, momentum, shrinkage, under, outside, inner, outer: Float

      @inline(__always)
      func callAsFunction<V: Lanes>(at offset: Int, _: V.Type) {
        let old = V.load(p + offset)
        let g = gradient.load(at: offset, parameter: old)
        let s = V(repeating: keep) * V.load(meanSquare + offset) + V(repeating: take) * (g * g)
        s.store(meanSquare + offset)
        var square = s
        if let mean {
          let oldMean = V.load(mean + offset)
          let m = oldMean + V(repeating: take) * (g - oldMean)
          m.store(mean + offset)
          // Rounding can take the variance below zero, which PyTorch turns into NaN.
          square = (s - m * m).rectified
        }
        let divisor = (square + V(repeating: under)).root + V(repeating: outside)
        var direction = V(repeating: inner) * g / divisor
        if let velocity {
          direction = V(repeating: momentum) * V.load(velocity + offset) + direction
          direction.store(velocity + offset)
        }
        (V(repeating: shrinkage) * old - V(repeating: outer) * direction).store(p + offset)
      }
    }

    func kernel(for target: Target, gradient: UnsafePointer<Float>) -> Kernel? {
      guard let meanSquare = target.meanSquare, !settings.centered || target.mean != nil,
        settings.momentum == 0 || target.velocity != nil
      else { return nil }
      // Of the two places of epsilon and of the learning rate the convention uses one each; the other is neutral.
      let isTensorFlows = settings.convention == .tensorFlow
      let epsilon = Float(settings.epsilon), rate = Float(settings.learningRate)
      return Kernel(
        p: target.values, meanSquare: meanSquare, mean: settings.centered ? target.mean : nil,
        velocity: settings.momentum == 0 ? nil : target.velocity,
        gradient: Gradient(target, gradient, limit: gradientLimit), keep: Float(settings.decay),
        take: Float(1 - settings.decay), momentum: Float(settings.momentum),
        shrinkage: target.weightDecay.shrinkage(learningRate: settings.learningRate),
        under: isTensorFlows ? epsilon : 0, outside: isTensorFlows ? 0 : epsilon, inner: isTensorFlows ? rate : 1,
        outer: isTensorFlows ? 1 : rate)
    }
  }
}
