import CNNCore

/// The type of the floating-point numbers that a model computes in, or that a file has of its parameters.
public enum Precision: String, Sendable, Hashable, CaseIterable {
  /// 32 bits, IEEE single.
  case float32
  /// 16 bits, the upper half of a single; half the memory.
  case bfloat16

  /// The type of its numbers.
  public var element: ElementType { self == .float32 ? .float32 : .bfloat16 }

  /// The precision of that name.
  /// - Throws: `.unknownName` with the names there are.
  package init(named name: String) throws(CNNError) {
    guard let precision = Self(rawValue: name) else {
      throw unknownName("precision", name, among: Self.allCases.map(\.rawValue))
    }
    self = precision
  }
}
