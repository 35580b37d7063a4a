import CNNCore

/// SiLU from integer sums to levels, in integers of 16 bits: half a register's worth, and half the work, of floats.
///
/// What lies between the number below which the result is 0 and the one above which it is the highest level is cut into 65,536
/// positions and 16 pieces of as many each. In a piece the level is a polynomial of degree 2, in sixty-fourths: at most
/// `tolerance` of a level from the function, and rounded once.
public struct ActivationPieces: Hashable, Sendable {
  /// Where `x` lies: at the position nearest to `x * density + origin`, from -32,768 to 32,767.
  let density, origin: Float
  /// Of each piece, that of the lowest positions in the middle: an unsigned number's upper four bits count from 0 on.
  let coefficients: [[Int16]]

  /// How many pieces there are, and positions in each.
  static let count = 16, positionsPerPiece = 1 << 12
  /// How many bits a level has behind the point.
  static let fractionBits = 6
  /// How far from the function a piece may be, in levels, beside the rounding.
  static let tolerance = 0.2

  /// SiLU, `x * sigmoid(x)`.
  /// - Returns: nil where the levels have limits of their own, lie too closely for positions or too far apart for parabolas.
  init?(siluTo levels: ByteLevels) {
    guard levels.minimum == 0, levels.maximum == 255 else { return nil }
    let scale = Double(levels.scale), zeroPoint = Double(levels.zeroPoint)
    var lowest = -4.0
    while Self.silu(lowest) < -scale / 8 && lowest > -40 { lowest -= 0.5 }
    // Where the function is the highest level: x = y (1 + exp(-x)).
    let top = (255 - zeroPoint) * scale
    var highest = top
    for _ in 0..<16 { highest = top * (1 + Self.exponential(ofMinus: highest)) }
    let density = Float(65_536 / (highest - lowest)), origin = Float(-32_768 - lowest * Double(density))
    // Between two positions there is at most a quarter of a level and, where the function is steepest, a tenth more.
    guard density.isNormal, origin.isFinite, Double(density) * scale >= 4 else { return nil }
    (self.density, self.origin) = (density, origin)

    /// The function in sixty-fourths of a level, with the half that makes cutting off a rounding.
    func exact(_ position: Double) -> Double {
      let x = (position - Double(origin)) / Double(density)
      return (Self.silu(x) / scale + zeroPoint + 0.5) * Double(1 << Self.fractionBits)
    }
    let pieces = (0..<Self.count).map { piece in
      let first = Double(Self.firstPosition(of: piece))
      return Self.parabola { exact(first + $0 * Double(Self.positionsPerPiece)) }
    }
    coefficients = (0..<3).map { power in
      pieces.map { Int16(min(max($0[power].rounded(), -32_768), 32_767)) }
    }

    let end = Double(256 << Self.fractionBits), limit = Self.tolerance * Double(1 << Self.fractionBits)
    for position in stride(from: Int(Int16.min), through: Int(Int16.max), by: Self.positionsPerPiece / 8) {
      let exact = min(max(exact(Double(position)), 0), end)
      let value = min(max(Double(fineLevel(at: Int16(position))), 0), end)
      if (exact - value).magnitude > limit { return nil }
    }
  }

  /// The lowest position of a piece.
  private static func firstPosition(of piece: Int) -> Int {
    (piece < count / 2 ? piece : piece - count) * positionsPerPiece
  }

  /// The coefficients of the parabola, the highest power's first, that meets a function of 0 to 1 where Chebyshev's
  /// polynomial of degree 3 is zero.
  private static func parabola(_ function: (Double) -> Double) -> [Double] {
    let t = [0.0669872981077807, 0.5, 0.9330127018922193], f = t.map(function)
    let lower = (f[1] - f[0]) / (t[1] - t[0]), upper = (f[2] - f[1]) / (t[2] - t[1])
    let second = (upper - lower) / (t[2] - t[0])
    return [second, lower - second * (t[0] + t[1]), f[0] - lower * t[0] + second * t[0] * t[1]]
  }

  private static func silu(_ x: Double) -> Double {
    let e = exponential(ofMinus: x.magnitude)
    return x * (x < 0 ? e : 1) / (1 + e)
  }

  /// exp(-u), u not below 0, only by operations that IEEE 754 fixes: libraries differ in the last bits, and levels must not.
  private static func exponential(ofMinus u: Double) -> Double {
    guard u < 64 else { return 0 }
    let v = u / 1024
    var result = 1 - v * (1 - v / 2 * (1 - v / 3 * (1 - v / 4 * (1 - v / 5))))
    for _ in 0..<10 { result *= result }
    return result
  }

  /// The level at a position.
  @inline(__always)
  func level(at position: Int16) -> UInt8 {
    UInt8(min(max(fineLevel(at: position) >> Self.fractionBits, 0), 255))
  }

  /// The level in sixty-fourths, and a half.
  @inline(__always)
  private func fineLevel(at position: Int16) -> Int16 {
    let piece = Int(UInt16(bitPattern: position) >> 12)
    // How far within the piece, as a fraction of 2^15.
    let fraction = Int16(truncatingIfNeeded: Int(position) << 3) & 0x7FFF
    var value = coefficients[0][piece]
    for own in coefficients.dropFirst() {
      let product = Int16(truncatingIfNeeded: (Int(value) * Int(fraction) + 0x4000) >> 15)
      value = Int16(clamping: Int(product) + Int(own[piece]))
    }
    return value
  }

  /// The position nearest to a number measured in positions, halves to the even one. What is no number becomes the lowest.
  @inline(__always)
  static func position(_ x: Float) -> Int16 {
    guard x >= -32_768 else { return .min }
    return x >= 32_767 ? .max : Int16(x.rounded(.toNearestOrEven))
  }

  /// The coefficients as generated code reads them, 64 bytes of each power. AVX-512 takes 16 bits by their index. AVX2 takes
  /// bytes, out of 16 in each half of a register: first the lower ones of all pieces, then the upper ones.
  func words(_ target: CodeTarget) -> [Float] {
    let bytes = coefficients.flatMap { own -> [UInt8] in
      let halves = [0, 8].map { shift in own.map { UInt8(truncatingIfNeeded: $0 >> shift) } }
      let words = zip(halves[0], halves[1]).flatMap { [$0, $1] }
      return target.hasAVX512 ? words + words : halves.flatMap { $0 + $0 }
    }
    return bytes.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 4).map {
        Float(bitPattern: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
      }
    }
  }

  /// The bytes of `words`.
  static let byteCount = 192
}
