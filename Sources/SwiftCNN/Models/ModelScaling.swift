import CNNCore
import Glibc

/// How much wider, deeper and finer a network becomes than the table it is built from.
///
/// Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks" (2019), section 3.1. The
/// coefficients multiply those that a variant has by itself.
public struct ModelScaling: Sendable, Equatable, Configurable {
  /// Multiplies the channels of every layer.
  public var width: Double
  /// Multiplies the number of blocks of every stage.
  public var depth: Double
  /// Multiplies the height and width of the images.
  public var resolution: Double
  /// Every number of channels is a multiple of this.
  public var divisor: Int

  /// A scaling; by default none.
  public init(width: Double = 1, depth: Double = 1, resolution: Double = 1, divisor: Int = 8) {
    (self.width, self.depth, self.resolution, self.divisor) = (width, depth, resolution, divisor)
  }

  /// The largest coefficient, channels of a layer, blocks of a network, and height of an image that are accepted.
  static let maximumCoefficient = 100.0, maximumChannels = 1 << 20, maximumBlocks = 1024, maximumResolution = 1 << 16

  mutating func visit(_ options: inout OptionReader) throws(CNNError) {
    let coefficients = Domain.above(0, upTo: Self.maximumCoefficient)
    try options.number("width_coefficient", swift: "width", &width, in: coefficients, "How much wider every layer is.")
    try options.number(
      "depth_coefficient", swift: "depth", &depth, in: coefficients, "How many times as many blocks every stage has.")
    try options.number(
      "resolution_coefficient", swift: "resolution", &resolution, in: coefficients,
      "How much higher and wider images are.")
    try options.integer("divisor", &divisor, in: .within(1...4096), "Every number of channels is a multiple of this.")
  }

  /// This scaling on top of that which a variant has by itself.
  func applied(to own: ModelScaling) -> ModelScaling {
    ModelScaling(
      width: own.width * width, depth: own.depth * depth, resolution: own.resolution * resolution, divisor: divisor)
  }

  /// The scaled number of channels: the multiple of the divisor that is nearest, but never below 90 % of the value.
  func channels(_ count: Double) throws(CNNError) -> Int { try rounded(count * width) }

  /// The multiple of the divisor nearest to `value`, the next one where that is below 90 % of it.
  func rounded(_ value: Double) throws(CNNError) -> Int {
    guard value >= 0, value <= Double(Self.maximumChannels) else {
      throw CNNError(.invalidArgument, "a layer has \(value) channels; expected \(Self.maximumChannels) at most")
    }
    let nearest = max(divisor, Int(value + Double(divisor) / 2) / divisor * divisor)
    return Double(nearest) < 0.9 * value ? nearest + divisor : nearest
  }

  /// The scaled numbers of blocks, rounded up; those of the first and last stage as they are where `fixesEnds`.
  func blockCounts(_ counts: [Int], fixesEnds: Bool = false) throws(CNNError) -> [Int] {
    var result: [Int] = []
    var total = 0
    for (stage, count) in counts.enumerated() {
      let isFixed = fixesEnds && (stage == 0 || stage == counts.count - 1)
      let scaled = (Double(count) * (isFixed ? 1 : depth)).rounded(.up)
      guard count >= 1, scaled <= Double(Self.maximumBlocks), total + Int(scaled) <= Self.maximumBlocks else {
        throw CNNError(
          .invalidArgument,
          "stage \(stage) has \(count) blocks times \(depth); expected 1 or more, and \(Self.maximumBlocks) at most "
            + "in all"
        )
      }
      total += Int(scaled)
      result.append(Int(scaled))
    }
    return result
  }

  /// The scaled height and width of the images.
  func resolution(_ size: Int) throws(CNNError) -> Int {
    let scaled = (Double(size) * resolution).rounded()
    guard scaled >= 1, scaled <= Double(Self.maximumResolution) else {
      throw CNNError(
        .invalidArgument,
        "\(option: "resolution_coefficient", swift: "resolution") is \(resolution), which makes images of \(scaled) pixels; expected 1 to "
          + "\(Self.maximumResolution)")
    }
    return Int(scaled)
  }
}

/// Compound scaling (Tan and Le 2019, equation 3): one coefficient phi makes a network deeper by `alpha^phi`, wider by
/// `beta^phi` and its images larger by `gamma^phi`. With the constants that the paper found for B0 the work grows by
/// about `2^phi`, since `alpha * beta^2 * gamma^2` is about 2.
public struct CompoundScaling: Sendable, Equatable {
  /// The compound coefficient, 0 or more; with 0 nothing changes.
  public var phi: Double
  /// The bases of depth, width and resolution.
  public var alpha: Double, beta: Double, gamma: Double

  /// A compound scaling with the paper's constants where none are given.
  public init(phi: Double, alpha: Double = 1.2, beta: Double = 1.1, gamma: Double = 1.15) {
    (self.phi, self.alpha, self.beta, self.gamma) = (phi, alpha, beta, gamma)
  }

  /// The three coefficients.
  /// - Throws: `.invalidArgument` for a phi below 0 or one that makes a coefficient too large, naming it.
  public func scaling(divisor: Int = 8) throws(CNNError) -> ModelScaling {
    guard phi >= 0, phi.isFinite else {
      throw CNNError(.invalidArgument, "\(option: "compound_coefficient", swift: "phi") is \(phi); expected 0 or more")
    }
    let result = ModelScaling(
      width: pow(beta, phi), depth: pow(alpha, phi), resolution: pow(gamma, phi), divisor: divisor)
    do throws(CNNError) {
      try result.validate()
    } catch {
      throw error.prefixed("\(option: "compound_coefficient", swift: "phi") is \(phi)")
    }
    return result
  }
}
