import CNNCore
import CNNRuntime

/// The gradient of `BlockedNormalization`.
public struct BlockedNormalizationGradient: Sendable {
  /// What was normalised.
  public let tensor: BlockedTensor
  /// Where the gradient of the normalised numbers comes from.
  public enum Source: Hashable, Sendable {
    /// It is given.
    case gradient
    /// It is `dy` times the derivative of a function of the normalised numbers, which are computed again.
    case activation(VectorActivation)
    /// It is `dy` where the forward result, the ReLU of a sum with a residual, is above zero; this is the residual's
    /// gradient too.
    case result
  }
  private let source: Source
  private let reducing, applying: StreamPass
  private let keepsGradient: Bool

  // Streams and constants, in every program.
  private static let x = 0, dy = 1, dx = 2, y = 3, dResidual = 4
  private static let scale = 0, shift = 1, mean = 2, slope = 2, offset = 3

  /// The gradient for numbers that come from `source`.
  public init(_ tensor: BlockedTensor, _ source: Source, library: KernelLibrary) {
    (self.tensor, self.source) = (tensor, source)
    // What is expensive to compute is kept for the second pass, in the place of the result.
    keepsGradient =
      if case .activation(let activation) = source { activation.gradientTemporaryCount > 2 } else { false }

    func gradient(_ program: inout StreamProgram, _ x: StreamProgram.Vector) -> StreamProgram.Vector {
      switch source {
      case .gradient: return program.load(Self.dy)
      case .activation(let activation):
        let value = program.multiplyAdd(x, program.constant(Self.scale), program.constant(Self.shift))
        return program.activationGradient(activation, x: value, dy: program.load(Self.dy))
      case .result: return program.keep(program.load(Self.dy), wherePositive: program.load(Self.y))
      }
    }
    var reduce = StreamProgram("normalization_sums")
    let x = reduce.load(Self.x), g = gradient(&reduce, x)
    reduce.sum(g, into: 0)
    reduce.sumProduct(g, reduce.subtract(x, reduce.constant(Self.mean)), into: 1)
    if keepsGradient { reduce.store(g, Self.dx) }
    if source == .result { reduce.store(g, Self.dResidual) }
    reducing = StreamPass(reduce, tensor, library: library)

    var apply = StreamProgram("normalization_gradient")
    let input = apply.load(Self.x)
    let kept =
      source == .result
      ? apply.load(Self.dResidual) : keepsGradient ? apply.load(Self.dx) : gradient(&apply, input)
    let rest = apply.multiplyAdd(input, apply.constant(Self.slope), apply.constant(Self.offset))
    apply.store(apply.multiplyAdd(kept, apply.constant(Self.scale), rest), Self.dx)
    applying = StreamPass(apply, tensor, library: library)
  }

  /// Whether `dx` may be `x`.
  public var mayOverwriteInput: Bool { !keepsGradient }

  /// The bytes it works in.
  public var workspaceByteCount: Int { NormalizationFactors.byteCount(tensor) + reducing.sumByteCount }

  /// Computes all gradients.
  /// - Parameters:
  ///   - beta: of the forward pass, where the source is an activation.
  ///   - y: the forward result, where the source is that.
  ///   - dx: may be `dy`, and `x` where `mayOverwriteInput`.
  ///   - dResidual: the residual's gradient, where the source is the result. May be `dy`, if `dx` is not.
  public func run(
    _ x: UnsafeRawPointer, gradient dy: UnsafeRawPointer, mean: UnsafePointer<Float>,
    inverseDeviation: UnsafePointer<Float>, gamma: UnsafePointer<Float>, beta: UnsafePointer<Float>?,
    result y: UnsafeRawPointer?, dx: UnsafeMutableRawPointer, dGamma: UnsafeMutablePointer<Float>,
    dBeta: UnsafeMutablePointer<Float>, dResidual: UnsafeMutableRawPointer?, workspace: UnsafeMutableRawPointer,
    workers: Workers
  ) {
    let factors = NormalizationFactors(workspace, tensor)
    let sums = workspace + NormalizationFactors.byteCount(tensor)
    let operands = StreamPass.Operands(x).stream(Self.dy, dy).stream(Self.dx, dx).stream(Self.y, y ?? x)
      .stream(Self.dResidual, dResidual.map { UnsafeRawPointer($0) } ?? x)
      .constants(from: Self.scale, count: 2, factors.scale, tensor)
    let count = Double(tensor.pixels)
    reducing.forEachGroup(streams: source == .result ? 5 : 3) { blocks in
      factors.set(blocks, mean: mean, inverseDeviation: inverseDeviation, gamma: gamma, beta: beta)
      reducing.run(
        operands.constant(Self.mean, .init(factors.mean)).sums(sums), blocks: blocks, workers: workers)
      // dx = gamma / σ (g - Σg / n - x̂ Σ(g x̂) / n) with x̂ = (x - mean) / σ, as scale g + slope x + offset.
      for block in blocks {
        let sum = reducing.total(0, block: block, sums), products = reducing.total(1, block: block, sums)
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
      applying.run(
        operands.constant(Self.slope, .init(factors.slope)).constant(Self.offset, .init(factors.offset)),
        blocks: blocks, workers: workers)
    }
  }
}
