import CNNCore
import CNNRuntime

/// How a batch normalisation computes, and what follows it in the same pass:
/// `y = f(gamma (x - mean) / √(variance + epsilon) + beta + residual)`.
public struct BlockedNormalization: Hashable, Sendable {
  /// Added to the variance before the root.
  public var epsilon: Float
  /// The share of the batch in the next running statistics, and whether those take up its unbiased variance.
  public var momentum: Float, unbiased: Bool
  /// Whether a tensor is added after normalising.
  public var addsResidual: Bool
  /// What is applied last.
  public var activation: VectorActivation?

  /// A normalisation.
  public init(
    epsilon: Float, momentum: Float = 0.1, unbiased: Bool = true, addsResidual: Bool = false,
    activation: VectorActivation? = nil
  ) {
    (self.epsilon, self.momentum, self.unbiased) = (epsilon, momentum, unbiased)
    (self.addsResidual, self.activation) = (addsResidual, activation)
  }
}

extension StreamStep {
  /// Batch normalisation of a tensor by its own statistics: its mean, its biased variance, and
  /// `1 / √(variance + epsilon)`. Vectors of a number per channel are `[channels]`, as parameters are.
  ///
  /// Ports: `x`, gamma, beta, the running mean and variance, where one is added the residual; then `y`, mean,
  /// 1 / deviation, the next running mean and variance.
  public static func normalization(_ tensor: BlockedTensor, _ normalization: BlockedNormalization) -> StreamStep {
    let (x, gamma, beta, runningMean, runningVariance, residual) = (0, 1, 2, 3, 4, 5)
    let y = normalization.addsResidual ? 6 : 5
    let (mean, inverseDeviation, nextMean, nextVariance) = (y + 1, y + 2, y + 3, y + 4)
    var program = StreamProgram("moments")
    // The differences from the first pixel are summed, so that a mean far from zero takes no digits from the variance.
    let difference = program.subtract(program.load(0), program.constant(0))
    program.sum(difference, into: 0)
    program.sumProduct(difference, difference, into: 1)
    var measuring = Pass(program: program, streams: [x], constants: [.firstPixel(port: x)])
    measuring.after = [
      { blocks, environment in
        let count = Double(tensor.pixels)
        for block in blocks {
          let sum = environment.total(0, block: block), squares = environment.total(1, block: block)
          let first = environment.firstPixel(x, block: block)
          for lane in 0..<min(16, tensor.channels - block * 16) {
            let channel = block * 16 + lane, difference = sum[lane] / count
            let spread = max(0, squares[lane] / count - difference * difference)
            // NaN and infinity stay what they are.
            let variance = Float(squares[lane].isFinite ? spread : .nan)
            environment.floats(mean)[channel] = Float(Double(first[lane]) + difference)
            environment.floats(inverseDeviation)[channel] = Float(
              1 / (Double(variance) + Double(normalization.epsilon)).squareRoot())
            environment.floats(nextVariance)[channel] = variance
          }
        }
        for channel in blocks.lowerBound * 16..<min(tensor.channels, blocks.upperBound * 16) {
          var variance = environment.floats(nextVariance)[channel]
          environment.floats(nextMean)[channel] = environment.floats(runningMean)[channel]
          environment.floats(nextVariance)[channel] = environment.floats(runningVariance)[channel]
          BatchNormalizationKernels.runningUpdate(
            mean: environment.floats(mean) + channel, variance: &variance, rows: tensor.pixels, channels: 1,
            momentum: normalization.momentum, unbiased: normalization.unbiased,
            runningMean: environment.floats(nextMean) + channel,
            runningVariance: environment.floats(nextVariance) + channel)
        }
      }
    ]
    return StreamStep(
      tensor, workByteCount: NormalizationFactors.byteCount(tensor),
      [
        measuring,
        normalizing(
          tensor, normalization, x: x, gamma: gamma, beta: beta, mean: mean, inverseDeviation: inverseDeviation,
          residual: residual, y: y),
      ])
  }

  /// The same by statistics that are given. Ports: `x`, gamma, beta, where one is added the residual, mean, 1 / deviation,
  /// `y`.
  public static func normalizationByStatistics(
    _ tensor: BlockedTensor, _ normalization: BlockedNormalization
  ) -> StreamStep {
    let mean = normalization.addsResidual ? 4 : 3
    return StreamStep(
      tensor, workByteCount: NormalizationFactors.byteCount(tensor),
      [
        normalizing(
          tensor, normalization, x: 0, gamma: 1, beta: 2, mean: mean, inverseDeviation: mean + 1, residual: 3,
          y: mean + 2)
      ])
  }

  private static func normalizing(
    _ tensor: BlockedTensor, _ normalization: BlockedNormalization, x: Int, gamma: Int, beta: Int, mean: Int,
    inverseDeviation: Int, residual: Int, y: Int
  ) -> Pass {
    var program = StreamProgram("normalize")
    var value = program.multiplyAdd(program.load(0), program.constant(0), program.constant(1))
    if normalization.addsResidual { value = program.add(value, program.load(2)) }
    program.store(program.activate(normalization.activation, value), 1)
    var pass = Pass(
      program: program, streams: [x, y] + (normalization.addsResidual ? [residual] : []),
      constants: NormalizationFactors.constants(tensor, 0..<2))
    pass.before = [
      { blocks, environment in
        NormalizationFactors(environment.workspace, tensor).set(
          blocks, mean: environment.floats(mean), inverseDeviation: environment.floats(inverseDeviation),
          gamma: environment.floats(gamma), beta: environment.floats(beta))
      }
    ]
    return pass
  }
}

/// What a normalisation multiplies by and adds, for every lane of every block; zero behind the last channel.
struct NormalizationFactors {
  let scale, shift, mean, slope, offset: UnsafeMutablePointer<Float>
  private let channels, lanes: Int

  static func byteCount(_ tensor: BlockedTensor) -> Int { 5 * vectorByteCount(tensor) }
  private static func vectorByteCount(_ tensor: BlockedTensor) -> Int {
    tensor.with(element: .float32).blocks * BlockedTensor.pixelByteCount
  }

  /// Some of the vectors, in the order in which they are declared, as constants of a pass.
  static func constants(_ tensor: BlockedTensor, _ vectors: Range<Int>) -> [StreamStep.Constant] {
    vectors.map { .channels(byteOffset: $0 * vectorByteCount(tensor)) }
  }

  init(_ workspace: UnsafeMutableRawPointer, _ tensor: BlockedTensor) {
    channels = tensor.channels
    lanes = tensor.with(element: .float32).blocks * BlockedTensor.blockChannels
    scale = workspace.assumingMemoryBound(to: Float.self)
    shift = scale + lanes
    mean = shift + lanes
    slope = mean + lanes
    offset = slope + lanes
  }

  /// `scale x + shift` normalises; without `beta` there is no shift.
  func set(
    _ blocks: Range<Int>, mean: UnsafePointer<Float>, inverseDeviation: UnsafePointer<Float>,
    gamma: UnsafePointer<Float>,
    beta: UnsafePointer<Float>?
  ) {
    let width = BlockedTensor.blockChannels
    for vector in [scale, shift, self.mean, slope, offset] {
      (vector + blocks.lowerBound * width).update(repeating: 0, count: blocks.count * width)
    }
    for channel in blocks.lowerBound * width..<min(channels, blocks.upperBound * width) {
      scale[channel] = gamma[channel] * inverseDeviation[channel]
      shift[channel] = Float(Double(beta?[channel] ?? 0) - Double(mean[channel]) * Double(scale[channel]))
      self.mean[channel] = mean[channel]
    }
  }
}
