import CNNCore
import CNNGraph

/// What can be given where a tensor is asked for: a `Tensor`, a `TensorView` of memory that somebody else owns, and arrays
/// of numbers, nested as deep as there are axes.
///
///     try model.fit(images, [0, 1, 1, 0])
public protocol TensorConvertible {
  /// The tensor.
  /// - Throws: `.shapeMismatch` where nested arrays are not of the same size; `.invalidArgument` for a number that no int32
  ///   is.
  var view: TensorView { get throws(CNNError) }
}

extension Tensor: TensorConvertible {}

extension TensorView: TensorConvertible {
  /// The view itself.
  public var view: TensorView { self }
}

extension Array: TensorConvertible where Element: TensorElement {
  /// The numbers as a tensor.
  public var view: TensorView {
    get throws(CNNError) {
      let tensors = try Element.tensors(of: self)
      guard tensors.count == 1 else {
        throw CNNError(.invalidArgument, "\(tensors.count) tensors are given; expected one")
      }
      return tensors[0]
    }
  }
}

/// What an array is made of that is given as a tensor, or as a tensor for each of several inputs: numbers, arrays of
/// them, or tensors.
public protocol TensorElement {
  /// The tensors that an array of such elements is: one of numbers and of arrays, or each by itself.
  /// - Throws: as `TensorConvertible.view`.
  static func tensors(of elements: [Self]) throws(CNNError) -> [TensorView]
}

extension TensorView: TensorElement {
  /// Each by itself.
  public static func tensors(of elements: [TensorView]) -> [TensorView] { elements }
}

extension Tensor: TensorElement {
  /// Each by itself.
  public static func tensors(of elements: [Tensor]) -> [TensorView] { elements.map(\.view) }
}

extension Array: TensorElement where Element: TensorElement {
  /// One tensor with one axis more than the arrays have.
  public static func tensors(of elements: [[Element]]) throws(CNNError) -> [TensorView] {
    let length = elements.first?.count ?? 0
    if let row = elements.firstIndex(where: { $0.count != length }) {
      throw CNNError(
        .shapeMismatch,
        "the array at \(row) has \(elements[row].count) elements and the first \(length); expected as many in each")
    }
    var flat: [Element] = []
    flat.reserveCapacity(elements.count * length)
    for element in elements { flat.append(contentsOf: element) }
    return try Element.tensors(of: flat).map { $0.reshaped([elements.count, length] + $0.shape.dropFirst()) }
  }
}

/// A number of which tensors are made.
public protocol TensorNumber: TensorElement {
  /// What it is in a tensor.
  static var elementType: ElementType { get }
  /// Writes numbers as a tensor has them, one behind the other.
  /// - Throws: `.invalidArgument` for a number that is none of the tensor's type.
  static func store(_ values: [Self], at base: UnsafeMutableRawPointer) throws(CNNError)
}

extension TensorNumber {
  /// One tensor with one axis.
  public static func tensors(of elements: [Self]) throws(CNNError) -> [TensorView] {
    [try Tensor(elements, shape: [elements.count]).view]
  }

  /// Writes numbers of which bytes are copied.
  public static func store(_ values: [Self], at base: UnsafeMutableRawPointer) {
    values.withUnsafeBytes { if let start = $0.baseAddress { base.copyMemory(from: start, byteCount: $0.count) } }
  }
}

extension Float: TensorNumber {
  /// float32.
  public static var elementType: ElementType { .float32 }
}

extension Int32: TensorNumber {
  /// int32.
  public static var elementType: ElementType { .int32 }
}

extension UInt8: TensorNumber {
  /// uint8.
  public static var elementType: ElementType { .uint8 }
}

extension Double: TensorNumber {
  /// float32.
  public static var elementType: ElementType { .float32 }

  /// Writes them as the nearest float32.
  public static func store(_ values: [Double], at base: UnsafeMutableRawPointer) {
    Float.store(values.map { Float($0) }, at: base)
  }
}

extension Int: TensorNumber {
  /// int32.
  public static var elementType: ElementType { .int32 }

  /// Writes them as int32.
  public static func store(_ values: [Int], at base: UnsafeMutableRawPointer) throws(CNNError) {
    if let wrong = values.first(where: { Int32(exactly: $0) == nil }) {
      throw CNNError(.invalidArgument, "\(wrong) is no int32; expected \(Int32.min) to \(Int32.max)")
    }
    Int32.store(values.map { Int32(truncatingIfNeeded: $0) }, at: base)
  }
}
