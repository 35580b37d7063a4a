import CNNCore

/// What the processor's sums of products of bfloat16 mean, bit by bit: the oracle for generated code.
///
/// Both round each addition of a product once, to nearest even, and take and give subnormal numbers as zero. They differ
/// in the order of the additions, and so in bits.
enum BFloat16Product {
  /// `vdpbf16ps`: adds to the running sum the product of the odd elements of a pair, then that of the even ones.
  static func addingPair(
    to sum: Float, _ a: (even: BFloat16, odd: BFloat16), _ b: (even: BFloat16, odd: BFloat16)
  ) -> Float {
    addingProduct(addingProduct(sum, a.odd, b.odd), a.even, b.even)
  }

  /// `tdpbf16ps`, one number of the tile: adds up the products of all even elements from zero, those of the odd ones too,
  /// then both, and that to the old sum. Where a longer sum is cut into tiles decides its bits.
  /// - Precondition: `a` and `b` have the same even number of elements, pairs of a tile's row and column.
  static func addingTile(to sum: Float, _ a: [BFloat16], _ b: [BFloat16]) -> Float {
    precondition(a.count == b.count && a.count % 2 == 0)
    var sums: (even: Float, odd: Float) = (0, 0)
    for index in stride(from: 0, to: a.count, by: 2) {
      sums.even = addingProduct(sums.even, a[index], b[index])
      sums.odd = addingProduct(sums.odd, a[index + 1], b[index + 1])
    }
    return flushed(flushed(sum) + flushed(sums.even + sums.odd))
  }

  /// sum + a b, rounded once.
  private static func addingProduct(_ sum: Float, _ a: BFloat16, _ b: BFloat16) -> Float {
    flushed(flushed(sum).addingProduct(flushed(Float(a)), flushed(Float(b))))
  }

  /// Zero of the same sign in place of a subnormal number.
  static func flushed(_ x: Float) -> Float { x.isSubnormal ? Float(signOf: x, magnitudeOf: 0) : x }

  /// `vcvtneps2bf16`: rounds to nearest even, and takes subnormal numbers as zero.
  static func rounded(_ x: Float) -> BFloat16 { BFloat16(flushed(x)) }
}
