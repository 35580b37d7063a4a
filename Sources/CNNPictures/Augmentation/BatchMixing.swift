import CNNCore
import CNNRuntime

/// Pictures of a batch mixed with each other, and their targets by the same shares: mixup (Zhang et al., "mixup: beyond
/// empirical risk minimization", 2017) lays one over the other, CutMix (Yun et al. 2019) puts a rectangle of one into the
/// other. As torchvision does it, each picture meets the one before it in the batch, and one share is drawn for all.
public struct BatchMixing: Sendable {
  /// The parameter of the beta distribution that mixup's share is drawn from; 0 for no mixup.
  public var mixup: Double
  /// The same of CutMix. Where there are both, each batch has one of the two, with equal probability.
  public var cutmix: Double

  /// Mixing.
  public init(mixup: Double = 0, cutmix: Double = 0) { (self.mixup, self.cutmix) = (mixup, cutmix) }

  /// Whether anything is mixed.
  public var isOn: Bool { mixup > 0 || cutmix > 0 }

  /// Mixes a batch in place.
  /// - Parameters:
  ///   - pixels: `count` pictures of `height * width * channels` bytes.
  ///   - targets: `count` rows of `classes` numbers.
  ///   - random: the batch's own.
  public func apply(
    to pixels: UnsafeMutablePointer<UInt8>, targets: UnsafeMutablePointer<Float>, count: Int, height: Int, width: Int,
    channels: Int, classes: Int, random: inout PhiloxGenerator
  ) throws(CNNError) {
    guard isOn, count > 1 else { return }
    let cuts = cutmix > 0 && (mixup <= 0 || random.happens(0.5))
    let pictureLength = height * width * channels
    if cuts {
      // A rectangle of that share of the area, as far as it is within the picture.
      let half = 0.5 * (1 - random.beta(cutmix)).squareRoot()
      let middle = (x: random.below(width), y: random.below(height))
      let halfWidth = Int(half * Double(width)), halfHeight = Int(half * Double(height))
      let columns = max(0, middle.x - halfWidth)..<min(width, middle.x + halfWidth)
      let rows = max(0, middle.y - halfHeight)..<min(height, middle.y + halfHeight)
      try Self.mix(pixels, count, pictureLength) { picture, other in
        for row in rows {
          let start = (row * width + columns.lowerBound) * channels
          (picture + start).copyMemory(from: other + start, byteCount: columns.count * channels)
        }
      }
      let share = Float(1 - Double(rows.count * columns.count) / Double(height * width))
      try Self.mixTargets(targets, count, classes, share)
    } else {
      let share = random.beta(mixup)
      // Shares of 1/65536, rounded to the nearest byte.
      let own = Int32((share * 65536).rounded()), others = 65536 - own
      try Self.mix(pixels, count, pictureLength) { picture, other in
        let picture = picture.assumingMemoryBound(to: UInt8.self), other = other.assumingMemoryBound(to: UInt8.self)
        for place in 0..<pictureLength {
          let sum = Int32(picture[place]) &* own &+ Int32(other[place]) &* others &+ 0x8000
          picture[place] = UInt8(truncatingIfNeeded: sum &>> 16)
        }
      }
      try Self.mixTargets(targets, count, classes, Float(share))
    }
  }

  private static func mixTargets(
    _ targets: UnsafeMutablePointer<Float>, _ count: Int, _ classes: Int, _ share: Float
  ) throws(CNNError) {
    try mix(targets, count, classes * MemoryLayout<Float>.stride) { row, other in
      let row = row.assumingMemoryBound(to: Float.self), other = other.assumingMemoryBound(to: Float.self)
      for place in 0..<classes { row[place] = share * row[place] + (1 - share) * other[place] }
    }
  }

  /// Calls `body` with each row of so many bytes and the one before it, which has not been changed yet.
  @inline(never)
  private static func mix(
    _ rows: UnsafeMutableRawPointer, _ count: Int, _ length: Int,
    _ body: (_ row: UnsafeMutableRawPointer, _ other: UnsafeRawPointer) -> Void
  ) throws(CNNError) {
    let copy = try Memory(byteCount: length, for: "mixing of a batch")
    copy.base.copyMemory(from: rows + (count - 1) * length, byteCount: length)
    for row in stride(from: count - 1, to: 0, by: -1) { body(rows + row * length, rows + (row - 1) * length) }
    withExtendedLifetime(copy) { body(rows, copy.base) }
  }
}
