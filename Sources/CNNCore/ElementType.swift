/// The type of one element of a tensor.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  /// 32-bit IEEE floating point: activations, parameters, gradients.
  case float32
  /// The upper half of a float32: activations and weights of networks that compute in it. Only inside of plans.
  case bfloat16
  /// 32-bit signed integers: class labels.
  case int32
  /// 8-bit unsigned integers: pixels.
  case uint8
  /// 8-bit signed integers: quantised weights. Only inside of plans.
  case int8
  /// 16-bit signed integers: levels where the processor multiplies none of 8 bits. Only inside of plans.
  case int16

  /// What callers give and get.
  public static let external: [ElementType] = [.float32, .int32, .uint8]

  /// The size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .int16: 2
    case .uint8, .int8: 1
    }
  }

  /// Whether numbers of this type may stand for others by a scale and a zero point.
  public var isInteger: Bool {
    switch self {
    case .float32, .bfloat16: false
    case .int32, .uint8, .int8, .int16: true
    }
  }
}
