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
    /// How parameters are pulled toward zero.
    public var weightDecay: WeightDecay

    /// Settings; the defaults are PyTorch's.
    public init(
      learningRate: Double = 1e-3, beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
      addsEpsilonFirst: Bool = false, weightDecay: WeightDecay = .none
    ) {
      self.learningRate = learningRate
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.addsEpsilonFirst = addsEpsilonFirst
      self.weightDecay = weightDecay
    }
  }

  /// `m = β1 m + (1 - β1) g; v = β2 v + (1 - β2) g²; p -= rate * m̂ / (√v̂ + ε)`, where `m̂ = m / (1 - β1^step)` and
  /// `v̂ = v / (1 - β2^step)`.
  ///
  /// Keras adds `ε` to `√v` before the correction of `v`: with `addsEpsilonFirst`.
  /// - Parameter step: the number of this step, from 1.
  public static func adam(
    parameter p: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>, mean: UnsafeMutablePointer<Float>,
    meanSquare: UnsafeMutablePointer<Float>, step: Int, count: Int, settings: Adam, gradientScale: Float = 1,
    gradientLimit: Float = .infinity,
    workers: Workers
  ) {
    let step = Double(max(step, 1))
    let rate = Float(settings.learningRate / (1 - pow(settings.beta1, step)))
    let correction = (1 - pow(settings.beta2, step)).squareRoot()
    let rootCorrection = Float(correction)
    let takeMean = Float(1 - settings.beta1)
    let keepSquare = Float(settings.beta2)
    let takeSquare = Float(1 - settings.beta2)
    // (√v + ε) / c is √v / c + ε / c.
    let epsilon = Float(settings.addsEpsilonFirst ? settings.epsilon / correction : settings.epsilon)
    let decay = settings.weightDecay.gradientTerm
    let shrinkage = settings.weightDecay.shrinkage(learningRate: settings.learningRate)
    forEachElement(count, workers) { i in
      let g = limited(gradient[i] * gradientScale, gradientLimit) + decay * p[i]
      let m = mean[i] + takeMean * (g - mean[i])
      let v = keepSquare * meanSquare[i] + takeSquare * (g * g)
      mean[i] = m
      meanSquare[i] = v
      p[i] = shrinkage * p[i] - rate * m / (root(v) / rootCorrection + epsilon)
    }
  }
}
