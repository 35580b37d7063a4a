import CNNCore
import CNNGraph

/// A dense row-major array that owns its memory.
public struct Tensor: Sendable {
  /// The element type.
  public let element: ElementType
  /// The sizes of the axes.
  public let shape: [Int]
  private let memory: Memory

  /// An array of zeros.
  /// - Throws: `.outOfMemory` where there is no memory for it, `.shapeMismatch` for a size below 1.
  public init(_ element: ElementType = .float32, zeros shape: [Int]) throws(CNNError) {
    let type = try TensorType(element, shape)
    (self.element, self.shape) = (element, shape)
    memory = try Memory(byteCount: type.byteCount, for: "tensor \(type)")
  }

  /// Numbers in row-major order: float32 of `Float` or `Double`, int32 of `Int32` or `Int`, uint8 of `UInt8`.
  /// - Throws: `.shapeMismatch` where `values` has not as many elements as `shape`; `.invalidArgument` for a number that
  ///   no int32 is.
  public init<Number: TensorNumber>(_ values: [Number], shape: [Int]) throws(CNNError) {
    try self.init(Number.elementType, zeros: shape)
    let type = try TensorType(element, shape)
    guard values.count == type.count else {
      throw CNNError(.shapeMismatch, "\(values.count) values given for the shape \(describe(shape))")
    }
    try Number.store(values, at: memory.base)
  }

  /// Numbers in arrays, nested as deep as the tensor has axes.
  ///
  ///     try Tensor([[0.5, 0.5], [1, 0]])  // float32[2, 2]
  ///
  /// - Throws: `.shapeMismatch` where the arrays are not of the same size; `.invalidArgument` for a number that no int32
  ///   is.
  public init<Element: TensorElement>(_ values: [Element]) throws(CNNError) {
    try self.init(copying: values.view)
  }

  /// The elements of a view. Call only after `validated`.
  init(copying view: TensorView) throws(CNNError) {
    try self.init(view.element, zeros: view.shape)
    memory.base.copyMemory(from: view.base, byteCount: memory.byteCount)
  }

  /// The array as one that need not be kept: the view keeps it.
  public var view: TensorView { TensorView(element, shape: shape, base: base, owner: memory) }

  /// The elements of a float32 tensor in row-major order, copied; empty for the other types.
  public var values: [Float] { withExtendedLifetime(self) { Array(floats) } }

  /// The elements of a float32 tensor, a row for each sample; empty for the other types.
  public var rows: [[Float]] {
    let values = values, count = values.count / max(1, shape.first ?? 1)
    return stride(from: 0, to: values.count, by: max(1, count)).map { Array(values[$0..<$0 + count]) }
  }

  /// The elements of a float32 tensor, valid as long as the tensor is; empty for the other types.
  var floats: UnsafeMutableBufferPointer<Float> {
    element == .float32 ? memory.floats : UnsafeMutableBufferPointer(start: nil, count: 0)
  }

  /// The first element, valid as long as the tensor is.
  var base: UnsafeMutableRawPointer { memory.base }
}

extension Tensor: CustomStringConvertible {
  /// The type, and of a float32 tensor the first few elements, as `float32[2, 2] 0.5, 0.5, 1.0, ...`.
  public var description: String {
    withExtendedLifetime(self) {
      let shown = floats.prefix(8).map { "\($0)" } + (floats.count > 8 ? ["..."] : [])
      let type = element.rawValue + describe(shape)
      return shown.isEmpty ? type : "\(type) \(shown.joined(separator: ", "))"
    }
  }
}
