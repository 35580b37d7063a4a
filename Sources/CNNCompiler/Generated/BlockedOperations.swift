import CNNCore
import CNNGraph
import CNNKernels

/// The type of a blocked tensor in a compiled graph: so many floats; what they mean, the operations know.
private func type(_ tensor: BlockedTensor) throws(CNNError) -> TensorType {
  try TensorType(.float32, [tensor.byteCount / 4])
}

/// Row-major `[N, H, W, C]` or `[N, C]` becomes blocked.
struct EnterBlocks: CompiledOperation {
  static let name = "enter_blocks"
  let tensor: BlockedTensor

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(tensor)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let tensor = tensor
    return LoweredOperation(kernel: {
      BlockedCopies.pack($0.operand(0), into: $0.result(), tensor, workers: $0.workers)
    })
  }
}

/// A blocked tensor becomes row-major, of this shape.
struct LeaveBlocks: CompiledOperation {
  static let name = "leave_blocks"
  let tensor: BlockedTensor
  let shape: [Int]

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try TensorType(.float32, shape)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let tensor = tensor
    return LoweredOperation(kernel: {
      BlockedCopies.unpack($0.operand(0), tensor, into: $0.result(), workers: $0.workers)
    })
  }
}

/// The filter of a convolution in the form its kernels read. Operands: the weight, and optionally a factor per output
/// channel.
struct PackFilter: CompiledOperation {
  static let name = "pack_filter"
  let convolution: BlockedConvolution

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [try TensorType(.float32, [convolution.filterCount])]
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let convolution = convolution, isScaled = types.operands.count == 2
    return LoweredOperation(kernel: {
      convolution.pack(
        $0.operand(0), scale: isScaled ? $0.operand(1) : nil, into: $0.result(), workers: $0.workers)
    })
  }
}

/// A bias `[O]` with room for the lanes behind the last channel.
struct PackBias: CompiledOperation {
  static let name = "pack_bias"
  let convolution: BlockedConvolution

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [try TensorType(.float32, [convolution.biasCount])]
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let count = types.operands[0].count, padded = convolution.biasCount
    return LoweredOperation(kernel: {
      $0.result().update(from: $0.operand(0), count: count)
      ($0.result() + count).update(repeating: 0, count: padded - count)
    })
  }
}

/// A convolution by generated kernels, with what follows it. Operands: the image, the packed filter, and as the epilogue
/// says the bias and a residual. Results: the image, and with `hasMean` its mean over the pixels.
struct ConvolveBlocks: CompiledOperation {
  static let name = "convolve_blocks"
  let convolution: BlockedConvolution
  let epilogue: Epilogue
  var hasMean = false

  var attributes: Attributes {
    let algorithm =
      switch convolution.algorithm {
      case .direct: "direct"
      case .winograd(let transform): "winograd_f\(transform.rawValue)"
      case .depthwise: "depthwise"
      }
    return ["algorithm": .text(algorithm)]
  }

  private var cost: StepCost {
    let g = convolution.geometry
    var cost = StepCost()
    if case .text(let algorithm) = attributes["algorithm"] { cost.algorithm = algorithm }
    if let activation = epilogue.activation { cost.algorithm += "+\(activation)" }
    if epilogue.addsResidual { cost.algorithm += "+add" }
    cost.shape =
      "\(g.inputHeight)x\(g.inputWidth)x\(g.inputChannels) \(g.kernelHeight)x\(g.kernelWidth)/\(g.strideHeight) -> "
      + "\(g.outputHeight)x\(g.outputWidth)x\(g.outputChannels)"
    cost.operations = convolution.operations
    return cost
  }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    var types = [try type(convolution.output)]
    if hasMean { types.append(try type(convolution.mean)) }
    return types
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (convolution, epilogue, hasMean) = (convolution, epilogue, hasMean)
    let residual = epilogue.hasBias ? 3 : 2
    return LoweredOperation(
      workspaceByteCount: convolution.workspaceByteCount, cost: cost,
      kernel: {
        convolution.run(
          $0.operand(0), filter: $0.operand(1), bias: epilogue.hasBias ? $0.operand(2) : nil,
          residual: epilogue.addsResidual ? UnsafeRawPointer($0.operand(residual)) : nil, into: $0.result(0),
          mean: hasMean ? $0.result(1) : nil, workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// A pooling by generated kernels.
struct PoolBlocks: CompiledOperation {
  static let name = "pool_blocks"
  let pooling: BlockedPooling

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(pooling.output)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let pooling = pooling
    return LoweredOperation(kernel: { pooling.run($0.operand(0), into: $0.result(), workers: $0.workers) })
  }
}

/// The mean over the pixels of each image.
struct AverageBlocks: CompiledOperation {
  static let name = "average_blocks"
  let input: BlockedTensor

  var output: BlockedTensor { BlockedTensor(images: input.images, height: 1, width: 1, channels: input.channels) }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(output)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (input, output) = (input, output)
    return LoweredOperation(kernel: {
      BlockedElementwise.average($0.operand(0), input, into: $0.result(), output, workers: $0.workers)
    })
  }
}

/// An image times a number for each channel of each image. Operands: the image, and the numbers as an image of one pixel.
struct ScaleBlocks: CompiledOperation {
  static let name = "scale_blocks"
  let tensor: BlockedTensor

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let tensor = tensor
    let scale = BlockedTensor(images: tensor.images, height: 1, width: 1, channels: tensor.channels)
    return LoweredOperation(
      overwritableOperands: [0],
      kernel: {
        BlockedElementwise.scale(
          $0.operand(0), tensor, by: $0.operand(1), scale, into: $0.result(), workers: $0.workers)
      })
  }
}
