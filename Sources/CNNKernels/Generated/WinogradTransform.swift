import CNNCore

/// Winograd's minimal filtering F(m x m, 3 x 3): a tile of m x m outputs of a 3 x 3 convolution by (m + 2)^2
/// multiplications per channel instead of 9 m^2 (Lavin and Gray, "Fast algorithms for convolutional neural networks",
/// 2015, section 4).
///
///     Y = A^T [ (G g G^T) * (B^T d B) ] A
///
/// summed over the input channels before the outer transform, so that each of the (m + 2)^2 positions is a product of
/// matrices.
///
/// F(4 x 4) is made of the points 0, ±1/√2, ±√2 and infinity rather than 0, ±1, ±2 and infinity: its matrices have smaller
/// entries, and rounding errors are half as large (Barabasz et al., "Error analysis and improving the accuracy of Winograd
/// convolution for deep neural networks", 2020, on the choice of points).
public enum WinogradTransform: Int, Hashable, Sendable {
  /// 16 multiplications for 4 outputs: 2.25 times fewer than directly.
  case f2 = 2
  /// 36 for 16 outputs: 4 times fewer.
  case f4 = 4

  /// Outputs along a side of a tile.
  var outputs: Int { rawValue }
  /// Inputs along a side of a tile.
  var inputs: Int { rawValue + 2 }
  /// The positions of a transformed tile.
  var positions: Int { inputs * inputs }

  /// The points of F(4 x 4) beside 0 and infinity, each with both signs; their squares are 1/2 and 2.
  static let inner = 0.5.squareRoot(), outer = 2.0.squareRoot()
  /// G of F(4 x 4) is these rows times these factors.
  static let filterRows: [[Double]] = [
    [1, 0, 0], [1, inner, 0.5], [1, -inner, 0.5], [1, outer, 2], [1, -outer, 2], [0, 0, 1],
  ]
  static let filterFactors: [Double] = [1, -2 / 3, -2 / 3, 1 / 6, 1 / 6, 1]

  /// The matrix G, row by row.
  private var filterMatrix: [[Double]] {
    switch self {
    case .f2: [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    case .f4:
      zip(Self.filterFactors, Self.filterRows).map { factor, row in row.map { factor * $0 } }
    }
  }

  /// G g G^T of one 3 x 3 filter times `scale`, written at every `stride`-th float.
  func transform(_ g: UnsafePointer<Float>, scale: Float, into result: UnsafeMutablePointer<Float>, stride: Int) {
    // In double precision: it is done once, and its error would be in every prediction.
    let matrix = filterMatrix
    for row in 0..<inputs {
      let left = (0..<3).map { column in (0..<3).reduce(0.0) { $0 + matrix[row][$1] * Double(g[$1 * 3 + column]) } }
      for column in 0..<inputs {
        let value = (0..<3).reduce(0.0) { $0 + left[$1] * matrix[column][$1] }
        result[(row * inputs + column) * stride] = Float(value * Double(scale))
      }
    }
  }
}

extension VectorCode {
  /// B^T of one column of `d`: replaces the vectors by their transforms. `t` are four temporaries.
  func transformInput(_ transform: WinogradTransform, _ d: [WideRegister], _ t: [WideRegister]) {
    let lanes = d[0].lanes
    switch transform {
    case .f2:
      subtract(d[0], d[0], d[2])  // d0 - d2
      copy(t[0], d[1])
      add(d[1], d[1], d[2])  // d1 + d2
      subtract(d[2], d[2], t[0])  // d2 - d1
      subtract(d[3], t[0], d[3])  // d1 - d3
    case .f4:
      let half = constant(0.5, lanes: lanes), two = constant(2, lanes: lanes)
      let inner = constant(Float(WinogradTransform.inner), lanes: lanes)
      let outer = constant(Float(WinogradTransform.outer), lanes: lanes)
      let sum = constant(2.5, lanes: lanes)
      copy(t[0], d[4])
      multiplySubtract(t[0], d[2], two)  // d4 - 2 d2
      copy(t[1], d[3])
      multiplySubtract(t[1], d[1], two)  // d3 - 2 d1
      copy(t[2], d[4])
      multiplySubtract(t[2], d[2], half)  // d4 - d2 / 2
      copy(t[3], d[3])
      multiplySubtract(t[3], d[1], half)  // d3 - d1 / 2
      // The first and the last, before what they are made of is overwritten.
      add(d[0], d[0], d[4])
      multiplySubtract(d[0], d[2], sum)  // d0 - 2.5 d2 + d4
      add(d[5], d[5], d[1])
      multiplySubtract(d[5], d[3], sum)  // d1 - 2.5 d3 + d5
      copy(d[1], t[0])
      multiplyAdd(d[1], t[1], inner)
      copy(d[2], t[0])
      multiplySubtract(d[2], t[1], inner)
      copy(d[3], t[2])
      multiplyAdd(d[3], t[3], outer)
      copy(d[4], t[2])
      multiplySubtract(d[4], t[3], outer)
    }
  }

  /// A^T of one column of `m`: the first `outputs` of the vectors become the results. `t` are four temporaries.
  func transformOutput(_ transform: WinogradTransform, _ m: [WideRegister], _ t: [WideRegister]) {
    let lanes = m[0].lanes
    switch transform {
    case .f2:
      subtract(t[0], m[1], m[2])
      add(m[0], m[0], m[1])
      add(m[0], m[0], m[2])  // m0 + m1 + m2
      subtract(m[1], t[0], m[3])  // m1 - m2 - m3
    case .f4:
      add(t[0], m[1], m[2])
      subtract(t[1], m[1], m[2])
      add(t[2], m[3], m[4])
      subtract(t[3], m[3], m[4])
      add(m[0], m[0], t[0])
      add(m[0], m[0], t[2])  // m0 + (m1 + m2) + (m3 + m4)
      let inner = WinogradTransform.inner, outer = WinogradTransform.outer
      multiply(m[1], t[1], constant(Float(inner), lanes: lanes))
      multiplyAdd(m[1], t[3], constant(Float(outer), lanes: lanes))  // p (m1 - m2) + q (m3 - m4)
      multiply(m[2], t[0], constant(0.5, lanes: lanes))
      multiplyAdd(m[2], t[2], constant(2, lanes: lanes))  // (m1 + m2) / 2 + 2 (m3 + m4)
      copy(m[3], m[5])
      multiplyAdd(m[3], t[1], constant(Float(inner / 2), lanes: lanes))
      multiplyAdd(m[3], t[3], constant(Float(outer * 2), lanes: lanes))  // p^3 (m1 - m2) + q^3 (m3 - m4) + m5
    }
  }
}
