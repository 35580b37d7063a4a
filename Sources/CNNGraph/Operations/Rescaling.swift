// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Arithmetic with constants: `y = x * scale + offset`, where each of the two is one number or one per channel, the last
/// axis. Operand and result: any shape.
public struct Rescaling: Operation {
  public static let name = "rescaling"
  /// One number, or one per channel.
  public let scale, offset: [Double]

  /// The rescaling with these constants.
  public init(scale: [Double] = [1], offset: [Double] = [0]) { (self.scale, self.offset) = (scale, offset) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    scale = try attributes.numbers("scale", default: [1])
    offset = try attributes.numbers("offset", default: [0])
  }

  public var attributes: Attributes { ["scale": .numbers(scale), "offset": .numbers(offset)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    try checkChannels(of: operands[0], ["scale": scale, "offset": offset])
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(Rescaling(scale: scale), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }

  public func keeping(_ kept: KeptChannels, _ operands: [TensorType]) -> any Operation {
    guard let left = kept.operand(0, axis: operands[0].rank - 1) else { return self }
    func part(_ constants: [Double]) -> [Double] { constants.count == 1 ? constants : left.map { constants[$0] } }
    return Rescaling(scale: part(scale), offset: part(offset))
  }
}

extension Operation {
  /// Checks constants of which there is one, or one for each index along an axis; -1 is the last one, that of channels.
  /// - Throws: `.shapeMismatch` or `.invalidArgument` naming the constant.
  func checkChannels(
    of type: TensorType, along axis: Int = -1, _ constants: KeyValuePairs<String, [Double]>
  ) throws(CNNError) {
    guard axis == -1 || type.shape.indices.contains(axis) else {
      throw CNNError(.invalidArgument, "axis is \(axis); \(describe(type.shape)) has no such axis")
    }
    let size = axis == -1 ? type.shape.last ?? 1 : type.shape[axis]
    for (name, values) in constants {
      guard values.count == 1 || values.count == size else {
        throw CNNError(
          .shapeMismatch,
          "\(name) has \(values.count) numbers; expected 1, or \(size) for "
            + (axis == -1 ? "the channels" : "axis \(axis)") + " of \(describe(type.shape))")
      }
      for value in values { try checkFloat(value, name) }
    }
  }
}
