import CNNRuntime
import Glibc

/// Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), as `torch.optim.Adam` and `torch.optim.AdamW`.
extension OptimizerUpdates {
  /// The settings of one step of `adam`. AdamW is Adam with `.decoupled` weight decay.
  public struct Adam: Sendable, Hashable {
    /// The learning rate.
    public var learningRate: Double
    /// The decay of the running mean of gradients.
    public var beta1: Double
    /// The decay of the running mean of squared gradients.
    public var beta2: Double
    /// Added to the bias-corrected root, outside of it.
    public var epsilon: Double
    /// Whether `epsilon` is added before the bias is corrected, the paper's `ε̂`: as Keras.
    public var addsEpsilonFirst: Bool

    /// Settings; the defaults are PyTorch's.
    public init(
      learningRate: Double = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
      addsEpsilonFirst: Bool = false
    ) {
      self.learningRate = learningRate
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.addsEpsilonFirst = addsEpsilonFirst
    }
  }

  /// `m = β1 m + (1 - β1) g; v = β2 v + (1 - β2) g²; p -= rate * m̂ / (√v̂ + ε)`, where `m̂ = m / (1 - β1^step)` and
  /// `v̂ = v / (1 - β2^step)`. Each target has a mean and a mean square.
  ///
  /// Keras adds `ε` to `√v` before the correction of `v`: with `addsEpsilonFirst`.
  /// - Parameter step: the number of this step, from 1.
  public static func adam(
    _ targets: [Target], step: Int, settings: Adam, gradientLimit: Float = .infinity, averageDecay: Double = 0,
    workers: Workers
  ) {
    let rule = AdamRule(settings, step: Double(max(step, 1)), gradientLimit: gradientLimit)
    run(rule, on: targets, averageDecay: averageDecay, workers: workers)
  }

  private struct AdamRule: Rule {
    let learningRate: Double
    let gradientLimit: Float
    let rate, takeMean, keepSquare, takeSquare, rootCorrection, epsilon: Float

    init(_ settings: Adam, step: Double, gradientLimit: Float) {
      (learningRate, self.gradientLimit) = (settings.learningRate, gradientLimit)
      rate = Float(settings.learningRate / (1 - pow(settings.beta1, step)))
      let correction = (1 - pow(settings.beta2, step)).squareRoot()
      rootCorrection = Float(correction)
      takeMean = Float(1 - settings.beta1)
      keepSquare = Float(settings.beta2)
      takeSquare = Float(1 - settings.beta2)
      // (√v + ε) / c is √v / c + ε / c.
      epsilon = Float(settings.addsEpsilonFirst ? settings.epsilon / correction : settings.epsilon)
    }

    struct Kernel: BlockKernel {
      let p, mean, meanSquare: UnsafeMutablePointer<Float>
      let gradient: Gradient
      let shrinkage: Float
      let rule: AdamRule

      @inline(__always)
      func callAsFunction<V: Lanes>(at offset: Int, _: V.Type) {
        let old = V.load(p + offset), oldMean = V.load(mean + offset)
        let g = gradient.load(at: offset, parameter: old)
        let m = oldMean + V(repeating: rule.takeMean) * (g - oldMean)
        let v = V(repeating: rule.keepSquare) * V.load(meanSquare + offset) + V(repeating: rule.takeSquare) * (g * g)
        m.store(mean + offset)
        v.store(meanSquare + offset)
        let divisor = v.root / V(repeating: rule.rootCorrection) + V(repeating: rule.epsilon)
        (V(repeating: shrinkage) * old - V(repeating: rule.rate) * m / divisor).store(p + offset)
      }
    }

    func kernel(for target: Target, gradient: UnsafePointer<Float>) -> Kernel? {
      guard let mean = target.mean, let meanSquare = target.meanSquare else { return nil }
      return Kernel(
        p: target.values, mean: mean, meanSquare: meanSquare,
        gradient: Gradient(target, gradient, limit: gradientLimit),
        shrinkage: target.weightDecay.shrinkage(learningRate: learningRate), rule: self)
    }
  }
}
