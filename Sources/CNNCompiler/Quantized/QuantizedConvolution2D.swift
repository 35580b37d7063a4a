import CNNCore
import CNNGraph
import CNNKernels

/// A convolution or dense layer of levels by a weight that is rounded to signed bytes, with what follows it.
///
/// Operands: `x`, levels; the weight, floats; where there are, the bias, floats, and a residual, levels of the result's
/// shape. Result: levels, or floats.
struct QuantizedConvolution2D: CompiledOperation, MemoryOperation, Placeable {
  static let name = "quantized_conv2d"
  /// `Convolution2D` or `Dense`.
  let operation: any Operation
  let input: ByteLevels
  /// Where the input has a zero point for each channel, as a picture's pixels, its levels.
  var pixels: PixelLevels?
  let weight: WeightLevels
  let hasBias: Bool
  var residual: ByteLevels?
  var function: ExactActivation?
  /// nil where the result is float.
  var result: ByteLevels?
  /// What each channel of the function's result is multiplied by before it is rounded; else empty.
  var inverses: [Float] = []
  /// Where each channel of the result has a zero point then, its levels.
  var resultPixels: PixelLevels?

  static var implementations: [any Implementation] {
    [
      QuantizedConvolutionInBlocks(products: TileConvolution.self),
      QuantizedConvolutionInBlocks(products: ByteProductConvolution.self),
      QuantizedConvolutionInBlocks(products: ByteWinogradConvolution.self), QuantizedDepthwiseConvolution(),
      PortableQuantizedConvolution(),
    ]
  }

  var kind: String { "quantized_\(operation.kind)" }
  var attributes: Attributes { operation.attributes }

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    let count = 2 + (hasBias ? 1 : 0) + (residual == nil ? 0 : 1)
    try require(operands, count: count...count)
    if let pixels {
      let expected = try TensorType(pixels, operands[0].shape)
      guard operands[0] == expected else {
        throw CNNError(.shapeMismatch, "the input is \(operands[0]); expected \(expected)")
      }
    } else {
      try operands[0].require(input, as: "the input")
    }
    let x = try operands[0].floats
    let shape = try operation.resultTypes([x] + operands[1..<(hasBias ? 3 : 2)])[0].shape
    guard [1, operands[1].shape[0]].contains(weight.scales.count) else {
      throw CNNError(
        .shapeMismatch, "there are \(weight.scales.count) scales of the weight \(describe(operands[1].shape))")
    }
    let counts = [inverses.count, resultPixels?.zeroPoints.count ?? inverses.count]
    let outputs = operands[1].shape[0]
    guard counts == [0, 0] || counts == [outputs, outputs] && function != nil && result != nil else {
      throw CNNError(
        .shapeMismatch, "there are \(counts[0]) inverses and \(counts[1]) zero points of \(outputs) channels")
    }
    if let residual {
      try operands[count - 1].require(residual, as: "the residual")
      guard operands[count - 1].shape == shape else {
        throw CNNError(
          .shapeMismatch, "the residual has shape \(describe(operands[count - 1].shape)); expected \(describe(shape))")
      }
    }
    if let resultPixels { return [try TensorType(resultPixels, shape)] }
    if let result { return [try TensorType(result, shape)] }
    return [try TensorType(.float32, shape)]
  }

  /// The level around the image, one, or one for each channel.
  var zeroPoints: [UInt8] { pixels?.zeroPoints ?? [input.zeroPoint] }

  /// What becomes of the sums.
  var requantization: Requantization {
    Requantization(
      input: input.scale, residual: residual, function: function, levels: result,
      largestWeightScale: weight.scales.max() ?? .infinity, inverses: inverses,
      zeroPoints: resultPixels?.zeroPoints ?? [])
  }

  /// How profiles call a step with what follows its products, behind the step's name.
  var suffix: String { (function.map { "+\($0)" } ?? "") + (residual == nil ? "" : "+add") }

  /// The sizes, those of a dense layer as of a convolution of pixels by themselves.
  func geometry(_ x: [Int], weight: [Int]) throws(CNNError) -> ConvolutionGeometry {
    if let convolution = operation as? Convolution2D { return try convolution.geometry(x, weight: weight) }
    let inputs = x.last ?? 1
    return try ConvolutionGeometry(
      batch: 1, inputHeight: x.dropLast().reduce(1, *), inputWidth: 1, inputChannels: inputs,
      outputChannels: weight[0], kernelHeight: 1, kernelWidth: 1)
  }
}

/// By plain loops: the definition.
struct PortableQuantizedConvolution: Implementation {
  let name = "portable"

  func instruction(on target: CodeTarget?) -> String { "portable" }

  func consider(_ candidate: Candidate, in placement: Placement) throws(CNNError) -> Consideration {
    guard let operation = candidate.node.operation as? QuantizedConvolution2D else {
      return .refused("it has no levels")
    }
    let node = candidate.node
    let g = try operation.geometry(
      placement.type(of: node.operands[0]).shape, weight: placement.type(of: node.operands[1]).shape)
    return .offered(
      Offer(
        reads: reads(operation, node).map { Offer.Read(value: $0, type: placement.type(of: $0)) },
        cycles: Double(g.operationCount) / Double(placement.workers.count)))
  }

  /// What is read beside the weight and the bias.
  private func reads(_ operation: QuantizedConvolution2D, _ node: Node) -> [Value] {
    [node.operands[0]] + node.operands.dropFirst(operation.hasBias ? 3 : 2)
  }

  func place(_ candidate: Candidate, reading images: [Value], in placement: inout Placement) throws(CNNError) {
    let node = candidate.node
    guard let operation = node.operation as? QuantizedConvolution2D else { return }
    let weight = placement.type(of: node.operands[1]), levels = operation.weight
    let zeroPoints = operation.zeroPoints
    let g = try operation.geometry(placement.type(of: node.operands[0]).shape, weight: weight.shape)
    let outputs = weight.shape[0]
    let packing = FilterPackingStep(name: "levels", element: .int8, count: weight.count) { arguments, floats, _ in
      levels.round(
        UnsafeBufferPointer(start: floats, count: weight.count), outputs: outputs,
        into: UnsafeMutableBufferPointer(start: arguments.signedByteResult(), count: weight.count))
    }
    let weights = try placement.weights(of: candidate, operation, packing, lanes: outputs)
    let requantization = operation.requantization, hasResidual = operation.residual != nil
    let multipliers = requantization.multipliers(levels, outputs: outputs, lanes: outputs, vector: 1)
    var cost = StepCost(of: g)
    cost.algorithm = "direct"
    try placement.add(
      candidate, [images[0]] + weights + images.dropFirst(),
      results: [placement.type(of: candidate.result)],
      LoweredOperation(
        overwritableOperands: hasResidual && operation.result != nil ? [[3]] : [], cost: cost,
        kernel: { arguments in
          multipliers.withUnsafeBufferPointer {
            guard let multipliers = $0.baseAddress else { return }
            QuantizedConvolution.forward(
              arguments.bytes(0), zeroPoints: zeroPoints, filter: arguments.signedBytes(1),
              sums: arguments.integers(2), multipliers: multipliers, residual: hasResidual ? arguments.bytes(3) : nil,
              into: arguments.result(), requantization, geometry: g, workers: arguments.workers)
          }
        }))
  }
}

extension Placement {
  /// The packed filter of a convolution of levels, and what the sums of each output channel begin with.
  /// - Parameters:
  ///   - lanes: how many sums there are.
  ///   - order: puts them in the order of an implementation.
  mutating func weights(
    of candidate: Candidate, _ operation: QuantizedConvolution2D, _ packing: FilterPackingStep, lanes: Int,
    order: @escaping @Sendable (UnsafeMutablePointer<Int32>) -> Void = { _ in }
  ) throws(CNNError) -> [Value] {
    let weight = candidate.node.operands[1]
    return [
      try packed(
        packing, [rowMajor(weight)], shape: type(of: weight).shape, named: uniqueName("\(candidate.name).filter")),
      try sums(of: candidate, operation, lanes: lanes, order),
    ]
  }

  private mutating func sums(
    of candidate: Candidate, _ operation: QuantizedConvolution2D, lanes: Int,
    _ order: @escaping @Sendable (UnsafeMutablePointer<Int32>) -> Void
  ) throws(CNNError) -> Value {
    let node = candidate.node, weight = type(of: node.operands[1])
    let outputs = weight.shape[0], depth = weight.count / outputs
    let (levels, scale, zeroPoints) = (operation.weight, operation.input.scale, operation.zeroPoints)
    let hasBias = operation.hasBias, taps = weight.rank == 4 ? weight.shape[2] * weight.shape[3] : 1
    var operands = [try rowMajor(node.operands[1])]
    if hasBias { operands.append(try rowMajor(node.operands[2])) }
    let type = try TensorType(.int32, [outputs], layout: .packed(name: "sums", byteCount: lanes * 4))
    return try add(
      Reorder(to: type), by: "sum", operands, results: [type],
      LoweredOperation(kernel: {
        QuantizedFilter.sums(
          $0.operand(0), bias: hasBias ? $0.operand(1) : nil, levels, inputScale: scale, zeroPoints: zeroPoints,
          taps: taps, outputs: outputs, depth: depth, into: $0.integerResult(), lanes: lanes, workers: $0.workers)
        order($0.integerResult())
      }), name: uniqueName("\(candidate.name).sums"))[0]
  }
}
