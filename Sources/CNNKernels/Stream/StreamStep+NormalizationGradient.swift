import CNNCore
import CNNRuntime

/// Where the gradient of the numbers that were normalised comes from.
public enum NormalizationGradientSource: Hashable, Sendable {
  /// It is given.
  case gradient
  /// It is `dy` times the derivative of a function of the normalised numbers, which are computed again.
  case activation(VectorActivation)
  /// It is `dy` where the forward result, the ReLU of a sum with a residual, is above zero; this is the residual's
  /// gradient too.
  case result
}

extension StreamStep {
  /// The gradient of `normalization`.
  ///
  /// Ports: `x`, `dy`, gamma, mean, 1 / deviation, then where the source is an activation beta, or where it is the forward
  /// result that; the gradients of `x`, gamma and beta, and where the source is the result of the residual.
  public static func normalizationGradient(
    _ tensor: BlockedTensor, _ source: NormalizationGradientSource
  ) -> StreamStep {
    let (x, dy, gamma, mean, inverseDeviation, given) = (0, 1, 2, 3, 4, 5)
    let dx = source == .gradient ? 5 : 6
    let (dGamma, dBeta, dResidual) = (dx + 1, dx + 2, dx + 3)
    let hasBeta = if case .activation = source { true } else { false }
    // What is expensive to compute is kept for the second pass, in the place of the result.
    let keepsGradient =
      if case .activation(let activation) = source { activation.gradientTemporaryCount > 2 } else { false }
    let (scale, shift, center, slope, offset) = (0, 1, 2, 2, 3)

    func gradient(
      _ program: inout StreamProgram, _ x: StreamProgram.Vector, _ stream: Int
    ) -> StreamProgram.Vector {
      switch source {
      case .gradient: return program.load(stream)
      case .activation(let activation):
        let value = program.multiplyAdd(x, program.constant(scale), program.constant(shift))
        return program.activationGradient(activation, x: value, dy: program.load(stream))
      case .result: return program.keep(program.load(stream), wherePositive: program.load(2))
      }
    }
    var program = StreamProgram("normalization_sums")
    let number = program.load(0), g = gradient(&program, number, 1)
    program.sum(g, into: 0)
    program.sumProduct(g, program.subtract(number, program.constant(center)), into: 1)
    var streams = [x, dy]
    if keepsGradient {
      program.store(g, 2)
      streams.append(dx)
    }
    if source == .result {
      program.store(g, 3)
      streams += [given, dResidual]
    }
    var reducing = Pass(
      program: program, streams: streams, constants: NormalizationFactors.constants(tensor, 0..<3))
    reducing.before = [
      { blocks, environment in
        NormalizationFactors(environment.workspace, tensor).set(
          blocks, mean: environment.floats(mean), inverseDeviation: environment.floats(inverseDeviation),
          gamma: environment.floats(gamma), beta: hasBeta ? environment.floats(given) : nil)
      }
    ]
    // dx = gamma / σ (g - Σg / n - x̂ Σ(g x̂) / n) with x̂ = (x - mean) / σ, as scale g + slope x + offset.
    reducing.after = [
      { blocks, environment in
        let factors = NormalizationFactors(environment.workspace, tensor), count = Double(tensor.pixels)
        let (mean, inverseDeviation) = (environment.floats(mean), environment.floats(inverseDeviation))
        let (dGamma, dBeta) = (environment.floats(dGamma), environment.floats(dBeta))
        for block in blocks {
          let sum = environment.total(0, block: block), products = environment.total(1, block: block)
          for lane in 0..<min(16, tensor.channels - block * 16) {
            let channel = block * 16 + lane
            dBeta[channel] = Float(sum[lane])
            dGamma[channel] = Float(products[lane] * Double(inverseDeviation[channel]))
            let scale = Double(factors.scale[channel])
            let slope = Float(-scale * Double(inverseDeviation[channel]) * Double(dGamma[channel]) / count)
            factors.slope[channel] = slope
            factors.offset[channel] = Float(-scale * sum[lane] / count - Double(mean[channel]) * Double(slope))
          }
        }
      }
    ]

    var apply = StreamProgram("normalization_gradient")
    let input = apply.load(0)
    let kept = keepsGradient || source == .result ? apply.load(1) : gradient(&apply, input, 1)
    let rest = apply.multiplyAdd(input, apply.constant(slope), apply.constant(offset))
    let isKept = keepsGradient || source == .result
    apply.store(apply.multiplyAdd(kept, apply.constant(scale), rest), keepsGradient ? 1 : 2)
    let applying = Pass(
      program: apply,
      streams: [x, source == .result ? dResidual : isKept ? dx : dy] + (keepsGradient ? [] : [dx]),
      constants: NormalizationFactors.constants(tensor, 0..<2) + NormalizationFactors.constants(tensor, 3..<5))
    return StreamStep(
      tensor, workByteCount: NormalizationFactors.byteCount(tensor),
      [reducing, applying])
  }
}
