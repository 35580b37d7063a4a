import CNNCore
import Testing

@testable import CNNKernels
@testable import CNNRuntime

/// One product with operands stored with gaps, and its value summed in double precision.
private struct ProductCase {
  let rows: Int, columns: Int, depth: Int
  let transposeA: Bool, transposeB: Bool
  let alpha: Float, beta: Float
  let gapA: Int, gapB: Int, gapC: Int
  let a: GuardedFloats, b: GuardedFloats, initial: GuardedFloats

  var leadingDimensionA: Int { (transposeA ? rows : depth) + gapA }
  var leadingDimensionB: Int { (transposeB ? depth : columns) + gapB }
  var leadingDimensionC: Int { columns + gapC }

  static let outside: Float = 12345

  init(random: inout PhiloxGenerator, rows: Int, columns: Int, depth: Int) throws {
    (self.rows, self.columns, self.depth) = (rows, columns, depth)
    transposeA = Bool.random(using: &random)
    transposeB = Bool.random(using: &random)
    alpha = [1, 1, -0.5, 0][Int.random(in: 0..<4, using: &random)]
    beta = [0, 0, 1, 0.25][Int.random(in: 0..<4, using: &random)]
    gapA = Int.random(in: 0..<4, using: &random)
    gapB = Int.random(in: 0..<4, using: &random)
    gapC = Int.random(in: 0..<4, using: &random)
    let sizeA = (transposeA ? depth : rows) * ((transposeA ? rows : depth) + gapA)
    let sizeB = (transposeB ? columns : depth) * ((transposeB ? depth : columns) + gapB)
    a = try GuardedFloats(sizeA)
    b = try GuardedFloats(sizeB)
    initial = try GuardedFloats([Float](repeating: ProductCase.outside, count: rows * (columns + gapC)))
    for index in 0..<sizeA { a.pointer[index] = random.unit() - 0.5 }
    for index in 0..<sizeB { b.pointer[index] = random.unit() - 0.5 }
    for row in 0..<rows {
      for column in 0..<columns {
        initial.pointer[row * (columns + gapC) + column] = beta == 0 ? .nan : random.unit() - 0.5
      }
    }
  }

  /// The largest error of `multiply`'s result; infinite if it wrote outside C or left a NaN.
  func largestError(_ multiply: (ProductCase, UnsafeMutablePointer<Float>) -> Void) throws -> Double {
    let c = try GuardedFloats(initial.values)
    multiply(self, c.pointer)
    var largest = 0.0
    for row in 0..<rows {
      for column in 0..<columns {
        var sum = 0.0
        for step in 0..<depth {
          let left = a.pointer[transposeA ? step * leadingDimensionA + row : row * leadingDimensionA + step]
          let right = b.pointer[transposeB ? column * leadingDimensionB + step : step * leadingDimensionB + column]
          sum += Double(left) * Double(right)
        }
        let index = row * leadingDimensionC + column
        let expected = Double(alpha) * sum + (beta == 0 ? 0 : Double(beta) * Double(initial.pointer[index]))
        let error = abs(expected - Double(c.pointer[index]))
        largest = error.isNaN ? .infinity : max(largest, error)
      }
      for column in columns..<leadingDimensionC
      where c.pointer[row * leadingDimensionC + column] != ProductCase.outside { largest = .infinity }
    }
    return c.isIntact ? largest : .infinity
  }
}

private func multiply(_ product: ProductCase, _ c: UnsafeMutablePointer<Float>) {
  MatrixProduct.multiply(
    rows: product.rows, columns: product.columns, depth: product.depth, alpha: product.alpha,
    a: product.a.pointer, leadingDimensionA: product.leadingDimensionA, transposeA: product.transposeA,
    b: product.b.pointer, leadingDimensionB: product.leadingDimensionB, transposeB: product.transposeB,
    beta: product.beta, c: c, leadingDimensionC: product.leadingDimensionC)
}

private func multiplyPortably(_ product: ProductCase, _ c: UnsafeMutablePointer<Float>) {
  PortableMatrixProduct.multiply(
    rows: product.rows, columns: product.columns, depth: product.depth, alpha: product.alpha,
    a: StridedMatrix(
      product.a.pointer, leadingDimension: product.leadingDimensionA, isTransposed: product.transposeA),
    b: StridedMatrix(
      product.b.pointer, leadingDimension: product.leadingDimensionB, isTransposed: product.transposeB),
    beta: product.beta, c: c, leadingDimensionC: product.leadingDimensionC)
}

private func multiplyInParallel(_ product: ProductCase, _ c: UnsafeMutablePointer<Float>) {
  MatrixProduct.multiplyParallel(
    rows: product.rows, columns: product.columns, depth: product.depth, alpha: product.alpha,
    a: product.a.pointer, leadingDimensionA: product.leadingDimensionA, transposeA: product.transposeA,
    b: product.b.pointer, leadingDimensionB: product.leadingDimensionB, transposeB: product.transposeB,
    beta: product.beta, c: c, leadingDimensionC: product.leadingDimensionC, workers: Workers(count: 3))
}

@Test func productsAgreeWithDoublePrecisionOnAwkwardShapes() throws {
  let sizes = [0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 16, 17, 31, 33, 64, 65, 100]
  var random = PhiloxGenerator(seed: 7, stream: 1)
  for _ in 0..<300 {
    let product = try ProductCase(
      random: &random, rows: sizes.randomElement(using: &random) ?? 1,
      columns: sizes.randomElement(using: &random) ?? 1, depth: sizes.randomElement(using: &random) ?? 1)
    let shape: Comment =
      "\(product.rows)x\(product.columns)x\(product.depth) \(product.transposeA) \(product.transposeB)"
    #expect(try product.largestError(multiply) < 1e-5, shape)
    #expect(try product.largestError(multiplyPortably) < 1e-5, shape)
    #expect(try product.largestError(multiplyInParallel) < 1e-5, shape)
  }
}

@Test func productsAgreeWithDoublePrecisionOnLongSums() throws {
  var random = PhiloxGenerator(seed: 7, stream: 2)
  for (rows, columns, depth) in [(13, 70, 256), (70, 13, 257), (1, 200, 1000), (200, 1, 513), (129, 65, 300)] {
    let product = try ProductCase(random: &random, rows: rows, columns: columns, depth: depth)
    #expect(try product.largestError(multiply) < 1e-4)
    #expect(try product.largestError(multiplyPortably) < 1e-4)
    #expect(try product.largestError(multiplyInParallel) < 1e-4)
  }
}

@Test func aParallelProductHasTheSameBitsWhenThePoolIsBusy() throws {
  var random = PhiloxGenerator(seed: 7, stream: 3)
  let product = try ProductCase(random: &random, rows: 130, columns: 90, depth: 70)
  let initial = product.initial.values
  let free = try GuardedFloats(initial), busy = try GuardedFloats(initial)
  multiplyInParallel(product, free.pointer)
  ThreadPool.shared.run(partCount: 2) { part in
    if part == 0 { multiplyInParallel(product, busy.pointer) }
  }
  #expect(free.bits == busy.bits)
}
