import CNNCore

/// The type of the floating-point numbers that a model computes in, or that a file has of its parameters.
public enum Precision: String, Sendable, Hashable, CaseIterable {
  /// 32 bits, IEEE single.
  case float32
  /// 16 bits, the upper half of a single; half the memory.
  case bfloat16

  /// The type of its numbers.
  public var element: ElementType { self == .float32 ? .float32 : .bfloat16 }

}

/// What a model's predictions and its training compute in: each in float32, or in bfloat16 where there is an implementation
/// that is no slower.
public enum PrecisionPolicy: String, Sendable, Hashable, CaseIterable {
  /// Both in float32.
  case float32
  /// Predictions and evaluations in bfloat16, training in float32.
  case bfloat16
  /// Both in bfloat16, with parameters, their gradients, statistics and all sums of training in float32 (Micikevicius et al.,
  /// "Mixed precision training", 2018; Kalamkar et al., "A study of bfloat16 for deep learning training", 2019). Losses need
  /// no scale, as the range of numbers is that of float32.
  case mixedBFloat16 = "mixed_bfloat16"

  /// What predictions and evaluations compute in.
  public var prediction: Precision { self == .float32 ? .float32 : .bfloat16 }

  /// What training computes in.
  public var training: Precision { self == .mixedBFloat16 ? .bfloat16 : .float32 }

  /// The policy of that name.
  /// - Throws: `.unknownName` with the names there are.
  package init(named name: String) throws(CNNError) {
    guard let policy = Self(rawValue: name) else {
      throw unknownName("precision", name, among: Self.allCases.map(\.rawValue))
    }
    self = policy
  }
}
