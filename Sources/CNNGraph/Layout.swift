import CNNCore

/// Where the elements of a tensor lie in memory. Its shape is the same wherever that is.
public enum Layout: Hashable, Sendable, CustomStringConvertible {
  /// One behind the other, the last axis fastest.
  case rowMajor
  /// The same with the axes in this order: a filter `[O, I, h, w]` as HWIO is `[2, 3, 1, 0]`.
  case permuted([Int])
  /// Blocks of channels, 64 bytes a pixel, each image with a border of zeros: see `BlockedTensor`.
  case blocked(border: BlockedTensor.Border = .none)
  /// In the order in which one implementation reads its weights, and which only what packs for it knows.
  case packed(name: String, byteCount: Int)

  /// The border of images in blocks, `none` where they have none; nil of other layouts.
  public var border: BlockedTensor.Border? { if case .blocked(let border) = self { border } else { nil } }

  /// As in `blocked`.
  public var description: String {
    switch self {
    case .rowMajor: "row_major"
    case .permuted(let order): "permuted\(describe(order))"
    case .blocked(.none): "blocked"
    case .blocked(let border): "blocked\(describe([border.top, border.left, border.bottom, border.right]))"
    case .packed(let name, _): "packed(\(name))"
    }
  }
}

/// What integers stand for: `(integer - zeroPoint) * scale`, for the whole tensor or for each index of one axis.
public struct Quantization: Hashable, Sendable, CustomStringConvertible {
  /// One of each, or one for each index of the axis.
  public let scale: [Float], zeroPoint: [Int32]
  /// The axis that they are for; nil for the whole tensor.
  public let axis: Int?

  /// One scale and zero point for all elements.
  public init(scale: Float, zeroPoint: Int32 = 0) { (self.scale, self.zeroPoint, axis) = ([scale], [zeroPoint], nil) }

  /// One of each for every index of an axis.
  public init(scale: [Float], zeroPoint: [Int32], axis: Int) {
    (self.scale, self.zeroPoint, self.axis) = (scale, zeroPoint, axis)
  }

  /// As in `scale=0.5 zero_point=3`, or of an axis `scale=[64 of axis 0]`.
  public var description: String {
    if let axis { return "scale=[\(scale.count) of axis \(axis)]" }
    return "scale=\(scale.first ?? 1) zero_point=\(zeroPoint.first ?? 0)"
  }

  /// Throws `.invalidArgument` unless it fits a tensor of integers of this shape.
  func check(_ element: ElementType, _ shape: [Int]) throws(CNNError) {
    guard element.isInteger else {
      throw CNNError(.invalidArgument, "\(element.rawValue) has a scale and a zero point; only integers do")
    }
    if let axis, !shape.indices.contains(axis) {
      throw CNNError(.invalidArgument, "the scales are of axis \(axis); the shape is \(describe(shape))")
    }
    let count = axis.map { shape[$0] } ?? 1
    guard scale.count == count, zeroPoint.count == count else {
      throw CNNError(
        .invalidArgument,
        "there are \(scale.count) scales and \(zeroPoint.count) zero points; expected \(count) of each")
    }
    if let wrong = scale.first(where: { !($0.isFinite && $0 > 0) }) {
      throw CNNError(.invalidArgument, "a scale is \(wrong); expected a finite number above 0")
    }
  }
}
