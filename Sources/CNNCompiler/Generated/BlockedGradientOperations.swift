import CNNCore
import CNNGraph
import CNNKernels

/// The gradient of a convolution's input. Operands: the gradient of the result, the packed filter, and optionally another
/// gradient of the input, which is added.
struct InputGradientBlocks: CompiledOperation {
  static let name = "input_gradient_blocks"
  let gradient: BlockedInputGradient

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(gradient.result)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let gradient = gradient
    var cost = StepCost(of: gradient.geometry)
    cost.algorithm = "input gradient" + (gradient.algorithm.map { " \($0)" } ?? "")
    if gradient.addsResidual { cost.algorithm += "+add" }
    cost.operations = gradient.operations
    return LoweredOperation(
      workspaceByteCount: gradient.workspaceByteCount, overwritableOperands: gradient.addsResidual ? [[2]] : [],
      cost: cost,
      kernel: {
        gradient.run(
          $0.operand(0), filter: $0.operand(1),
          residual: gradient.addsResidual ? UnsafeRawPointer($0.operand(2)) : nil, into: $0.result(),
          workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// The gradient of a convolution's filter. Operands: the image, and the gradient of the result; result: the gradient in the
/// layout of the parameter.
struct WeightGradientBlocks: CompiledOperation {
  static let name = "weight_gradient_blocks"
  let gradient: any BlockedWeightGradient
  let shape: [Int]

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try TensorType(.float32, shape)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let gradient = gradient
    var cost = StepCost(of: gradient.geometry)
    cost.algorithm = "weight gradient \(gradient.algorithm)"
    cost.operations = gradient.operations
    return LoweredOperation(
      workspaceByteCount: gradient.workspaceByteCount, cost: cost,
      kernel: {
        gradient.run(
          $0.operand(0), gradient: $0.operand(1), into: $0.result(), workspace: $0.workspace, workers: $0.workers)
      })
  }
}

/// The gradient of an activation. Operands: its input, and the gradient of its result.
struct ActivationGradientBlocks: CompiledOperation {
  static let name = "activation_gradient_blocks"
  let gradient: BlockedActivationGradient
  let tensor: BlockedTensor

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let gradient = gradient
    return LoweredOperation(
      overwritableOperands: [[1]], cost: StepCost(of: tensor),
      kernel: { gradient.run($0.operand(0), gradient: $0.operand(1), into: $0.result(), workers: $0.workers) })
  }
}

/// The sums over the pixels of each image, of one tensor or of the product of two; or over all images, row-major.
struct SumBlocks: CompiledOperation {
  static let name = "sum_blocks"
  let sums: BlockedSums
  let tensor: BlockedTensor
  let perImage: Bool

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [perImage ? try type(sums.result) : try TensorType(.float32, [tensor.channels])]
  }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (sums, perImage, ofProducts) = (sums, perImage, types.operands.count == 2)
    return LoweredOperation(
      workspaceByteCount: sums.workspaceByteCount, cost: StepCost(of: tensor),
      kernel: {
        let second = ofProducts ? UnsafeRawPointer($0.operand(1)) : nil
        if perImage {
          sums.run($0.operand(0), second, perImage: $0.result(), workspace: $0.workspace, workers: $0.workers)
        } else {
          sums.run($0.operand(0), second, into: $0.result(), workspace: $0.workspace, workers: $0.workers)
        }
      })
  }
}

/// The gradient of a mean over the pixels: every pixel gets its share. Operand: an image of one pixel.
struct SpreadBlocks: CompiledOperation {
  static let name = "spread_blocks"
  let tensor: BlockedTensor

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(tensor)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let tensor = tensor
    let small = tensor.onePixel
    return LoweredOperation(
      cost: StepCost(of: tensor),
      kernel: {
        BlockedElementwise.spread($0.operand(0), small, into: $0.result(), tensor, workers: $0.workers)
      })
  }
}

/// The gradient of a pooling. Operands: the gradient of the result, and for a maximum the input and the result.
struct PoolingGradientBlocks: CompiledOperation {
  static let name = "pooling_gradient_blocks"
  let gradient: BlockedPoolingGradient

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [try type(gradient.input)] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let gradient = gradient, isMaximum = types.operands.count == 3
    return LoweredOperation(
      cost: StepCost(of: gradient.input),
      kernel: {
        gradient.run(
          $0.operand(0), input: isMaximum ? $0.operand(1) : nil, result: isMaximum ? $0.operand(2) : nil,
          into: $0.result(), workers: $0.workers)
      })
  }
}

/// Stochastic depth: each image times a number that is drawn for it.
struct DropImages: CompiledOperation {
  static let name = "drop_images"
  let tensor: BlockedTensor
  let original: StochasticDepth

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] { [operands[0]] }

  func lower(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (tensor, rate, layer) = (tensor, Float(original.rate), original.stream)
    return LoweredOperation(
      overwritableOperands: [[0]], cost: StepCost(of: tensor),
      kernel: { arguments in
        let factors = DropoutKernels.SampleFactors(
          rate: rate, seed: arguments.randomness.seed, stream: arguments.randomness.stream(of: layer))
        BlockedElementwise.scale(
          arguments.operand(0), tensor, by: { factors[$0] }, into: arguments.result(), workers: arguments.workers)
      })
  }
}
