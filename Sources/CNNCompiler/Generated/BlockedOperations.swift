import CNNCore
import CNNGraph
import CNNKernels

/// The type of a blocked tensor in a compiled graph: so many floats; what they mean, the operations know.
func type(_ tensor: BlockedTensor) throws(CNNError) -> TensorType {
  try TensorType(.float32, [tensor.byteCount / 4])
}

extension StepCost {
  /// The sizes of a convolution, and the operations it takes as its definition says.
  init(of g: ConvolutionGeometry) {
    shape =
      "\(g.inputHeight)x\(g.inputWidth)x\(g.inputChannels) \(g.kernelHeight)x\(g.kernelWidth)/\(g.strideHeight) -> "
      + "\(g.outputHeight)x\(g.outputWidth)x\(g.outputChannels)"
    operations = g.operationCount
  }

  /// The sizes of a tensor that is not counted in channels' blocks.
  init(of tensor: BlockedTensor) { shape = "\(tensor.height)x\(tensor.width)x\(tensor.channels)" }
}

/// Row-major `[N, H, W, C]` or `[N, C]` becomes blocked.
struct EnterBlocks: CompiledOperation {
  static let name = "enter_blocks"
  let tensor: BlockedTensor

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(tensor)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let tensor = tensor
    return LoweredOperation(
      cost: StepCost(of: tensor),
      kernel: {
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
    return LoweredOperation(
      cost: StepCost(of: tensor),
      kernel: {
        BlockedCopies.unpack($0.operand(0), tensor, into: $0.result(), workers: $0.workers)
      })
  }
}

/// The filter of a convolution in the form its kernels read. Operands: the weight, and optionally a factor per output
/// channel.
struct PackFilter: CompiledOperation {
  static let name = "pack_filter"
  /// The number of floats.
  let count: Int
  var workspaceByteCount = 0
  let pack: @Sendable (StepArguments, _ weight: UnsafePointer<Float>, _ scale: UnsafePointer<Float>?) -> Void

  /// The filter of a convolution.
  init(_ convolution: any BlockedConvolution) {
    count = convolution.filterCount
    pack = { convolution.pack($1, scale: $2, into: $0.result(), workers: $0.workers) }
  }

  /// The pointwise filter of a pair.
  init(expansionOf pair: ExpandedDepthwise) {
    count = pair.expansionFilterCount
    pack = { pair.packExpansion($1, scale: $2, into: $0.result(), workers: $0.workers) }
  }

  /// The depthwise filter of a pair.
  init(depthwiseOf pair: ExpandedDepthwise) {
    count = pair.depthwiseFilterCount
    pack = { pair.packDepthwise($1, scale: $2, into: $0.result()) }
  }

  /// The filter of a gradient.
  init(_ gradient: BlockedInputGradient) {
    count = gradient.filterCount
    workspaceByteCount = gradient.packingByteCount
    pack = { arguments, weight, _ in
      gradient.pack(
        weight, into: arguments.result(), workspace: arguments.workspace, workers: arguments.workers)
    }
  }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try TensorType(.float32, [count])] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let pack = pack, isScaled = types.operands.count == 2
    return LoweredOperation(
      workspaceByteCount: workspaceByteCount,
      kernel: { pack($0, $0.operand(0), isScaled ? $0.operand(1) : nil) })
  }
}

/// A bias `[O]` with room for the lanes behind the last channel.
struct PackBias: CompiledOperation {
  static let name = "pack_bias"
  let count: Int

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try TensorType(.float32, [count])] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let channels = types.operands[0].count, count = count
    return LoweredOperation(kernel: {
      $0.result().update(from: $0.operand(0), count: channels)
      ($0.result() + channels).update(repeating: 0, count: count - channels)
    })
  }
}

/// A convolution by generated kernels, with what follows it. Operands: the image, the packed filter, and as the epilogue
/// says the bias and a residual. Results: the image, and with `hasMean` its mean over the pixels.
struct ConvolveBlocks: CompiledOperation {
  static let name = "convolve_blocks"
  let convolution: any BlockedConvolution
  let epilogue: Epilogue
  var hasMean = false

  var attributes: Attributes { ["algorithm": .text(convolution.algorithm)] }

  private var cost: StepCost {
    var cost = StepCost(of: convolution.geometry)
    cost.algorithm = convolution.algorithm
    if let activation = epilogue.activation { cost.algorithm += "+\(activation)" }
    if epilogue.addsResidual { cost.algorithm += "+add" }
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
      workspaceByteCount: convolution.workspaceByteCount,
      overwritableOperands: epilogue.addsResidual ? [[residual]] : [],
      cost: cost,
      kernel: {
        convolution.run(
          $0.operand(0), filter: $0.operand(1), bias: epilogue.hasBias ? $0.operand(2) : nil,
          residual: epilogue.addsResidual ? UnsafeRawPointer($0.operand(residual)) : nil, into: $0.result(0),
          mean: hasMean ? $0.result(1) : nil, workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// A pointwise convolution and the depthwise one that reads it. Operands: the image, then filter and, as `hasBiases` says,
/// bias of each. Results: the image, and with `hasMean` its mean over the pixels.
struct ExpandBlocks: CompiledOperation {
  static let name = "expand_blocks"
  let pair: ExpandedDepthwise
  let hasBiases: [Bool]
  let hasMean: Bool

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    var types = [try type(pair.output)]
    if hasMean { types.append(try type(pair.mean)) }
    return types
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (pair, hasBiases, hasMean) = (pair, hasBiases, hasMean)
    let second = hasBiases[0] ? 3 : 2
    var cost = StepCost()
    cost.algorithm = "pointwise+depthwise"
    cost.shape =
      "\(pair.input.height)x\(pair.input.width)x\(pair.input.channels) -> \(pair.output.height)x\(pair.output.width)x"
      + "\(pair.output.channels)"
    cost.operations = pair.operations
    return LoweredOperation(
      workspaceByteCount: pair.workspaceByteCount, cost: cost,
      kernel: {
        pair.run(
          $0.operand(0), expansion: .init(filter: $0.operand(1), bias: hasBiases[0] ? $0.operand(2) : nil),
          depthwise: .init(filter: $0.operand(second), bias: hasBiases[1] ? $0.operand(second + 1) : nil),
          into: $0.result(0), mean: hasMean ? $0.result(1) : nil, workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// An activation by generated kernels.
struct ActivateBlocks: CompiledOperation {
  static let name = "activate_blocks"
  let activation: BlockedActivation
  let tensor: BlockedTensor

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let activation = activation
    return LoweredOperation(
      overwritableOperands: [[0]], cost: StepCost(of: tensor),
      kernel: { activation.run($0.operand(0), into: $0.result(), workers: $0.workers) })
  }
}

/// A pooling by generated kernels.
struct PoolBlocks: CompiledOperation {
  static let name = "pool_blocks"
  let pooling: BlockedPooling

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(pooling.output)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let pooling = pooling
    return LoweredOperation(
      cost: StepCost(of: pooling.output),
      kernel: { pooling.run($0.operand(0), into: $0.result(), workers: $0.workers) })
  }
}

/// The mean over the pixels of each image.
struct AverageBlocks: CompiledOperation {
  static let name = "average_blocks"
  let input: BlockedTensor

  var output: BlockedTensor { input.onePixel }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(output)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (input, output) = (input, output)
    return LoweredOperation(
      cost: StepCost(of: input),
      kernel: {
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
    let scale = tensor.onePixel
    return LoweredOperation(
      overwritableOperands: [[0]], cost: StepCost(of: tensor),
      kernel: {
        BlockedElementwise.scale(
          $0.operand(0), tensor, by: $0.operand(1), scale, into: $0.result(), workers: $0.workers)
      })
  }
}
