/// How many rows of a tall product to give to BLAS at once.
enum MatrixBlocking {
  /// OpenBLAS multiplies without copying its operands while `m * n * k` is at most this (its small-matrix kernels for
  /// AVX-512, `interface/gemm.c`), which is up to twice as fast on products that are narrow.
  private static let smallProduct = 1_000_000
  /// Fewer rows than this do not fill the registers of the kernels.
  private static let fewestRows = 24
  /// Rows of a product that is too wide for the above.
  private static let wideRows = 512

  /// Rows (or, of a transposed product, depth) of a block, where the other two sizes are `columns` and `depth`.
  static func rows(columns: Int, depth: Int) -> Int {
    let small = smallProduct / (columns * depth)
    return small >= fewestRows ? small / 8 * 8 : wideRows
  }
}
