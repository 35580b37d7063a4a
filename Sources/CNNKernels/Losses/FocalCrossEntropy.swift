import CNNRuntime
import Glibc

/// Cross-entropies whose terms count less the surer a prediction is (Lin et al., Focal Loss, 2017): as Keras's
/// `BinaryFocalCrossentropy` and `CategoricalFocalCrossentropy`. Of logits nothing is clipped.
public struct FocalCrossEntropy: Sendable, Hashable {
  /// The power of what a prediction lacks.
  public let gamma: Double
  /// The weight of each class; one number is that of all, and of yes in the binary form.
  public let alpha: [Double]
  /// Whether the binary form weighs yes by `alpha` and no by `1 - alpha`.
  public let balancesClasses: Bool
  /// Whether each prediction is a yes or no by itself; else a row is a distribution.
  public let isBinary: Bool

  /// A focal loss.
  public init(gamma: Double, alpha: [Double], balancesClasses: Bool, isBinary: Bool) {
    (self.gamma, self.alpha, self.balancesClasses, self.isBinary) = (gamma, alpha, balancesClasses, isBinary)
  }

  /// Writes each row's loss: `prediction` and `targets` are `[rows, classes]`, `perSample` is `[rows]`.
  public func forward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, targets: UnsafePointer<Float>, labelSmoothing: Float,
    perSample: UnsafeMutablePointer<Float>, rows: Int, classes: Int, workers: Workers
  ) {
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let terms = terms(prediction + row * classes, kind, targets + row * classes, labelSmoothing, classes)
      var sum = 0.0
      for c in 0..<classes { sum += isBinary ? binary(terms.term(c)).value : categorical(c, terms.term(c)).value }
      perSample[row] = Float(isBinary ? sum / Double(classes) : sum)
    }
  }

  /// Writes `dPrediction` (`[rows, classes]`), the derivative of `Σ coefficient[row] * loss[row]`.
  public func backward(
    prediction: UnsafePointer<Float>, kind: Losses.Prediction, targets: UnsafePointer<Float>, labelSmoothing: Float,
    coefficient: UnsafePointer<Float>, dPrediction: UnsafeMutablePointer<Float>, rows: Int, classes: Int,
    workers: Workers
  ) {
    SoftmaxKernels.forEachRow(rows, classes, workers) { row in
      let terms = terms(prediction + row * classes, kind, targets + row * classes, labelSmoothing, classes)
      let coefficient = Double(coefficient[row]), gradient = dPrediction + row * classes
      if isBinary {
        for c in 0..<classes {
          gradient[c] = Float(coefficient / Double(classes) * binary(terms.term(c)).slope)
        }
        return
      }
      // Both by way of o, the share of a class: of logits do_j/dx_k is o_j ((j = k) - o_k), of probabilities with
      // the sum S it is ((j = k) - o_j) / S.
      var common = 0.0
      for c in 0..<classes { common += categorical(c, terms.term(c)).slope }
      for c in 0..<classes {
        let term = terms.term(c), slope = categorical(c, term).slope
        switch kind {
        case .logits: gradient[c] = Float(coefficient * (slope - term.share * common))
        case .probabilities: gradient[c] = Float(coefficient * (ratio(slope, term.share) - common) / terms.sum)
        }
      }
    }
  }

  /// One prediction with its target.
  private struct Term {
    /// The share, what it lacks of 1, and the logarithms of both.
    let share, lack, logShare, logLack: Double
    let target: Double
    /// Whether a change of the prediction passes through.
    let isInside: Bool
    let isOfLogits: Bool
  }

  /// The predictions and targets of a row.
  private struct Row {
    let prediction, targets: UnsafePointer<Float>
    let kind: Losses.Prediction
    let isBinary: Bool
    let scale, offset: Double
    /// Of logits the logarithm of the sum of exponentials, else the sum.
    let sum: Double

    @inline(__always)
    func term(_ c: Int) -> Term {
      let x = Double(prediction[c]), target = Double(targets[c]) * scale + offset
      switch (kind, isBinary) {
      case (.logits, true):
        // log(1 + exp(-x)), without overflow.
        let tail = log1p(exp(-x.magnitude))
        let (logShare, logLack) = (min(x, 0) - tail, min(-x, 0) - tail)
        return Term(
          share: exp(logShare), lack: exp(logLack), logShare: logShare, logLack: logLack, target: target,
          isInside: true, isOfLogits: true)
      case (.logits, false):
        let logShare = x - sum
        return Term(
          share: exp(logShare), lack: -expm1(logShare), logShare: logShare, logLack: 0, target: target, isInside: true,
          isOfLogits: true)
      case (.probabilities, true):
        let clipped = Double(Losses.clipped(prediction[c]))
        return Term(
          share: x, lack: 1 - x, logShare: log(clipped), logLack: log(1 - clipped), target: target,
          isInside: Losses.isInsideClip(prediction[c]), isOfLogits: false)
      case (.probabilities, false):
        let share = Float(x / sum), clipped = Double(Losses.clipped(share))
        return Term(
          share: clipped, lack: 1 - clipped, logShare: log(clipped), logLack: 0, target: target,
          isInside: Losses.isInsideClip(share), isOfLogits: false)
      }
    }
  }

  private func terms(
    _ prediction: UnsafePointer<Float>, _ kind: Losses.Prediction, _ targets: UnsafePointer<Float>,
    _ smoothing: Float, _ classes: Int
  ) -> Row {
    var sum = 0.0
    if !isBinary {
      switch kind {
      case .logits: sum = SoftmaxKernels.logSumOfExponentials(prediction, classes: classes)
      case .probabilities: for c in 0..<classes { sum += Double(prediction[c]) }
      }
    }
    return Row(
      prediction: prediction, targets: targets, kind: kind, isBinary: isBinary, scale: 1 - Double(smoothing),
      offset: Double(smoothing) / (isBinary ? 2 : Double(classes)), sum: sum)
  }

  /// What one yes or no costs, and the derivative by its prediction.
  private func binary(_ term: Term) -> (value: Double, slope: Double) {
    let (t, p, q) = (term.target, term.share, term.lack)
    let weight = balancesClasses ? t * alpha[0] + (1 - t) * (1 - alpha[0]) : 1
    let entropy = -(t * term.logShare + (1 - t) * term.logLack)
    // What the prediction lacks of the target.
    let lack = t * q + (1 - t) * p
    let focus = pow(lack, gamma)
    let slopeOfFocus = focusSlope(lack) * (1 - 2 * t)
    if term.isOfLogits {
      return (weight * focus * entropy, weight * (slopeOfFocus * p * q * entropy + focus * (p - t)))
    }
    let slope = term.isInside ? (p - t) / (p * q) : 0
    return (weight * focus * entropy, weight * (slopeOfFocus * entropy + focus * slope))
  }

  /// What one class costs, and the derivative by its share times the share.
  private func categorical(_ c: Int, _ term: Term) -> (value: Double, slope: Double) {
    guard term.target != 0 else { return (term.share.isNaN ? .nan : 0, term.share.isNaN ? .nan : 0) }
    let weight = term.target * (alpha.count == 1 ? alpha[0] : alpha[c])
    let focus = pow(term.lack, gamma)
    let slope = focusSlope(term.lack) * term.share * term.logShare - focus
    return (-weight * focus * term.logShare, term.isInside ? weight * slope : 0)
  }

  /// The derivative of `lack` to the power of gamma; held finite where it has a pole.
  private func focusSlope(_ lack: Double) -> Double {
    gamma == 0 ? 0 : gamma * pow(gamma < 1 ? max(lack, 1e-7) : lack, gamma - 1)
  }

  private func ratio(_ a: Double, _ b: Double) -> Double { b == 0 ? 0 : a / b }
}
