/// Which random numbers a run uses.
public struct Randomness: Sendable {
  /// The training seed.
  public let seed: UInt64
  /// The training step.
  public let step: Int

  /// The numbers of one step.
  public init(seed: UInt64, step: Int) { (self.seed, self.step) = (seed, step) }

  /// For runs without random layers.
  public static let none = Randomness(seed: 0, step: 0)

  /// The stream of the mask of a dropout or stochastic depth layer.
  public func stream(of layer: Int) -> UInt64 { RandomStream.mask(layer: layer, step: step) }
}
