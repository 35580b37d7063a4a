import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Activation: PortableOperation {
  /// The constants as the kernels take them.
  var constantLanes: SIMD4<Float> {
    var lanes = SIMD4<Float>()
    for (lane, value) in zip(lanes.indices, constants) { lanes[lane] = Float(value) }
    return lanes
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (function, constants, count) = (function, constantLanes, types.operands[0].storedCount)
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        ActivationKernels.forward(
          function, constants: constants, $0.operand(0), into: $0.result(), count: count, workers: $0.workers)
      })
  }
}

extension ActivationGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (function, constants) = (activation.function, activation.constantLanes)
    let count = types.operands[0].count
    return LoweredOperation(
      overwritableOperands: [[1]],
      kernel: {
        ActivationKernels.backward(
          function, constants: constants, $0.operand(0), $0.operand(1), into: $0.result(), count: count,
          workers: $0.workers)
      })
  }
}

extension Softmax: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        SoftmaxKernels.forward(
          x: $0.operand(0), y: $0.result(), rows: shape.rows, classes: shape.columns, workers: $0.workers)
      })
  }
}

extension SoftmaxGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    return LoweredOperation(kernel: {
      SoftmaxKernels.backward(
        y: $0.operand(0), dy: $0.operand(1), dx: $0.result(), rows: shape.rows, classes: shape.columns,
        workers: $0.workers)
    })
  }
}

extension LogSoftmax: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        SoftmaxKernels.logarithm(
          x: $0.operand(0), y: $0.result(), rows: shape.rows, classes: shape.columns, workers: $0.workers)
      })
  }
}

extension LogSoftmaxGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    return LoweredOperation(
      overwritableOperands: [[0, 1]],
      kernel: {
        SoftmaxKernels.logarithmBackward(
          y: $0.operand(0), dy: $0.operand(1), dx: $0.result(), rows: shape.rows, classes: shape.columns,
          workers: $0.workers)
      })
  }
}

extension ParametricRelu: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let slopes = types.operands[1].count, rows = types.operands[0].count / slopes
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        ParametricReluKernels.forward(
          x: $0.operand(0), slope: $0.operand(1), y: $0.result(), rows: rows, channels: slopes,
          workers: $0.workers)
      })
  }
}

extension ParametricReluInputGradient: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let slopes = types.operands[1].count, rows = types.operands[0].count / slopes
    return LoweredOperation(
      overwritableOperands: [[2]],
      kernel: {
        ParametricReluKernels.backward(
          x: $0.operand(0), slope: $0.operand(1), dy: $0.operand(2), dx: $0.result(), rows: rows,
          channels: slopes, workers: $0.workers)
      })
  }
}

extension Rescaling: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count
    let constants = RescalingKernels.Constants(
      scale: scale.map { Float($0) }, offset: offset.map { Float($0) }, channels: types.operands[0].shape.last ?? 1)
    return LoweredOperation(
      overwritableOperands: [[0]],
      kernel: {
        RescalingKernels.apply(constants, $0.operand(0), into: $0.result(), count: count, workers: $0.workers)
      })
  }
}

/// What operations of two operands have in common: equal shapes, the smaller operand spread over height and width where
/// there is a kernel for it, or any other repetition.
private func lowerCombination(
  _ types: LoweringTypes,
  equal:
    @escaping @Sendable (
      UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Workers
    ) -> Void,
  broadcast: (
    @Sendable (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Int, Int, Workers) -> Void
  )?,
  general:
    @escaping @Sendable (
      UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Broadcasting.Operands, Workers
    ) -> Void
) -> LoweredOperation {
  let shape = types.results[0].shape, count = types.results[0].storedCount
  if types.operands[0] == types.operands[1] {
    return LoweredOperation(
      overwritableOperands: [[0, 1]],
      kernel: { equal($0.operand(0), $0.operand(1), $0.result(), count, $0.workers) })
  }
  let large = types.operands[0].shape == shape ? 0 : 1
  guard let broadcast, types.operands[large].shape == shape,
    isSpatialBroadcast(types.operands[1 - large].shape, over: shape)
  else {
    let operands = Broadcasting.Operands(result: shape, a: types.operands[0].shape, b: types.operands[1].shape)
    return LoweredOperation(kernel: { general($0.operand(0), $0.operand(1), $0.result(), operands, $0.workers) })
  }
  let (images, pixels, channels) = (shape[0], shape[1] * shape[2], shape[3])
  return LoweredOperation(
    overwritableOperands: [[large]],
    kernel: { broadcast($0.operand(large), $0.operand(1 - large), $0.result(), images, pixels, channels, $0.workers) })
}

extension Add: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    lowerCombination(
      types, equal: { Elementwise.add($0, $1, into: $2, count: $3, workers: $4) },
      broadcast: {
        Elementwise.addBroadcast($0, $1, into: $2, images: $3, pixels: $4, channels: $5, workers: $6)
      },
      general: { Broadcasting.add($0, $1, into: $2, $3, workers: $4) })
  }
}

extension Multiply: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    lowerCombination(
      types, equal: { Elementwise.multiply($0, $1, into: $2, count: $3, workers: $4) },
      broadcast: {
        Elementwise.multiplyBroadcast($0, $1, into: $2, images: $3, pixels: $4, channels: $5, workers: $6)
      },
      general: { Broadcasting.multiply($0, $1, into: $2, $3, workers: $4) })
  }
}

/// A combination of any shapes.
private func lowerCombination(_ types: LoweringTypes, _ kind: Combination) -> LoweredOperation {
  lowerCombination(
    types, equal: { Elementwise.combine(kind, $0, $1, into: $2, count: $3, workers: $4) }, broadcast: nil,
    general: { Broadcasting.combine(kind, $0, $1, into: $2, $3, workers: $4) })
}

extension Maximum: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation { lowerCombination(types, .maximum) }
}

extension Minimum: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation { lowerCombination(types, .minimum) }
}

extension Comparison: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    switch kind {
    case .greater: lowerCombination(types, .greater)
    case .greaterOrEqual: lowerCombination(types, .greaterOrEqual)
    case .equal: lowerCombination(types, .equal)
    }
  }
}

extension Select: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let operands = Selection.Operands(
      result: types.results[0].shape, mask: types.operands[0].shape, a: types.operands[1].shape,
      b: types.operands[2].shape)
    return LoweredOperation(kernel: {
      Selection.select($0.operand(0), $0.operand(1), $0.operand(2), into: $0.result(), operands, workers: $0.workers)
    })
  }
}

extension Reduction: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = types.operands[0].shape
    let axes = Broadcasting.Axes(shape: shape, isReduced: try isReduced(rank: shape.count))
    if kind == .max {
      return LoweredOperation(kernel: {
        Broadcasting.maximum($0.operand(0), axes, into: $0.result(), workers: $0.workers)
      })
    }
    let factor = kind == .mean ? Float(types.results[0].count) / Float(types.operands[0].count) : 1
    return LoweredOperation(kernel: {
      Broadcasting.sum($0.operand(0), axes, times: factor, into: $0.result(), workers: $0.workers)
    })
  }
}

extension SpatialSum: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = types.operands[0].shape
    let (images, pixels, channels) = (shape[0], shape[1] * shape[2], shape[3])
    return LoweredOperation(kernel: {
      Elementwise.sumOverPixels(
        $0.operand(0), into: $0.result(), images: images, pixels: pixels, channels: channels, workers: $0.workers)
    })
  }
}

extension SumLeadingAxes: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.results[0].count, rows = types.operands[0].count / channels
    return LoweredOperation(
      workspaceByteCount: Elementwise.sumOverRowsWorkspaceByteCount(channels: channels, workers: types.workers),
      kernel: {
        Elementwise.sumOverRows(
          $0.operand(0), into: $0.result(), rows: rows, channels: channels, workspace: $0.workspace,
          workers: $0.workers)
      })
  }
}

extension Fill: PortableOperation {
  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (value, count) = (Float(value), types.results[0].count)
    return LoweredOperation(kernel: {
      Elementwise.fill($0.result(), with: value, count: count, workers: $0.workers)
    })
  }
}

extension NormalizePixels: PortableOperation {
  // In units of a pixel, so that a deviation of 1 / 255 leaves pixels just as they are.
  var pixelMean: [Float] { mean.map { Float($0 * 255) } }
  var pixelDeviation: [Float] { deviation.map { Float($0 * 255) } }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let shape = MatrixShape(types.operands[0])
    let mean = pixelMean, deviation = pixelDeviation
    return LoweredOperation(kernel: {
      Pixels.normalize(
        x: $0.bytes(0), y: $0.result(), pixels: shape.rows, channels: shape.columns, mean: mean,
        standardDeviation: deviation, workers: $0.workers)
    })
  }
}
