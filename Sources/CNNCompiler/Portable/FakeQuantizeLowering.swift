import CNNCore
import CNNGraph
import CNNKernels

extension FakeQuantize: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let levels = kernel(types.operands[0])
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: { levels.apply($0.operand(0), into: $0.result(), workers: $0.workers) })
  }

  /// The rounding of a tensor of this type.
  fileprivate func kernel(_ type: TensorType) -> FakeQuantizeKernels {
    let axis = axis == -1 ? type.rank - 1 : axis
    return FakeQuantizeKernels(
      scale: scale.map { Float($0) }, zero: zeroPoint.map { Float($0) }, minimum: Float(minimum),
      maximum: Float(maximum), count: type.count, channels: axis < 0 ? 1 : type.shape[axis],
      inner: axis < 0 ? 1 : type.shape[(axis + 1)...].reduce(1, *))
  }
}

extension FakeQuantizeGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let levels = forward.kernel(types.operands[0])
    return LoweredOperation(
      overwritableOperands: [[1, 0]],
      kernel: { levels.applyGradient($0.operand(0), $0.operand(1), into: $0.result(), workers: $0.workers) })
  }
}
