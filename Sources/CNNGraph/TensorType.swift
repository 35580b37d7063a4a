import CNNCore

/// What is known of a tensor before it is computed: its element type, its shape, where its elements lie, and what they
/// stand for where they are quantised.
///
/// Activations are NHWC, `[batch, height, width, channels]`, whatever their layout; a scalar has the empty shape.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  /// The type of each element.
  public let element: ElementType
  /// The sizes of the axes, outermost first. Each is at least 1.
  public let shape: [Int]
  /// Where the elements lie.
  public let layout: Layout
  /// What integers stand for; nil where they are themselves.
  public let quantization: Quantization?

  /// The largest number of axes a tensor can have.
  public static let maximumRank = 8
  /// No tensor is larger, so that planning can add and multiply sizes by small numbers without overflow.
  public static let maximumByteCount = 1 << 46

  /// A tensor type, checked.
  /// - Throws: `.shapeMismatch` where an axis is below 1, there are more than `maximumRank` or the layout does not fit,
  ///   `.outOfMemory` where there are more bytes than `maximumByteCount`, `.invalidArgument` for a quantisation that does
  ///   not fit.
  public init(
    _ element: ElementType = .float32, _ shape: [Int], layout: Layout = .rowMajor, quantization: Quantization? = nil
  ) throws(CNNError) {
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
    try quantization?.check(element, shape)
    (self.element, self.shape, self.layout, self.quantization) = (element, shape, layout, quantization)
    switch layout {
    case .rowMajor, .packed: break
    case .permuted(let order):
      guard order.sorted() == Array(shape.indices) else {
        throw CNNError(.shapeMismatch, "shape \(describe(shape)) has no axes \(describe(order))")
      }
    case .blocked:
      guard blocks != nil else {
        throw CNNError(.shapeMismatch, "a tensor of shape \(describe(shape)) has no blocks of channels")
      }
    }
  }

  /// The same tensor elsewhere.
  public func with(element: ElementType? = nil, layout: Layout) throws(CNNError) -> TensorType {
    try TensorType(element ?? self.element, shape, layout: layout, quantization: quantization)
  }

  /// The number of elements.
  public var count: Int { shape.reduce(1, *) }
  /// The size in bytes, of what the layout adds too.
  public var byteCount: Int {
    switch layout {
    case .rowMajor, .permuted: count * element.byteCount
    case .blocked: blocks?.byteCount ?? 0
    case .packed(_, let byteCount): byteCount
    }
  }
  /// The number of elements in memory, with what the layout adds.
  public var storedCount: Int { byteCount / element.byteCount }
  /// The number of axes.
  public var rank: Int { shape.count }

  /// How `[N, H, W, C]`, `[N, L, C]`, `[N, C]` or `[C]` lies in blocks of channels; nil for other ranks.
  public var blocks: BlockedTensor? {
    guard let channels = shape.last, shape.count <= 4 else { return nil }
    return BlockedTensor(
      images: shape.count > 1 ? shape[0] : 1, height: shape.count == 4 ? shape[1] : 1,
      width: shape.count > 2 ? shape[shape.count - 2] : 1, channels: channels, border: layout.border ?? .none,
      element: element)
  }

  /// As in `float32[1, 32, 32, 16]`, with the layout where it is not row-major.
  public var description: String {
    var text = element.rawValue + describe(shape)
    if layout != .rowMajor { text += " \(layout)" }
    if let quantization { text += " \(quantization)" }
    return text
  }
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
