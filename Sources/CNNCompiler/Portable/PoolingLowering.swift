import CNNCore
import CNNGraph
import CNNKernels

extension Pooling2D: PortableOperation {
  /// The kernels' view of the pooling on an input of this shape.
  func geometry(input: [Int]) throws(CNNError) -> Pooling.Geometry {
    let placed = try window.placed(onHeight: input[1], width: input[2])
    return Pooling.Geometry(
      images: input[0], channels: input[3], input: .init(input[1], input[2]),
      output: .init(placed.output[0], placed.output[1]), window: .init(window.kernel[0], window.kernel[1]),
      stride: .init(window.stride[0], window.stride[1]), dilation: .init(window.dilation[0], window.dilation[1]),
      paddingBefore: .init(placed.top, placed.left), paddingAfter: .init(placed.bottom, placed.right))
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    lowerForward(kind, try geometry(input: types.operands[0].shape), countsPadding: countsPadding)
  }
}

extension Pooling2DGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    lowerBackward(pooling.kind, try pooling.geometry(input: inputShape), countsPadding: pooling.countsPadding)
  }
}

extension GlobalPooling2D: PortableOperation {
  /// The kernels' view of the pooling on an input of this shape.
  func geometry(input: [Int]) -> Pooling.Geometry {
    .global(images: input[0], channels: input[3], height: input[1], width: input[2])
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    lowerForward(kind, geometry(input: types.operands[0].shape), countsPadding: false)
  }
}

extension GlobalPooling2DGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    lowerBackward(pooling.kind, pooling.geometry(input: inputShape), countsPadding: false)
  }
}

private func lowerForward(_ kind: PoolingKind, _ geometry: Pooling.Geometry, countsPadding: Bool) -> LoweredOperation {
  switch kind {
  case .max:
    LoweredOperation(kernel: { Pooling.maximum($0.operand(0), into: $0.result(), geometry, workers: $0.workers) })
  case .average:
    LoweredOperation(kernel: {
      Pooling.average(
        $0.operand(0), into: $0.result(), countsPadding: countsPadding, geometry, workers: $0.workers)
    })
  }
}

private func lowerBackward(_ kind: PoolingKind, _ geometry: Pooling.Geometry, countsPadding: Bool)
  -> LoweredOperation
{
  switch kind {
  case .max:
    LoweredOperation(kernel: {
      Pooling.maximumBackward(
        $0.operand(1), $0.operand(2), $0.operand(0), into: $0.result(), geometry, workers: $0.workers)
    })
  case .average:
    LoweredOperation(kernel: {
      Pooling.averageBackward(
        $0.operand(0), into: $0.result(), countsPadding: countsPadding, geometry, workers: $0.workers)
    })
  }
}
