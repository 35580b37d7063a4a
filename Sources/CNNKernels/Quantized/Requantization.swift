import CNNCore

/// From an integer sum of a convolution or dense layer to what it stands for, as a level or a float: the one rule of
/// rounding, whatever computes it.
///
/// `v = sum * multiplier + term`, one fused multiplication and addition, where the term is a constant, or of a residual
/// `level * residualMultiplier + residualOffset`, fused as well. Then, where there is a function, `v = f(v)` and
/// `v = v / scale + zeroPoint`, fused; without one the multiplier has that in it. At last `v` is limited to the levels and
/// rounded, halves to the even one. Behind a function each channel may have a scale and a zero point of its own. Where the
/// function has pieces, `v` is measured in their positions and rounded to one, and the piece gives the level.
public struct Requantization: Hashable, Sendable {
  /// What a channel's multiplier is made of beside its weight's scale.
  public let factors: [Float]
  /// What is added to the product.
  public let term: Float
  /// What a residual's level is multiplied by, and what is added to that.
  public let residual: Residual?
  /// What is applied before the rounding, by floats.
  public let function: ExactActivation?
  /// What is applied to positions, in place of the function.
  public let pieces: ActivationPieces?
  /// The levels; nil where the result is float.
  public let levels: ByteLevels?
  /// What the function's result is multiplied by in each output channel, instead of one over the levels' scale; else empty.
  public let inverses: [Float]
  /// What is added then, where channels differ in it; else empty.
  public let zeroPoints: [UInt8]
  /// Whether what is rounded fits into 32 bits, whatever the sum: limits may then come before or after the rounding.
  let isBounded: Bool

  /// How a residual's level becomes the term.
  public struct Residual: Hashable, Sendable {
    /// The factor, and what is added.
    public let multiplier, offset: Float
  }

  /// - Parameters:
  ///   - input: the scale of what is multiplied by weights.
  ///   - residual: the levels of what is added.
  ///   - levels: those of the result, with the limits of an activation that only limits; nil for a float result.
  ///   - largestWeightScale: of all channels.
  ///   - inverses: see there.
  ///   - zeroPoints: see there.
  public init(
    input: Float, residual: ByteLevels?, function: ExactActivation?, levels: ByteLevels?,
    largestWeightScale: Float = .infinity, inverses: [Float] = [], zeroPoints: [UInt8] = []
  ) {
    let pieces = function == .silu && inverses.isEmpty ? levels.flatMap(ActivationPieces.init(siluTo:)) : nil
    let function = pieces == nil ? function : nil
    // What is measured in levels or positions has their distance in its factors.
    let unit = function == nil ? pieces?.density ?? levels?.inverse : nil
    factors = [input] + (unit.map { [$0] } ?? [])
    let term = unit == nil ? 0 : pieces?.origin ?? levels.map { Float($0.zeroPoint) } ?? 0
    self.residual = residual.map {
      let multiplier = $0.scale * (unit ?? 1)
      return Residual(multiplier: multiplier, offset: term.addingProduct(-Float($0.zeroPoint), multiplier))
    }
    (self.term, self.function, self.pieces, self.levels) = (term, function, pieces, levels)
    (self.inverses, self.zeroPoints) = (inverses, zeroPoints)
    // The largest sum, and 256 of a residual; no function but a steep leaky one makes numbers larger.
    let sum = factors.reduce(largestWeightScale, *) * 0x1p31, added = 256 * (self.residual?.multiplier ?? 0)
    let slope = if case .leakyRelu(let alpha)? = function { max(1, alpha.magnitude) } else { Float(1) }
    let inverseOfAll = inverses.map(\.magnitude).max() ?? levels?.inverse ?? 1
    isBounded = (sum + added + term.magnitude) * (function == nil ? 1 : inverseOfAll * slope) < 0x1p30
  }

  /// How many numbers each channel has: a multiplier, and its inverse and zero point where it has some of its own.
  var numbersPerChannel: Int { inverses.isEmpty ? 1 : 3 }

  /// What the sums of each output channel are multiplied by. Where channels have inverses, those of a `vector` of channels
  /// follow its multipliers, and then come its zero points.
  /// - Parameters:
  ///   - weight: the scales of the channels.
  ///   - outputs: how many channels there are.
  ///   - lanes: how many multipliers; 0 behind the last channel.
  ///   - vector: a divisor of `lanes`.
  public func multipliers(_ weight: WeightLevels, outputs: Int, lanes: Int, vector: Int) -> [Float] {
    func numbers(_ number: (Int) -> Float) -> [Float] { (0..<lanes).map { $0 < outputs ? number($0) : 0 } }
    let multipliers = numbers { factors.reduce(weight.scale($0), *) }
    if inverses.isEmpty { return multipliers }
    let ofAll = levels.map { Float($0.zeroPoint) } ?? 0
    let lists = [
      multipliers, numbers { inverses[$0] }, numbers { zeroPoints.isEmpty ? ofAll : Float(zeroPoints[$0]) },
    ]
    return stride(from: 0, to: lanes, by: vector).flatMap { first in lists.flatMap { $0[first..<first + vector] } }
  }

  /// The level of a sum; 0 where the result is float.
  /// - Parameter numbers: of each channel, as `multipliers` gives them for vectors of one.
  @inline(__always)
  func level(_ sum: Int32, _ numbers: UnsafePointer<Float>, channel: Int, residual: UInt8?) -> UInt8 {
    let value = value(sum, numbers, channel: channel, residual: residual)
    if let pieces { return pieces.level(at: ActivationPieces.position(value)) }
    return levels?.rounded(value) ?? 0
  }

  /// What stands before the rounding.
  /// - Parameter numbers: of each channel, as `multipliers` gives them for vectors of one.
  @inline(__always)
  func value(_ sum: Int32, _ numbers: UnsafePointer<Float>, channel: Int, residual level: UInt8?) -> Float {
    var term = term
    if let residual, let level { term = residual.offset.addingProduct(Float(level), residual.multiplier) }
    let own = numbers + channel * numbersPerChannel
    let v = term.addingProduct(Float(sum), own[0])
    guard let function else { return v }
    let result = function.value(v)
    guard let levels else { return result }
    return inverses.isEmpty
      ? Float(levels.zeroPoint).addingProduct(result, levels.inverse) : own[2].addingProduct(result, own[1])
  }
}

/// The numbers of a requantisation that all channels have in common, in the order in which generated code reads them.
enum RequantizationConstant: Int, CaseIterable {
  case term, residualMultiplier, inverse, zeroPoint, minimum, maximum, integerMinimum, integerMaximum

  /// Those that are floats.
  static let floats: [RequantizationConstant] = [.term, .residualMultiplier, .inverse, .zeroPoint, .minimum, .maximum]
}

extension Requantization {
  /// What code reads: `RepeatedNumbers` of the constants, then the words of the pieces.
  func numbers(_ target: CodeTarget) -> [Float] { RepeatedNumbers.list(constants) + words(target) }

  /// The words of the pieces, none where there are none.
  func words(_ target: CodeTarget) -> [Float] { pieces?.words(target) ?? [] }

  /// The numbers in the order of `RequantizationConstant`; the term is that of a residual where there is one.
  var constants: [Float] {
    RequantizationConstant.allCases.map { constant in
      switch constant {
      case .term: residual?.offset ?? term
      case .residualMultiplier: residual?.multiplier ?? 0
      case .inverse: levels?.inverse ?? 1
      case .zeroPoint: levels.map { Float($0.zeroPoint) } ?? 0
      case .minimum: pieces == nil ? levels.map { Float($0.minimum) } ?? 0 : -32_768
      case .maximum: pieces == nil ? levels.map { Float($0.maximum) } ?? 0 : 32_767
      case .integerMinimum: Float(bitPattern: UInt32(levels?.minimum ?? 0))
      case .integerMaximum: Float(bitPattern: UInt32(levels?.maximum ?? 0))
      }
    }
  }
}
