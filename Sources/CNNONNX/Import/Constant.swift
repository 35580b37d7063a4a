import CNNCore
import CNNGraph

/// Floats in checked memory.
public final class ONNXFloats: Sendable, RandomAccessCollection {
  /// Where they lie; it may be a little longer.
  public let memory: Memory
  /// How many there are.
  public let count: Int

  /// Room for `count` floats, which `fill` writes.
  init(count: Int, _ what: String, fill: (UnsafeMutableBufferPointer<Float>) throws(CNNError) -> Void) throws(CNNError)
  {
    memory = try Memory(count: count, of: .float32, for: what)
    self.count = count
    try fill(UnsafeMutableBufferPointer(rebasing: memory.floats[..<count]))
  }

  /// Copies `values`.
  convenience init(_ values: [Float]) throws(CNNError) {
    try self.init(count: values.count, "a constant") { target throws(CNNError) in
      _ = target.update(fromContentsOf: values)
    }
  }

  /// Those at these positions.
  func picking(_ positions: [Int]) throws(CNNError) -> ONNXFloats {
    try ONNXFloats(count: positions.count, "a constant") { target throws(CNNError) in
      for (index, position) in positions.enumerated() { target[index] = self[position] }
    }
  }

  /// 0.
  public var startIndex: Int { 0 }
  /// `count`.
  public var endIndex: Int { count }

  /// The number at `index`, in `0..<count`.
  public subscript(index: Int) -> Float { withExtendedLifetime(self) { memory.floats[index] } }
}

/// A size of a tensor, or what is computed of sizes: known, or so many times the batch, or another at every run.
enum Size: Equatable, Sendable {
  case known(Int)
  case batch(times: Int)
  case varying

  /// The number, where it is known.
  var known: Int? { if case .known(let value) = self { value } else { nil } }

  static func + (a: Size, b: Size) -> Size {
    switch (a, b) {
    case (.known(let x), .known(let y)): checked(x.addingReportingOverflow(y))
    case (.known(0), let other), (let other, .known(0)): other
    default: .varying
    }
  }

  static func - (a: Size, b: Size) -> Size {
    switch (a, b) {
    case (.known(let x), .known(let y)): checked(x.subtractingReportingOverflow(y))
    case (let other, .known(0)): other
    default: .varying
    }
  }

  static func * (a: Size, b: Size) -> Size {
    switch (a, b) {
    case (.known(let x), .known(let y)): return checked(x.multipliedReportingOverflow(by: y))
    case (.known(let x), .batch(let y)), (.batch(let y), .known(let x)):
      let (product, overflow) = x.multipliedReportingOverflow(by: y)
      return overflow ? .varying : .batch(times: product)
    default: return .varying
    }
  }

  static func / (a: Size, b: Size) -> Size {
    switch (a, b) {
    case (.known(let x), .known(let y)) where y != 0: return checked(x.dividedReportingOverflow(by: y))
    case (.batch(let x), .known(let y)): return quotient(x, y).map { .batch(times: $0) } ?? .varying
    case (.batch(let x), .batch(let y)): return quotient(x, y).map { .known($0) } ?? .varying
    default: return .varying
    }
  }

  /// The quotient of what is divisible.
  private static func quotient(_ x: Int, _ y: Int) -> Int? {
    guard y != 0 else { return nil }
    let (remainder, overflow) = x.remainderReportingOverflow(dividingBy: y)
    return overflow || remainder != 0 ? nil : x / y
  }

  private static func checked(_ result: (partialValue: Int, overflow: Bool)) -> Size {
    result.overflow ? .varying : .known(result.partialValue)
  }
}

/// A tensor whose values are known when the file is read.
struct Constant: Sendable {
  enum Content: Sendable {
    case floats(ONNXFloats)
    /// Whole numbers, truth values among them.
    case sizes([Size])
    /// Whole numbers of 16 bits at most, as quantised weights have them.
    case levels(ONNXFloats)
  }

  let shape: [Int]
  let content: Content
  /// The initializer that this is; nil for what was computed.
  var source: String?
  /// The type of whole numbers that were read, or made by a cast; nil where it is not known.
  var element: Int?
  /// The rounding that leaves these floats as they are, where they stand for bytes in the file.
  var rounding: FakeQuantize?

  /// What is computed of constants is no larger, unless a constant itself is.
  static let maximumCount = 1 << 22
  /// Nor are all of them together larger than this, and four times what is read.
  static let maximumTotal = 1 << 24

  var count: Int { shape.reduce(1, *) }

  /// - Parameter shape: as many elements as there are in `content`.
  /// - Throws: for more axes than a tensor has, and for shapes without elements that are no lists: a 0 in them would hide
  ///   how large the other sizes are.
  init(shape: [Int], _ content: Content, source: String? = nil, element: Int? = nil) throws(CNNError) {
    guard shape.count <= TensorType.maximumRank else {
      throw CNNError(
        .invalidArgument, "a constant has \(shape.count) axes; at most \(TensorType.maximumRank) are possible")
    }
    guard !shape.contains(0) || shape == [0] else {
      throw CNNError(
        .invalidArgument,
        "a constant has the shape \(describe(shape)); of those without elements only lists are possible")
    }
    (self.shape, self.content, self.source, self.element) = (shape, content, source, element)
  }

  /// A list.
  init(sizes: [Size]) { (shape, content) = ([sizes.count], .sizes(sizes)) }

  /// The elements at these positions, in another shape.
  func picking(_ positions: [Int], shape: [Int]) throws(CNNError) -> Constant {
    switch content {
    case .sizes(let sizes): return try Constant(shape: shape, .sizes(positions.map { sizes[$0] }))
    case .floats(let floats): return try Constant(shape: shape, .floats(floats.picking(positions)))
    case .levels(let levels): return try Constant(shape: shape, .levels(levels.picking(positions)), element: element)
    }
  }

  /// The same elements, still the initializer's, in another shape, which must hold as many.
  func reshaped(_ shape: [Int]) throws(CNNError) -> Constant {
    var result = try Constant(shape: shape, content, source: source, element: element)
    if let rounding, self.shape.indices.contains(rounding.axis) {
      let inner = self.shape[(rounding.axis + 1)...].reduce(1, *)
      let axis = shape.indices.first {
        shape[$0] == self.shape[rounding.axis] && shape[($0 + 1)...].reduce(1, *) == inner
      }
      result.rounding = rounding.scale.count == 1 ? rounding : axis.map { rounding.along($0) }
    }
    return result
  }

  /// The floats. Throws for whole numbers.
  func floats(_ role: String) throws(CNNError) -> ONNXFloats {
    guard case .floats(let floats) = content else {
      throw CNNError(.invalidArgument, "\(role) is made of whole numbers; expected float32")
    }
    return floats
  }

  /// The numbers as floats, also where they are whole.
  func numbers(_ role: String) throws(CNNError) -> ONNXFloats {
    switch content {
    case .floats(let floats), .levels(let floats): return floats
    case .sizes: return try ONNXFloats(integers(role).map { Float($0) })
    }
  }

  /// Whole numbers that are known. Throws for floats, and for sizes that vary.
  func integers(_ role: String) throws(CNNError) -> [Int] {
    let sizes = try sizes(role), known = sizes.compactMap(\.known)
    guard known.count == sizes.count else {
      throw CNNError(.invalidArgument, "\(role) depends on the size of the network's input, which is not fixed")
    }
    return known
  }

  /// The whole numbers; nil for floats.
  var sizes: [Size]? { if case .floats = content { nil } else { try? sizes("") } }

  /// The sizes. Throws for floats.
  func sizes(_ role: String) throws(CNNError) -> [Size] {
    switch content {
    case .sizes(let sizes): return sizes
    case .levels(let levels) where levels.count <= Self.maximumCount: return levels.map { .known(Int($0)) }
    default: throw CNNError(.invalidArgument, "\(role) is made of floats; expected whole numbers")
    }
  }
}
