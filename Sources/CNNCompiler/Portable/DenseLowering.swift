import CNNCore
import CNNGraph
import CNNKernels

/// A tensor as a matrix: all axes but the last are rows.
struct MatrixShape {
  let rows, columns: Int

  init(_ type: TensorType) {
    columns = type.shape.last ?? 1
    rows = type.count / columns
  }
}

extension StepCost {
  /// A product of matrices of so many rows, columns and terms.
  fileprivate init(ofProduct rows: Int, _ columns: Int, _ depth: Int) {
    operations = 2 * rows * columns * depth
    shape = "\(depth) -> \(columns)"
  }
}

extension Dense: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let x = MatrixShape(types.operands[0]), y = MatrixShape(types.results[0])
    let hasBias = types.operands.count == 3
    var cost = StepCost(ofProduct: x.rows, y.columns, x.columns)
    cost.shape = "\(x.columns) -> \(y.columns)"
    return LoweredOperation(
      cost: cost,
      kernel: { arguments in
        let result = arguments.result()
        if hasBias {
          for row in 0..<y.rows { (result + row * y.columns).update(from: arguments.operand(2), count: y.columns) }
        }
        MatrixProduct.multiplyParallel(
          rows: x.rows, columns: y.columns, depth: x.columns, a: arguments.operand(0), leadingDimensionA: x.columns,
          b: arguments.operand(1), leadingDimensionB: x.columns, transposeB: true, beta: hasBias ? 1 : 0, c: result,
          leadingDimensionC: y.columns, workers: arguments.workers)
      })
  }
}

extension DenseInputGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let dy = MatrixShape(types.operands[0]), dx = MatrixShape(types.results[0])
    return LoweredOperation(
      cost: StepCost(ofProduct: dy.rows, dx.columns, dy.columns),
      kernel: {
        MatrixProduct.multiplyParallel(
          rows: dy.rows, columns: dx.columns, depth: dy.columns, a: $0.operand(0), leadingDimensionA: dy.columns,
          b: $0.operand(1), leadingDimensionB: dx.columns, c: $0.result(), leadingDimensionC: dx.columns,
          workers: $0.workers)
      })
  }
}

extension DenseWeightGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let x = MatrixShape(types.operands[0]), dy = MatrixShape(types.operands[1])
    return LoweredOperation(
      cost: StepCost(ofProduct: dy.columns, x.columns, x.rows),
      kernel: {
        MatrixProduct.multiplyParallel(
          rows: dy.columns, columns: x.columns, depth: x.rows, a: $0.operand(1), leadingDimensionA: dy.columns,
          transposeA: true, b: $0.operand(0), leadingDimensionB: x.columns, c: $0.result(),
          leadingDimensionC: x.columns, workers: $0.workers)
      })
  }
}
