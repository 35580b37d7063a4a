import CNNRuntime
import COpenBLAS
import CNNCore

/// Products of row-major float matrices.
public enum MatrixProduct {
  /// C = alpha op(A) op(B) + beta C on the calling thread, where op transposes or does nothing.
  ///
  /// Where OpenBLAS computes it, it stays on this thread only inside `OpenBLAS.withSingleThread`.
  /// - Parameters:
  ///   - rows: The rows m of op(A) and C.
  ///   - columns: The columns n of op(B) and C.
  ///   - depth: The columns k of op(A), which are the rows of op(B); with 0, C = beta C.
  ///   - a: A, [rows, depth], or [depth, rows] if `transposeA`.
  ///   - leadingDimensionA: The distance between two rows of A as stored, in elements; at least the length of a row.
  ///   - b: B, [depth, columns], or [columns, depth] if `transposeB`.
  ///   - leadingDimensionB: As for A.
  ///   - beta: With 0, C is overwritten whatever it holds, NaN included.
  ///   - c: C, [rows, columns].
  ///   - leadingDimensionC: As for A.
  public static func multiply(
    rows: Int, columns: Int, depth: Int, alpha: Float = 1,
    a: UnsafePointer<Float>, leadingDimensionA: Int, transposeA: Bool = false,
    b: UnsafePointer<Float>, leadingDimensionB: Int, transposeB: Bool = false,
    beta: Float = 0, c: UnsafeMutablePointer<Float>, leadingDimensionC: Int
  ) {
    if rows <= 0 || columns <= 0 { return }
    let largest = max(rows, columns, depth, max(leadingDimensionA, leadingDimensionB, leadingDimensionC))
    if depth > 0, largest <= Int(blasint.max), let library = OpenBLAS.library {
      library.sgemm(
        CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
        blasint(rows), blasint(columns), blasint(depth), alpha, a, blasint(leadingDimensionA),
        b, blasint(leadingDimensionB), beta, c, blasint(leadingDimensionC))
    } else {
      PortableMatrixProduct.multiply(
        rows: rows, columns: columns, depth: depth, alpha: alpha,
        a: StridedMatrix(a, leadingDimension: leadingDimensionA, isTransposed: transposeA),
        b: StridedMatrix(b, leadingDimension: leadingDimensionB, isTransposed: transposeB),
        beta: beta, c: c, leadingDimensionC: leadingDimensionC)
    }
  }

  /// The same product, divided over the rows or the columns of C, whichever are more.
  ///
  /// How it is divided depends on the sizes and on `workers.count` alone. Small products stay on the calling thread.
  public static func multiplyParallel(
    rows: Int, columns: Int, depth: Int, alpha: Float = 1,
    a: UnsafePointer<Float>, leadingDimensionA: Int, transposeA: Bool = false,
    b: UnsafePointer<Float>, leadingDimensionB: Int, transposeB: Bool = false,
    beta: Float = 0, c: UnsafeMutablePointer<Float>, leadingDimensionC: Int, workers: Workers
  ) {
    /// The product of some rows of op(A) with some columns of op(B).
    func multiplyPart(_ rowRange: Range<Int>, _ columnRange: Range<Int>) {
      multiply(
        rows: rowRange.count, columns: columnRange.count, depth: depth, alpha: alpha,
        a: a + rowRange.lowerBound * (transposeA ? 1 : leadingDimensionA),
        leadingDimensionA: leadingDimensionA, transposeA: transposeA,
        b: b + columnRange.lowerBound * (transposeB ? leadingDimensionB : 1),
        leadingDimensionB: leadingDimensionB, transposeB: transposeB,
        beta: beta, c: c + rowRange.lowerBound * leadingDimensionC + columnRange.lowerBound,
        leadingDimensionC: leadingDimensionC)
    }
    if rows <= 0 || columns <= 0 { return }
    OpenBLAS.withSingleThread {
      // In floating point, because the product of three sizes may not fit an integer.
      if Double(rows) * Double(columns) * Double(max(1, depth)) < smallestParallelProduct {
        multiplyPart(0..<rows, 0..<columns)
      } else if rows >= columns {
        workers.forEachRange(of: rows, grain: grain) { range, _ in multiplyPart(range, 0..<columns) }
      } else {
        workers.forEachRange(of: columns, grain: grain) { range, _ in multiplyPart(0..<rows, range) }
      }
    }
  }

  /// Multiplications that take about as long as waking a thread.
  private static let smallestParallelProduct = 65536.0
  /// A multiple of the register tiles of the usual kernels.
  private static let grain = 16
}
