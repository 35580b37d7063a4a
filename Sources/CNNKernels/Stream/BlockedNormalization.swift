import CNNCore
import CNNRuntime

/// Batch normalisation of a blocked tensor by its own statistics, with what follows it in the same pass:
/// `y = f(gamma (x - mean) / √(variance + epsilon) + beta + residual)`.
///
/// Vectors of a number per channel are `[channels]`, as parameters are.
public struct BlockedNormalization: Sendable {
  /// What is normalised, and the result.
  public let tensor: BlockedTensor
  private let normalizing, measuring: StreamPass

  /// - Parameter activation: what is applied last.
  public init(
    _ tensor: BlockedTensor, activation: VectorActivation?, addsResidual: Bool = false, library: KernelLibrary
  ) {
    self.tensor = tensor
    var moments = StreamProgram("moments")
    let difference = moments.subtract(moments.load(0), moments.constant(0))
    moments.sum(difference, into: 0)
    moments.sumProduct(difference, difference, into: 1)
    measuring = StreamPass(moments, tensor, library: library)

    var normalize = StreamProgram("normalize")
    var value = normalize.multiplyAdd(normalize.load(0), normalize.constant(0), normalize.constant(1))
    if addsResidual { value = normalize.add(value, normalize.load(2)) }
    normalize.store(normalize.activate(activation, value), 1)
    normalizing = StreamPass(normalize, tensor, library: library)
  }

  /// The bytes it works in.
  public var workspaceByteCount: Int { NormalizationFactors.byteCount(tensor) + measuring.sumByteCount }

  /// Normalises by the statistics of `x`: its mean, its biased variance, and `1 / √(variance + epsilon)`, which are
  /// written too. `y` may be `x` or `residual`.
  public func run(
    _ x: UnsafePointer<Float>, gamma: UnsafePointer<Float>, beta: UnsafePointer<Float>, epsilon: Float,
    residual: UnsafeRawPointer?, into y: UnsafeMutableRawPointer, mean: UnsafeMutablePointer<Float>,
    variance: UnsafeMutablePointer<Float>, inverseDeviation: UnsafeMutablePointer<Float>,
    workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let factors = NormalizationFactors(workspace, tensor)
    let sums = workspace + NormalizationFactors.byteCount(tensor)
    measuring.forEachGroup(streams: residual == nil ? 2 : 3) { blocks in
      measure(
        x, blocks, epsilon: epsilon, mean: mean, variance: variance, inverseDeviation: inverseDeviation, sums, workers)
      factors.set(blocks, mean: mean, inverseDeviation: inverseDeviation, gamma: gamma, beta: beta)
      normalize(x, blocks, residual, y, factors, workers)
    }
  }

  private func measure(
    _ x: UnsafePointer<Float>, _ blocks: Range<Int>, epsilon: Float, mean: UnsafeMutablePointer<Float>,
    variance: UnsafeMutablePointer<Float>, inverseDeviation: UnsafeMutablePointer<Float>,
    _ sums: UnsafeMutableRawPointer, _ workers: Workers
  ) {
    // The differences from the first pixel are summed, so that a mean far from zero takes no digits from the variance.
    measuring.run(
      StreamPass.Operands(x).constant(0, .init(x, ofFirstPixel: tensor)).sums(sums), blocks: blocks, workers: workers)
    let count = Double(tensor.pixels)
    for block in blocks {
      let sum = measuring.total(0, block: block, sums), squares = measuring.total(1, block: block, sums)
      let first = x + block * tensor.blockByteCount / 4
      for lane in 0..<min(16, tensor.channels - block * 16) {
        let channel = block * 16 + lane, difference = sum[lane] / count
        let spread = max(0, squares[lane] / count - difference * difference)
        mean[channel] = Float(Double(first[lane]) + difference)
        // NaN and infinity stay what they are.
        variance[channel] = Float(squares[lane].isFinite ? spread : .nan)
        inverseDeviation[channel] = Float(1 / (Double(variance[channel]) + Double(epsilon)).squareRoot())
      }
    }
  }

  /// Normalises by given statistics. `y` may be `x` or `residual`.
  public func normalize(
    _ x: UnsafeRawPointer, mean: UnsafePointer<Float>, inverseDeviation: UnsafePointer<Float>,
    gamma: UnsafePointer<Float>, beta: UnsafePointer<Float>, residual: UnsafeRawPointer?,
    into y: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer, workers: Workers
  ) {
    let factors = NormalizationFactors(workspace, tensor), blocks = 0..<tensor.blocks
    factors.set(blocks, mean: mean, inverseDeviation: inverseDeviation, gamma: gamma, beta: beta)
    normalize(x, blocks, residual, y, factors, workers)
  }

  private func normalize(
    _ x: UnsafeRawPointer, _ blocks: Range<Int>, _ residual: UnsafeRawPointer?, _ y: UnsafeMutableRawPointer,
    _ factors: NormalizationFactors, _ workers: Workers
  ) {
    normalizing.run(
      StreamPass.Operands(x).stream(1, y).stream(2, residual ?? x).constants(from: 0, count: 2, factors.scale, tensor),
      blocks: blocks, workers: workers)
  }
}

/// What a normalisation multiplies by and adds, for every lane of every block; zero behind the last channel.
struct NormalizationFactors {
  let scale, shift, mean, slope, offset: UnsafeMutablePointer<Float>
  private let channels, lanes: Int

  static func byteCount(_ tensor: BlockedTensor) -> Int { 5 * tensor.blocks * BlockedTensor.pixelByteCount }

  init(_ workspace: UnsafeMutableRawPointer, _ tensor: BlockedTensor) {
    channels = tensor.channels
    lanes = tensor.blocks * BlockedTensor.blockChannels
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
