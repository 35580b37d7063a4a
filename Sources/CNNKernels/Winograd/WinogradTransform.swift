/// Winograd's minimal filtering F(m x m, r x r): a tile of m x m outputs of an r x r convolution by (m + r - 1)^2
/// multiplications per channel instead of r^2 m^2 (Lavin and Gray, "Fast algorithms for convolutional neural networks",
/// 2015, section 4).
///
///     Y = A^T [ (G g G^T) * (B^T d B) ] A
///
/// summed over the input channels before the outer transform, so that each of the (m + r - 1)^2 positions is a product of
/// matrices.
///
/// Tiles of 6 x 6 inputs are made of the points 0, ±1/√2, ±√2 and infinity rather than 0, ±1, ±2 and infinity: their
/// matrices have smaller entries, and rounding errors are half as large (Barabasz et al., "Error analysis and improving
/// the accuracy of Winograd convolution for deep neural networks", 2020, on the choice of points).
public enum WinogradTransform: Hashable, Sendable {
  /// F(2 x 2, 3 x 3): 16 multiplications for 4 outputs, 2.25 times fewer than directly.
  case f2
  /// F(4 x 4, 3 x 3): 36 for 16 outputs, 4 times fewer.
  case f4
  /// F(3 x 3, 4 x 4): 36 for 9 outputs, 4 times fewer.
  case f3WithFourTaps

  /// Outputs along a side of a tile.
  var outputs: Int {
    switch self {
    case .f2: 2
    case .f4: 4
    case .f3WithFourTaps: 3
    }
  }
  /// The filter's size.
  var taps: Int { self == .f3WithFourTaps ? 4 : 3 }
  /// Inputs along a side of a tile.
  var inputs: Int { outputs + taps - 1 }
  /// The positions of a transformed tile.
  var positions: Int { inputs * inputs }
  /// How it is called in profiles.
  public var name: String { "f\(outputs)" }

  /// The points of tiles of 6 x 6 beside 0 and infinity, each with both signs; their squares are 1/2 and 2, their product
  /// is 1.
  static let inner = 0.5.squareRoot(), outer = 2.0.squareRoot()
  /// The points without infinity.
  var points: [Double] {
    self == .f2 ? [0, 1, -1] : [0, Self.inner, -Self.inner, Self.outer, -Self.outer]
  }
  /// Rows of G are powers of the points times these factors; the last row, of infinity, has none.
  var filterFactors: [Double] {
    let inner = -2.0 / 3, outer = 1.0 / 6
    return self == .f2 ? [1, 0.5, 0.5, 1] : [1, inner, inner, outer, outer, 1]
  }

  /// A row of the matrix G, a number for each tap.
  func filterRow(_ row: Int) -> [Double] {
    guard row < points.count else { return Array(repeating: 0, count: taps - 1) + [1] }
    var powers = [filterFactors[row]]
    while powers.count < taps { powers.append(powers[powers.count - 1] * points[row]) }
    return powers
  }

  /// Where a side is `outputs - 1` pixels too long to be cut evenly, some tiles have one output less: for them the point
  /// `shortPosition` is left out, and all products with it.
  var hasShortTiles: Bool { self == .f4 }
  /// The position that short tiles lack.
  static let shortPosition = 4

  /// The outputs of each tile along a side of `size` pixels.
  func cut(_ size: Int) -> [Int] {
    let count = (size + outputs - 1) / outputs, spare = count * outputs - size
    guard hasShortTiles, spare <= count else { return Array(repeating: outputs, count: count) }
    return Array(repeating: outputs, count: count - spare) + Array(repeating: outputs - 1, count: spare)
  }
}

extension VectorCode {
  /// B^T of one column of `d`: replaces the vectors by their transforms. `t` are four temporaries.
  /// - Parameter isShort: whether it has one output and one input less; the vector at the `shortPosition` is then lost.
  func transformInput(_ transform: WinogradTransform, isShort: Bool, _ d: [WideRegister], _ t: [WideRegister]) {
    let lanes = d[0].lanes
    func times(_ value: Double) -> Operand { constant(Float(value), lanes: lanes) }
    let p = WinogradTransform.inner, q = WinogradTransform.outer
    if transform == .f2 {
      transformInput(d, t[0], sum: add, difference: subtract)
    } else if isShort {
      // The polynomials of the points 0, p, -p, q and infinity, times what makes G's rows those of the whole tile.
      copy(t[0], d[3])
      multiplySubtract(t[0], d[1], times(0.5))  // d3 - d1 / 2
      copy(t[1], d[3])
      subtract(t[1], t[1], d[1])
      multiplySubtract(t[1], d[2], times(p))  // d3 - p d2 - d1
      add(t[2], d[1], d[3])
      multiply(t[2], t[2], times(p))
      multiplySubtract(t[2], d[2], times(1.5))  // p (d3 + d1) - 1.5 d2
      // d0 - p d1 - 2 d2 + q d3 and d4 - q d3 - d2 / 2 + p d1
      multiplyAdd(d[0], d[3], times(q))
      multiplySubtract(d[0], d[1], times(p))
      multiplySubtract(d[0], d[2], times(2))
      copy(d[5], d[4])
      multiplySubtract(d[5], d[3], times(q))
      multiplySubtract(d[5], d[2], times(0.5))
      multiplyAdd(d[5], d[1], times(p))
      multiply(d[1], t[1], times(p + q))
      copy(d[2], t[2])
      multiply(d[3], t[0], times(2 * q))
    } else {
      copy(t[0], d[4])
      multiplySubtract(t[0], d[2], times(2))  // d4 - 2 d2
      copy(t[1], d[3])
      multiplySubtract(t[1], d[1], times(2))  // d3 - 2 d1
      copy(t[2], d[4])
      multiplySubtract(t[2], d[2], times(0.5))  // d4 - d2 / 2
      copy(t[3], d[3])
      multiplySubtract(t[3], d[1], times(0.5))  // d3 - d1 / 2
      // The first and the last, before what they are made of is overwritten.
      add(d[0], d[0], d[4])
      multiplySubtract(d[0], d[2], times(2.5))  // d0 - 2.5 d2 + d4
      add(d[5], d[5], d[1])
      multiplySubtract(d[5], d[3], times(2.5))  // d1 - 2.5 d3 + d5
      copy(d[1], t[0])
      multiplyAdd(d[1], t[1], times(p))
      copy(d[2], t[0])
      multiplySubtract(d[2], t[1], times(p))
      copy(d[3], t[2])
      multiplyAdd(d[3], t[3], times(q))
      copy(d[4], t[2])
      multiplySubtract(d[4], t[3], times(q))
    }
  }

  /// B^T of a column of F(2 x 2, 3 x 3), of whatever numbers are added and subtracted.
  func transformInput(
    _ d: [WideRegister], _ t: WideRegister, sum: (WideRegister, WideRegister, WideRegister) -> Void,
    difference: (WideRegister, WideRegister, WideRegister) -> Void
  ) {
    difference(d[0], d[0], d[2])  // d0 - d2
    copy(t, d[1])
    sum(d[1], d[1], d[2])  // d1 + d2
    difference(d[2], d[2], t)  // d2 - d1
    difference(d[3], t, d[3])  // d1 - d3
  }

  /// A^T of one column of `m`: the first `outputs` of the vectors become the results. `t` are four temporaries.
  /// - Parameter isShort: whether there is one output less; the vector at the `shortPosition` is then not read.
  func transformOutput(_ transform: WinogradTransform, isShort: Bool, _ m: [WideRegister], _ t: [WideRegister]) {
    let lanes = m[0].lanes
    func times(_ value: Double) -> Operand { constant(Float(value), lanes: lanes) }
    let p = WinogradTransform.inner, q = WinogradTransform.outer
    if transform == .f2 {
      subtract(t[0], m[1], m[2])
      add(m[0], m[0], m[1])
      add(m[0], m[0], m[2])  // m0 + m1 + m2
      subtract(m[1], t[0], m[3])  // m1 - m2 - m3
      return
    }
    // Row k is m0 [k = 0] + p^k (m1 ± m2) + q^k (m3 ± m4) + m5 [k = last], the sign that of (-1)^k.
    add(t[0], m[1], m[2])
    subtract(t[1], m[1], m[2])
    if isShort {
      copy(t[2], m[3])
      copy(t[3], m[3])
    } else {
      add(t[2], m[3], m[4])
      subtract(t[3], m[3], m[4])
    }
    add(m[0], m[0], t[0])
    add(m[0], m[0], t[2])
    multiply(m[1], t[1], times(p))
    multiplyAdd(m[1], t[3], times(q))
    if transform.outputs - (isShort ? 1 : 0) == 3 {
      copy(m[2], m[5])
      multiplyAdd(m[2], t[0], times(0.5))
      multiplyAdd(m[2], t[2], times(2))
    } else {
      multiply(m[2], t[0], times(0.5))
      multiplyAdd(m[2], t[2], times(2))
      copy(m[3], m[5])
      multiplyAdd(m[3], t[1], times(p / 2))
      multiplyAdd(m[3], t[3], times(q * 2))
    }
  }
}
