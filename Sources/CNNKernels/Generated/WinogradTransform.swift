import CNNCore

/// Winograd's minimal filtering F(m x m, 3 x 3): a tile of m x m outputs of a 3 x 3 convolution by (m + 2)^2
/// multiplications per channel instead of 9 m^2 (Lavin and Gray, "Fast algorithms for convolutional neural networks",
/// 2015, section 4).
///
///     Y = A^T [ (G g G^T) * (B^T d B) ] A
///
/// summed over the input channels before the outer transform, so that each of the (m + 2)^2 positions is a product of
/// matrices.
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

  /// The matrix G, row by row.
  private var filterMatrix: [[Float]] {
    switch self {
    case .f2: [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    case .f4:
      [
        [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
      ]
    }
  }

  /// G g G^T of one 3 x 3 filter times `scale`, written at every `stride`-th float.
  func transform(_ g: UnsafePointer<Float>, scale: Float, into result: UnsafeMutablePointer<Float>, stride: Int) {
    // In double precision: it is done once, and its error would be in every prediction.
    let matrix = filterMatrix.map { $0.map(Double.init) }
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
      let four = constant(4, lanes: lanes), five = constant(5, lanes: lanes), two = constant(2, lanes: lanes)
      copy(t[0], d[4])
      multiplySubtract(t[0], d[2], four)  // d4 - 4 d2
      copy(t[1], d[3])
      multiplySubtract(t[1], d[1], four)  // d3 - 4 d1
      subtract(t[2], d[4], d[2])
      subtract(t[3], d[3], d[1])
      // The first and the last, before what they are made of is overwritten.
      multiplySubtract(d[4], d[2], five)
      multiplyAdd(d[4], d[0], four)
      copy(d[0], d[4])  // 4 d0 - 5 d2 + d4
      multiplySubtract(d[5], d[3], five)
      multiplyAdd(d[5], d[1], four)  // 4 d1 - 5 d3 + d5
      add(d[1], t[0], t[1])
      subtract(d[2], t[0], t[1])
      copy(d[3], t[2])
      multiplyAdd(d[3], t[3], two)
      copy(d[4], t[2])
      multiplySubtract(d[4], t[3], two)
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
      copy(m[1], t[1])
      multiplyAdd(m[1], t[3], constant(2, lanes: lanes))  // (m1 - m2) + 2 (m3 - m4)
      copy(m[2], t[0])
      multiplyAdd(m[2], t[2], constant(4, lanes: lanes))  // (m1 + m2) + 4 (m3 + m4)
      add(m[3], t[1], m[5])
      multiplyAdd(m[3], t[3], constant(8, lanes: lanes))  // (m1 - m2) + 8 (m3 - m4) + m5
    }
  }
}
