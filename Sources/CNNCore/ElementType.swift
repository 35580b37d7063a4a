/// The type of one element of a tensor.
public enum ElementType: String, Sendable, Hashable, CaseIterable {
  /// 32-bit IEEE floating point: activations, parameters, gradients.
  case float32
  /// 32-bit signed integers: class labels.
  case int32
  /// 8-bit unsigned integers: pixels.
  case uint8

  /// The size of one element in bytes.
  public var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .uint8: 1
    }
  }
}
