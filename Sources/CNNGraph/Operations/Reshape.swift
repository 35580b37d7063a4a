// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// The same elements in another shape; the batch axis stays. Operand `[N, ...]`; result `[N] + shape`.
public struct Reshape: Operation {
  public static let name = "reshape"
  /// The sizes of the axes after the batch; one of them may be -1 and takes what is left.
  public let shape: [Int]

  /// A reshape to `[N] + shape`.
  public init(_ shape: [Int]) { self.shape = shape }

  /// All axes after the batch in one.
  public static let flatten = Reshape([-1])

  public init(_ attributes: inout Attributes) throws(CNNError) { shape = try attributes.integers("shape") }

  public var attributes: Attributes { ["shape": .integers(shape)] }

  /// Any: the bits are moved, not looked at.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { true }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    guard let batch = operands[0].shape.first else {
      throw CNNError(.shapeMismatch, "the input is a scalar; expected a batch")
    }
    let count = operands[0].shape.dropFirst().reduce(1, *)
    let wildcards = shape.filter { $0 == -1 }.count
    let isPossible = wildcards <= 1 && shape.allSatisfy { $0 >= 1 || $0 == -1 }
    let known = isPossible ? try Checked.product(shape.filter { $0 != -1 }, "reshape") : 0
    guard known >= 1, wildcards == 1 ? count % known == 0 : count == known else {
      throw CNNError(
        .shapeMismatch,
        "shape \(describe(shape)) does not hold the \(count) elements of \(describe(Array(operands[0].shape.dropFirst())))"
      )
    }
    return [try TensorType(operands[0].element, [batch] + shape.map { $0 == -1 ? count / known : $0 })]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    return [try context.emit(Reshape(Array(shape.dropFirst())), context.upstream)]
  }
}
