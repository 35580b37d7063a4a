/// A matrix as it is read: element (i, j) is `base[i * rowStride + j * columnStride]`.
struct StridedMatrix {
  let base: UnsafePointer<Float>
  let rowStride: Int
  let columnStride: Int

  /// The matrix stored row by row at `base`, or its transpose.
  init(_ base: UnsafePointer<Float>, leadingDimension: Int, isTransposed: Bool) {
    self.base = base
    rowStride = isTransposed ? 1 : leadingDimension
    columnStride = isTransposed ? leadingDimension : 1
  }
}

/// The matrix product for machines without OpenBLAS.
///
/// The method is that of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication", 2008) without
/// its outer blocking: a panel of B, `tileColumns` wide and `panelDepth` deep, is copied to where it stays in the
/// first-level cache, and every tile of C that it meets is summed up in registers.
enum PortableMatrixProduct {
  private static let tileRows = 6
  private static let tileColumns = 8
  private static let panelDepth = 256
  private typealias Panel = InlineArray<512, SIMD4<Float>>  // panelDepth * tileColumns / 4

  /// C = alpha A B + beta C; see `MatrixProduct.multiply`.
  static func multiply(
    rows: Int, columns: Int, depth: Int, alpha: Float, a: StridedMatrix, b: StridedMatrix,
    beta: Float, c: UnsafeMutablePointer<Float>, leadingDimensionC: Int
  ) {
    if depth <= 0 || alpha == 0 {
      for row in 0..<rows { scale(c + row * leadingDimensionC, count: columns, by: beta) }
      return
    }
    // On the stack: nothing is allocated.
    var panel = Panel(repeating: SIMD4(repeating: 0))
    withUnsafeMutableBytes(of: &panel) { bytes in
      guard let panel = bytes.baseAddress?.assumingMemoryBound(to: Float.self) else { return }
      for column in stride(from: 0, to: columns, by: tileColumns) {
        let width = min(tileColumns, columns - column)
        for first in stride(from: 0, to: depth, by: panelDepth) {
          let panelDepth = min(panelDepth, depth - first)
          let source = b.base + first * b.rowStride + column * b.columnStride
          pack(source, b, depth: panelDepth, width: width, into: panel)
          for row in stride(from: 0, to: rows, by: tileRows) {
            multiplyTile(
              a.base + row * a.rowStride + first * a.columnStride, a, height: min(tileRows, rows - row),
              panel: panel, depth: panelDepth, width: width,
              alpha: alpha, beta: first == 0 ? beta : 1,
              c: c + row * leadingDimensionC + column, leadingDimensionC: leadingDimensionC)
          }
        }
      }
    }
  }

  private static func scale(_ values: UnsafeMutablePointer<Float>, count: Int, by factor: Float) {
    if factor == 0 {
      values.update(repeating: 0, count: count)
    } else {
      for index in 0..<count { values[index] *= factor }
    }
  }

  /// Copies `depth` x `width` elements so that each row has `tileColumns` of them, the missing ones 0.
  private static func pack(
    _ source: UnsafePointer<Float>, _ matrix: StridedMatrix, depth: Int, width: Int,
    into panel: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<depth {
      let from = source + row * matrix.rowStride
      let to = panel + row * tileColumns
      for column in 0..<width { to[column] = from[column * matrix.columnStride] }
      for column in width..<tileColumns { to[column] = 0 }
    }
  }

  /// One tile of C, `height` x `width`, from `height` rows of A and a packed panel of B.
  @inline(__always)
  private static func multiplyTile(
    _ a: UnsafePointer<Float>, _ matrix: StridedMatrix, height: Int,
    panel: UnsafePointer<Float>, depth: Int, width: Int,
    alpha: Float, beta: Float, c: UnsafeMutablePointer<Float>, leadingDimensionC: Int
  ) {
    // Rows that do not exist repeat the last one; their sums are not stored.
    let last = height - 1
    var a0 = a
    var a1 = a + min(1, last) * matrix.rowStride
    var a2 = a + min(2, last) * matrix.rowStride
    var a3 = a + min(3, last) * matrix.rowStride
    var a4 = a + min(4, last) * matrix.rowStride
    var a5 = a + min(5, last) * matrix.rowStride
    let step = matrix.columnStride
    var left0 = SIMD4<Float>(), left1 = left0, left2 = left0, left3 = left0, left4 = left0, left5 = left0
    var right0 = left0, right1 = left0, right2 = left0, right3 = left0, right4 = left0, right5 = left0
    var b = UnsafeRawPointer(panel)
    for _ in 0..<depth {
      let left = b.load(as: SIMD4<Float>.self)
      let right = b.load(fromByteOffset: 16, as: SIMD4<Float>.self)
      left0 += left * a0.pointee
      right0 += right * a0.pointee
      left1 += left * a1.pointee
      right1 += right * a1.pointee
      left2 += left * a2.pointee
      right2 += right * a2.pointee
      left3 += left * a3.pointee
      right3 += right * a3.pointee
      left4 += left * a4.pointee
      right4 += right * a4.pointee
      left5 += left * a5.pointee
      right5 += right * a5.pointee
      b += 32
      a0 += step
      a1 += step
      a2 += step
      a3 += step
      a4 += step
      a5 += step
    }
    func store(_ row: Int, _ left: SIMD4<Float>, _ right: SIMD4<Float>) {
      if row >= height { return }
      let target = c + row * leadingDimensionC
      let sums = SIMD8<Float>(lowHalf: left, highHalf: right) * alpha
      for column in 0..<width {
        target[column] = beta == 0 ? sums[column] : beta * target[column] + sums[column]
      }
    }
    store(0, left0, right0)
    store(1, left1, right1)
    store(2, left2, right2)
    store(3, left3, right3)
    store(4, left4, right4)
    store(5, left5, right5)
  }
}
