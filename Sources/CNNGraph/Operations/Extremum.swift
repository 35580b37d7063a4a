// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The larger of two numbers, element by element; NaN where one of them is. Operands: as for `Add`.
public struct Maximum: ElementwisePair {
  public static let name = "maximum"

  /// A maximum.
  public init() {}

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let isFirst = try context.emit(Comparison(.greaterOrEqual), context.operand(0), context.operand(1))
    return try gradients(where: isFirst, &context)
  }
}

/// The smaller of two numbers, element by element; NaN where one of them is. Operands: as for `Add`.
public struct Minimum: ElementwisePair {
  public static let name = "minimum"

  /// A minimum.
  public init() {}

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    // Of what is equal the first is chosen, as for a maximum.
    let isFirst = try context.emit(Comparison(.greaterOrEqual), context.operand(1), context.operand(0))
    return try gradients(where: isFirst, &context)
  }
}

extension Operation {
  /// The gradients of two operands of which each element of the result is one: the first where `isFirst` is not 0.
  func gradients(where isFirst: Value, first: Int = 0, _ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let zero = try context.emit(Fill(0, shape: []))
    var result: [Value?] = [nil, nil]
    for index in 0..<2 where context.needsGradient(first + index) {
      let share =
        index == 0
        ? try context.emit(Select(), isFirst, context.upstream, zero)
        : try context.emit(Select(), isFirst, zero, context.upstream)
      result[index] = try reduced(share, like: context.operand(first + index), &context)
    }
    return result
  }
}
