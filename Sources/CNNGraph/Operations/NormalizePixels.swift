// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Pixels to numbers: `(x / 255 - mean) / deviation` for each channel. Operand uint8 `[..., C]`; result float32.
public struct NormalizePixels: Operation {
  public static let name = "normalize_pixels"
  /// One per channel, in units of the full range 0...1.
  public let mean, deviation: [Double]

  /// The normalisation with these constants.
  public init(mean: [Double], deviation: [Double]) { (self.mean, self.deviation) = (mean, deviation) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    mean = try attributes.numbers("mean")
    deviation = try attributes.numbers("deviation")
  }

  public var attributes: Attributes { ["mean": .numbers(mean), "deviation": .numbers(deviation)] }

  /// Pixels alone.
  public func takes(_ element: ElementType, at operand: Int) -> Bool { element == .uint8 }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .uint8, as: "the image")
    guard let channels = operands[0].shape.last, mean.count == channels, deviation.count == channels,
      deviation.allSatisfy({ $0 > 0 })
    else {
      throw CNNError(
        .shapeMismatch,
        "the image \(describe(operands[0].shape)) needs one mean and one positive deviation per channel; "
          + "\(mean.count) and \(deviation.count) given")
    }
    return [try TensorType(.float32, operands[0].shape)]
  }
}
