// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Rows and columns of zeros around an image. Operand `[N, H, W, C]`; result `[N, top + H + bottom, left + W + right, C]`.
public struct ZeroPadding2D: Operation {
  public static let name = "zero_pad"
  /// Rows and columns: top, left, bottom, right.
  public let padding: [Int]

  /// Padding by top, left, bottom and right.
  public init(_ padding: [Int]) { self.padding = padding }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    padding = try attributes.integers("padding", count: 4)
  }

  public var attributes: Attributes { ["padding": .integers(padding)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    guard padding.count == 4, padding.allSatisfy({ (0...(1 << 24)).contains($0) }) else {
      throw CNNError(.invalidArgument, "padding is \(describe(padding)); expected four numbers of 0 or more")
    }
    let shape = operands[0].shape
    return [
      try TensorType(
        .float32, [shape[0], shape[1] + padding[0] + padding[2], shape[2] + padding[1] + padding[3], shape[3]])
    ]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(Crop2D(padding), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// Takes rows and columns away; the inverse of `ZeroPadding2D`, and its gradient.
public struct Crop2D: Operation {
  public static let name = "crop"
  /// Rows and columns taken away: top, left, bottom, right.
  public let cropping: [Int]

  init(_ cropping: [Int]) { self.cropping = cropping }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    cropping = try attributes.integers("cropping", count: 4)
  }

  public var attributes: Attributes { ["cropping": .integers(cropping)] }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    guard cropping.count == 4, cropping.allSatisfy({ (0...(1 << 24)).contains($0) }) else {
      throw CNNError(.invalidArgument, "cropping is \(describe(cropping)); expected four numbers of 0 or more")
    }
    let shape = operands[0].shape
    return [
      try TensorType(
        .float32, [shape[0], shape[1] - cropping[0] - cropping[2], shape[2] - cropping[1] - cropping[3], shape[3]])
    ]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    [try context.emit(ZeroPadding2D(cropping), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}
