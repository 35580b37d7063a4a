import CNNCore
import CNNGraph
import CNNKernels
import CNNRuntime

extension Convolution2D {
  /// The kernels' view of the convolution on an input of this shape, for a weight as `filterLayout` says.
  func geometry(_ input: [Int], weight: [Int]) throws(CNNError) -> ConvolutionGeometry {
    guard input.count == 4, weight.count == 4 else {
      throw CNNError(.internalFault, "a convolution of \(describe(input)) by \(describe(weight))")
    }
    let weight = filterLayout == .hwio ? weight : FilterLayout.toHWIO.map { weight[$0] }
    let window = window(kernel: [weight[0], weight[1]])
    let placed = try window.placed(onHeight: input[1], width: input[2])
    return try ConvolutionGeometry(
      batch: input[0], inputHeight: input[1], inputWidth: input[2], inputChannels: input[3],
      outputChannels: weight[3], kernelHeight: weight[0], kernelWidth: weight[1], strideHeight: stride[0],
      strideWidth: stride[1], dilationHeight: dilation[0], dilationWidth: dilation[1], padTop: placed.top,
      padLeft: placed.left, padBottom: placed.bottom, padRight: placed.right, groups: groups)
  }

  /// The layout in which portable kernels read a weight: HWIO.
  var portableFilterLayout: Layout { filterLayout == .hwio ? .rowMajor : .permuted(FilterLayout.toHWIO) }
}

extension Convolution2D: PortableOperation {
  func portableOperands(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    var operands = operands
    operands[1] = try operands[1].with(layout: portableFilterLayout)
    return operands
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let geometry = try geometry(types.operands[0].shape, weight: types.operands[1].shape)
    let hasBias = types.operands.count == 3
    return LoweredOperation(
      workspaceByteCount: try Convolution.forwardWorkspaceByteCount(geometry, workers: types.workers),
      usesOpenBLAS: true, cost: StepCost(of: geometry),
      kernel: {
        Convolution.forward(
          x: $0.operand(0), weight: $0.operand(1), bias: hasBias ? $0.operand(2) : nil, y: $0.result(),
          geometry: geometry, workspace: $0.workspace, workers: $0.workers)
      })
  }
}

extension Convolution2DInputGradient: PortableOperation {
  func portableOperands(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [operands[0], try operands[1].with(layout: convolution.portableFilterLayout)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    try lowerInputGradient(convolution.geometry(inputShape, weight: types.operands[1].shape), types)
  }
}

extension ConvolutionTranspose2D: PortableOperation {
  func portableOperands(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    [operands[0], try operands[1].with(layout: convolution.portableFilterLayout)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    try lowerInputGradient(
      convolution.geometry(types.results[0].shape, weight: types.operands[1].shape), types)
  }
}

/// Operands: the gradient of the result of a convolution, and its weight.
private func lowerInputGradient(_ geometry: ConvolutionGeometry, _ types: LoweringTypes) throws(CNNError)
  -> LoweredOperation
{
  LoweredOperation(
    workspaceByteCount: try Convolution.inputGradientWorkspaceByteCount(geometry, workers: types.workers),
    usesOpenBLAS: true, cost: StepCost(of: geometry),
    kernel: {
      Convolution.inputGradient(
        dy: $0.operand(0), weight: $0.operand(1), dx: $0.result(), geometry: geometry, workspace: $0.workspace,
        workers: $0.workers)
    })
}

extension Convolution2DWeightGradient: PortableOperation {
  func portableResults(_ results: [TensorType]) throws(CNNError) -> [TensorType] {
    [try results[0].with(layout: convolution.portableFilterLayout)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let geometry = try convolution.geometry(types.operands[0].shape, weight: weightShape)
    return LoweredOperation(
      workspaceByteCount: try Convolution.weightGradientWorkspaceByteCount(geometry, workers: types.workers),
      usesOpenBLAS: true, cost: StepCost(of: geometry),
      kernel: {
        Convolution.weightGradient(
          x: $0.operand(0), dy: $0.operand(1), dWeight: $0.result(), geometry: geometry, workspace: $0.workspace,
          workers: $0.workers)
      })
  }
}
