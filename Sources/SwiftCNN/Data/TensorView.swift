import CNNCore
import CNNGraph

/// A dense row-major array in memory that somebody else owns and keeps alive; the view of a `Tensor` keeps it alive
/// itself.
public struct TensorView: @unchecked Sendable {
  /// The element type.
  public let element: ElementType
  /// The sizes of the axes; the first is the number of samples.
  public let shape: [Int]
  /// The first element.
  public let base: UnsafeRawPointer
  /// What the memory belongs to, where the view keeps it: `Tensor(...).view` would dangle otherwise.
  private let owner: Memory?

  /// A view of memory that holds as many elements as `shape` says.
  public init(_ element: ElementType, shape: [Int], base: UnsafeRawPointer) {
    self.init(element, shape: shape, base: base, owner: nil)
  }

  init(_ element: ElementType, shape: [Int], base: UnsafeRawPointer, owner: Memory?) {
    (self.element, self.shape, self.base, self.owner) = (element, shape, base, owner)
  }

  /// The number of samples.
  var sampleCount: Int { shape.first ?? 0 }

  /// The samples' own shape.
  var sampleShape: [Int] { Array(shape.dropFirst()) }

  /// The size of one sample in bytes. Call only after `validated`.
  var sampleByteCount: Int { sampleShape.reduce(element.byteCount, *) }

  /// The number that all elements are, as text; nil where there are several, or none, or it is not finite.
  var onlyNumber: String? {
    func only<Number: Equatable>(_: Number.Type) -> Number? {
      let elements = UnsafeBufferPointer(start: base.assumingMemoryBound(to: Number.self), count: shape.reduce(1, *))
      return elements.first.flatMap { first in elements.allSatisfy { $0 == first } ? first : nil }
    }
    switch element {
    case .float32: return only(Float.self).flatMap { $0.isFinite ? "\($0)" : nil }
    case .int32: return only(Int32.self).map { "\($0)" }
    case .uint8: return only(UInt8.self).map { "\($0)" }
    case .bfloat16, .int8, .int16: return nil
    }
  }

  /// The same elements along other axes, of which there are as many.
  func reshaped(_ shape: [Int]) -> TensorView { TensorView(element, shape: shape, base: base, owner: owner) }

  /// The samples in `range`.
  func samples(_ range: Range<Int>) -> TensorView {
    TensorView(
      element, shape: [range.count] + sampleShape, base: base + range.lowerBound * sampleByteCount, owner: owner)
  }

  /// The smallest and the largest of int32 elements. Call only after `validated`.
  var int32Range: (minimum: Int32, maximum: Int32) {
    let values = UnsafeBufferPointer(start: base.assumingMemoryBound(to: Int32.self), count: shape.reduce(1, *))
    var (minimum, maximum) = (Int32.max, Int32.min)
    for value in values { (minimum, maximum) = (min(minimum, value), max(maximum, value)) }
    return (minimum, maximum)
  }

  /// Integers as another type, whose range they do not leave. Call only after `validated`.
  func converted(to element: ElementType) throws(CNNError) -> TensorView {
    let result = try Tensor(element, zeros: shape), count = shape.reduce(1, *)
    switch (self.element, element) {
    case (.int32, .float32):
      let values = base.assumingMemoryBound(to: Int32.self)
      for index in 0..<count { result.floats[index] = Float(values[index]) }
    case (.uint8, .float32):
      let values = base.assumingMemoryBound(to: UInt8.self)
      for index in 0..<count { result.floats[index] = Float(values[index]) }
    case (.int32, .uint8):
      let values = base.assumingMemoryBound(to: Int32.self)
      let bytes = result.base.assumingMemoryBound(to: UInt8.self)
      for index in 0..<count { bytes[index] = UInt8(truncatingIfNeeded: values[index]) }
    default: return self
    }
    return result.view
  }

  /// The type, with sizes checked.
  /// - Throws: `.shapeMismatch` for an empty batch or another size below 1, `.outOfMemory` for sizes that overflow.
  func validated(_ role: String) throws(CNNError) -> TensorType {
    guard let first = shape.first else { throw CNNError(.shapeMismatch, "\(role) is a scalar; expected a batch") }
    guard ElementType.external.contains(element) else {
      throw CNNError(
        .invalidArgument, "\(role) has element type \(element.rawValue); expected float32, int32 or uint8")
    }
    guard first != 0 else { throw CNNError(.shapeMismatch, "\(role) has shape \(describe(shape)): the batch is empty") }
    do throws(CNNError) { return try TensorType(element, shape) } catch { throw error.prefixed(role) }
  }
}
