import CNNCore

/// What is known of a tensor before it is computed: its element type and its shape.
///
/// Activations are NHWC, `[batch, height, width, channels]`; a scalar has the empty shape.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  /// The type of each element.
  public let element: ElementType
  /// The sizes of the axes, outermost first. Each is at least 1.
  public let shape: [Int]

  /// The largest number of axes a tensor can have.
  public static let maximumRank = 8
  /// No tensor is larger, so that planning can add and multiply sizes by small numbers without overflow.
  public static let maximumByteCount = 1 << 46

  /// A tensor type, checked.
  /// - Throws: `.shapeMismatch` where an axis is below 1 or there are more than `maximumRank`, `.outOfMemory` where there
  ///   are more bytes than `maximumByteCount`.
  public init(_ element: ElementType = .float32, _ shape: [Int]) throws(CNNError) {
    guard shape.count <= Self.maximumRank else {
      throw CNNError(.shapeMismatch, "a tensor has \(shape.count) axes; at most \(Self.maximumRank) are possible")
    }
    guard shape.allSatisfy({ $0 >= 1 }) else {
      throw CNNError(.shapeMismatch, "shape \(describe(shape)) has an axis smaller than 1")
    }
    let byteCount = try Checked.product(shape + [element.byteCount], "tensor")
    guard byteCount <= Self.maximumByteCount else {
      throw CNNError(.outOfMemory, "a tensor of shape \(describe(shape)) has \(byteCount) bytes")
    }
    self.element = element
    self.shape = shape
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }
  /// The size in bytes.
  public var byteCount: Int { count * element.byteCount }
  /// The number of axes.
  public var rank: Int { shape.count }

  /// As in `float32[1, 32, 32, 16]`.
  public var description: String { element.rawValue + describe(shape) }
}

/// A shape as users write it: `[1, 32, 32, 16]`.
public func describe(_ shape: [Int]) -> String { "[\(shape.map(String.init).joined(separator: ", "))]" }

/// A shape with `any` for sizes that vary: `[1, any, any, 3]`.
public func describe(_ shape: [Int?]) -> String {
  "[\(shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", "))]"
}

extension TensorType {
  /// Throws unless the tensor has `rank` axes and the element type `element`.
  func require(rank: Int, element: ElementType = .float32, as role: String) throws(CNNError) {
    guard self.rank == rank else {
      throw CNNError(.shapeMismatch, "\(role) has shape \(describe(shape)); expected \(rank) axes")
    }
    try require(element: element, as: role)
  }

  /// Throws unless the tensor has the element type `element`.
  func require(element: ElementType, as role: String) throws(CNNError) {
    guard self.element == element else {
      throw CNNError(.shapeMismatch, "\(role) has element type \(self.element.rawValue); expected \(element.rawValue)")
    }
  }

  /// Throws unless the tensor has exactly this shape and the element type `element`.
  func require(shape: [Int], element: ElementType = .float32, as role: String) throws(CNNError) {
    guard self.shape == shape else {
      throw CNNError(.shapeMismatch, "\(role) has shape \(describe(self.shape)); expected \(describe(shape))")
    }
    try require(element: element, as: role)
  }
}
