// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Elements of one axis in another order, some perhaps more than once, others left out. Operand: any shape; result: with
/// as many elements along `axis` as there are indices.
public struct Gather: Operation {
  public static let name = "gather"
  /// The axis, not the batch; -1 is the last.
  public let axis: Int
  /// For each element of the result which one of the operand it is.
  public let indices: [Int]

  /// The elements with these indices along `axis`.
  public init(axis: Int, indices: [Int]) { (self.axis, self.indices) = (axis, indices) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    axis = try attributes.integer("axis", default: -1)
    indices = try attributes.integers("indices")
  }

  public var attributes: Attributes { ["axis": .integer(axis), "indices": .integers(indices)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    var shape = operands[0].shape
    let axis = try resolve(axis, rank: shape.count)
    if let wrong = indices.first(where: { !(0..<shape[axis]).contains($0) }) {
      throw CNNError(.shapeMismatch, "index \(wrong) lies outside the \(shape[axis]) elements of axis \(axis)")
    }
    shape[axis] = indices.count
    return [try TensorType(.float32, shape)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    let length = shape[try resolve(axis, rank: shape.count)]
    return [try context.emit(GatherGradient(self, length: length), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) throws(CNNError) {
    channels.pass(taking: indices, along: try resolve(axis, rank: channels.shape(0).count))
  }

  public func keeping(_ kept: KeptChannels, _ operands: [TensorType]) throws(CNNError) -> any Operation {
    guard let left = kept.operand(0, axis: try resolve(axis, rank: operands[0].rank)) else { return self }
    let places = Dictionary(left.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    return Gather(axis: axis, indices: indices.compactMap { places[$0] })
  }
}

/// The gradient of `Gather`: each element is added to where it came from. Operand `dy`; result with `length` elements
/// along the axis.
public struct GatherGradient: Operation {
  public static let name = "gather_gradient"
  /// What was run forward.
  public let gather: Gather
  /// The number of elements along the axis.
  public let length: Int

  init(_ gather: Gather, length: Int) { (self.gather, self.length) = (gather, length) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    gather = try Gather(&attributes)
    length = try attributes.integer("length")
  }

  public var attributes: Attributes { gather.attributes.adding("length", .integer(length)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    var shape = operands[0].shape
    shape[try resolve(gather.axis, rank: shape.count)] = length
    let input = try TensorType(.float32, shape)
    try operands[0].require(shape: gather.resultTypes([input])[0].shape, as: "the gradient")
    return [input]
  }
}
