import CNNCore
import CNNGraph
import CNNKernels

/// Pixels as they come, as levels.
struct QuantizedPixels: QuantizedOperation {
  static let name = "quantized_pixels"
  let levels: PixelLevels

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    guard operands[0].element == .uint8, operands[0].quantization == nil else {
      throw CNNError(.shapeMismatch, "the input is \(operands[0]); expected pixels")
    }
    return [try TensorType(levels, operands[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation { LoweredOperation(aliasedOperand: 0) }
}

/// The pixels nearest to floats, `round(x / scale + zeroPoint)`.
struct QuantizePixels: QuantizedOperation {
  static let name = "quantize_pixels"
  let levels: PixelLevels

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    guard operands[0].element == .float32 else {
      throw CNNError(.shapeMismatch, "the input has element type \(operands[0].element.rawValue); expected float32")
    }
    return [try TensorType(levels, operands[0].shape)]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (levels, count) = (levels, types.operands[0].count)
    return LoweredOperation(kernel: {
      QuantizedElementwise.quantizePixels(
        $0.operand(0), levels, into: $0.byteResult(), count: count, workers: $0.workers)
    })
  }
}

/// The floats that levels with a zero point for each channel stand for.
struct DequantizePixels: QuantizedOperation {
  static let name = "dequantize_pixels"
  let levels: PixelLevels

  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    let expected = try TensorType(levels, operands[0].shape)
    guard operands[0] == expected else {
      throw CNNError(.shapeMismatch, "the input is \(operands[0]); expected \(expected)")
    }
    return [try operands[0].floats]
  }

  func portable(_ types: LoweringTypes) throws(CNNError) -> LoweredOperation {
    let (channels, count) = (levels.channels, types.operands[0].count)
    return LoweredOperation(kernel: { arguments in
      let x = arguments.bytes(0), y = arguments.result()
      for index in 0..<count { y[index] = channels[index % channels.count].value(of: x[index]) }
    })
  }
}

extension Graph {
  /// The uint8 input of which a value is the pixels less a level of each channel, normalised on the way and taken back; nil
  /// where it is none.
  func pixels(behind value: Value, _ levels: PixelLevels) -> Value? {
    guard let node = node(defining: value), let rescaling = node.operation as? Rescaling,
      let before = self.node(defining: node.operands[0]), let normalization = before.operation as? NormalizePixels,
      normalization.mean.count == levels.zeroPoints.count
    else { return nil }
    func constant(_ list: [Double], _ channel: Int) -> Double { list[list.count == 1 ? 0 : channel] }
    for (channel, zeroPoint) in levels.zeroPoints.enumerated() {
      let mean = constant(normalization.mean, channel), deviation = constant(normalization.deviation, channel)
      let scale = constant(rescaling.scale, channel), offset = constant(rescaling.offset, channel)
      for pixel in [0.0, 255] {
        let real = (pixel / 255 - mean) / deviation * scale + offset
        let level = real / Double(levels.scale) + Double(zeroPoint)
        if (level - pixel).magnitude > 0.01 { return nil }
      }
    }
    return before.operands[0]
  }
}
