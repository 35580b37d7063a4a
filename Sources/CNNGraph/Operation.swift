import CNNCore

/// One kind of computation: its constants, its shape rule, and its gradient.
///
/// To add an operation: one file in `Operations/` with a conforming struct, its name in `OperationTable`, and one
/// kernel in `CNNCompiler/Portable`. Nothing else changes.
public protocol Operation: Sendable {
  /// The name in printed graphs, files and the C ABI, as in `conv2d`.
  static var name: String { get }

  /// The constants, in the form that files and printers use.
  var attributes: Attributes { get }

  /// Rebuilds the operation from what `attributes` gave. Reads through `attributes` and need not call `finish()`.
  init(_ attributes: inout Attributes) throws(CNNError)

  /// The types of the results for operands of these types, or an error that says which operand does not fit.
  func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType]

  /// Whether an operand may be of this element type. Where the layout is not row-major, see `MemoryOperation`.
  func takes(_ element: ElementType, at operand: Int) -> Bool

  /// What printed graphs call it.
  var kind: String { get }

  /// Emits the gradient of the operands, given that of the results: one entry per operand, nil where no gradient
  /// flows. Called only for nodes on a path from a differentiated value to the loss.
  func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?]

  /// Says which channels of operands and results stand or fall together.
  func couple(_ channels: inout CouplingContext) throws(CNNError)

  /// The axis of the weight, operand 1, along which lie the channels that the operation makes; nil where it makes none.
  var filterAxis: Int? { get }

  /// The operation for what is left of its operands when channels have been removed.
  /// - Parameter operands: their types then.
  func keeping(_ kept: KeptChannels, _ operands: [TensorType]) throws(CNNError) -> any Operation
}

/// An operation on tensors as they lie in memory, of any layout and element type: its own rule looks at both. Others are
/// defined on row-major tensors.
public protocol MemoryOperation: Operation {}

extension Operation {
  /// float32 alone.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { element == .float32 }

  /// The name of the operation.
  public var kind: String { Self.name }

  /// The types of the results for operands of these types, by the shape rule and what holds for all operations.
  func checkedResultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    if self is any MemoryOperation { return try resultTypes(operands) }
    for (index, type) in operands.enumerated() where type.layout != .rowMajor {
      throw CNNError(.shapeMismatch, "operand \(index) lies \(type.layout); expected row_major")
    }
    let results = try resultTypes(operands)
    for (index, type) in operands.enumerated() where !takes(type.element, at: index) {
      throw CNNError(.shapeMismatch, "operand \(index) has element type \(type.element.rawValue); expected float32")
    }
    return results
  }

  /// An operation without a gradient rule says so by name.
  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    throw CNNError(.invalidArgument, "operation '\(Self.name)' has no gradient")
  }

  /// Nothing can be removed from what an operation without a rule reads, or makes.
  public func couple(_ channels: inout CouplingContext) throws(CNNError) {
    for operand in 0..<channels.operandCount {
      for axis in channels.shape(operand).indices {
        channels.hold(operand, axis: axis, because: "has no rule for channels")
      }
    }
  }

  /// None.
  public var filterAxis: Int? { nil }

  /// The same: its constants say nothing of channels.
  public func keeping(_ kept: KeptChannels, _ operands: [TensorType]) throws(CNNError) -> any Operation { self }

  /// No constants.
  public var attributes: Attributes { Attributes() }

  /// Whether two operations are of one kind with equal constants.
  public func isEqual(to other: any Operation) -> Bool {
    Self.name == type(of: other).name && attributes == other.attributes
  }

  /// Throws `.invalidArgument` unless there are as many operands as expected.
  public func require(_ operands: [TensorType], count: ClosedRange<Int>) throws(CNNError) {
    guard count.contains(operands.count) else {
      let expected = count.count == 1 ? "\(count.lowerBound)" : "\(count.lowerBound) to \(count.upperBound)"
      throw CNNError(.invalidArgument, "\(operands.count) operands given; expected \(expected)")
    }
  }

  /// Throws `.invalidArgument` naming the constant unless it is a number that a float holds.
  func checkFloat(_ value: Double, _ name: String) throws(CNNError) {
    guard value.magnitude <= Double(Float.greatestFiniteMagnitude) else {
      throw CNNError(.invalidArgument, "\(name) is \(value); expected a finite float32")
    }
  }
}
