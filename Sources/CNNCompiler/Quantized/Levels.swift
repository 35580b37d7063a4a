import CNNCore
import CNNGraph

extension TensorType {
  /// Bytes that stand for numbers.
  init(_ levels: ByteLevels, _ shape: [Int]) throws(CNNError) {
    try self.init(
      .uint8, shape, quantization: Quantization(scale: levels.scale, zeroPoint: Int32(levels.zeroPoint)))
  }

  /// Pixels.
  init(_ levels: PixelLevels, _ shape: [Int]) throws(CNNError) {
    try self.init(
      .uint8, shape,
      quantization: Quantization(
        scale: levels.zeroPoints.map { _ in levels.scale }, zeroPoint: levels.zeroPoints.map { Int32($0) },
        axis: max(0, shape.count - 1)))
  }

  /// Throws unless the tensor's bytes stand for what these levels do.
  func require(_ levels: ByteLevels, as role: String) throws(CNNError) {
    let expected = try TensorType(levels, shape)
    guard element == .uint8, quantization == expected.quantization else {
      throw CNNError(.shapeMismatch, "\(role) is \(self); expected \(expected)")
    }
  }

  /// The floats that a tensor stands for.
  var floats: TensorType { get throws(CNNError) { try TensorType(.float32, shape) } }
}
