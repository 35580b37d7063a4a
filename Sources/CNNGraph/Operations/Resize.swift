// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// How what lies between the elements is made.
public enum Interpolation: String, Sendable, CaseIterable {
  /// The nearest element.
  case nearest
  /// On the line between the two neighbours.
  case linear
  /// On the cubic curve through four neighbours (Keys 1981).
  case cubic
}

/// Where an element of the result lies among those of the operand. The names are those of ONNX.
public enum CoordinateRule: String, Sendable, CaseIterable {
  /// Elements are areas whose centers are compared: `(i + 1/2) / scale - 1/2`.
  case halfPixel = "half_pixel"
  /// As `halfPixel`; a single element is the first one.
  case pytorchHalfPixel = "pytorch_half_pixel"
  /// As `halfPixel`, about the center where the scale does not make a whole number of elements.
  case halfPixelSymmetric = "half_pixel_symmetric"
  /// `i / scale`
  case asymmetric
  /// The first and the last element are those of the operand.
  case alignCorners = "align_corners"
  /// `(i + 1/2) / scale`
  case halfPixelForNearest = "tf_half_pixel_for_nn"
}

/// Which neighbour is the nearest.
public enum NearestRule: String, Sendable, CaseIterable {
  /// The nearer one, of two the first.
  case roundPreferFloor = "round_prefer_floor"
  /// The nearer one, of two the second.
  case roundPreferCeil = "round_prefer_ceil"
  /// The one before.
  case floor
  /// The one after.
  case ceil
}

/// Another number of elements along an axis, interpolated. Operand: any shape; result: with another size along `axis`.
public struct Resize: Operation {
  public static let name = "resize"

  /// How many elements there are afterwards.
  public enum Extent: Sendable, Hashable {
    /// So many.
    case size(Int)
    /// So many times as many, without what is left of the last.
    case scale(Double)
  }

  /// The axis; -1 is the last.
  public let axis: Int
  /// How many elements there are afterwards.
  public let extent: Extent
  /// How what lies between is made.
  public var interpolation = Interpolation.linear
  /// Where an element of the result lies.
  public var coordinates = CoordinateRule.halfPixel
  /// Which neighbour is the nearest.
  public var nearest = NearestRule.roundPreferFloor
  /// The constant of the cubic curve.
  public var cubicCoefficient = -0.75
  /// Whether neighbours outside count nothing, rather than being the first or the last element.
  public var excludesOutside = false
  /// Whether the neighbours of a smaller result are as many as fall on one of its elements.
  public var antialiases = false

  /// The largest number of elements along the axis.
  public static let maximumSize = 1 << 20

  /// A resizing.
  public init(axis: Int, to extent: Extent) { (self.axis, self.extent) = (axis, extent) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    axis = try attributes.integer("axis", default: -1)
    attributes.declare("scale", "number", default: .null)
    extent =
      attributes.contains("scale")
      ? .scale(try attributes.number("scale")) : .size(try attributes.integer("size"))
    interpolation = try attributes.choice("interpolation", default: .linear)
    coordinates = try attributes.choice("coordinates", default: .halfPixel)
    nearest = try attributes.choice("nearest", default: .roundPreferFloor)
    cubicCoefficient = try attributes.number("cubic_coefficient", default: -0.75)
    excludesOutside = try attributes.flag("exclude_outside", default: false)
    antialiases = try attributes.flag("antialias", default: false)
  }

  public var attributes: Attributes {
    var attributes: Attributes = ["axis": .integer(axis)]
    switch extent {
    case .size(let size): attributes["size"] = .integer(size)
    case .scale(let scale): attributes["scale"] = .number(scale)
    }
    if interpolation != .linear { attributes["interpolation"] = .text(interpolation.rawValue) }
    if coordinates != .halfPixel { attributes["coordinates"] = .text(coordinates.rawValue) }
    if nearest != .roundPreferFloor { attributes["nearest"] = .text(nearest.rawValue) }
    if cubicCoefficient != -0.75 { attributes["cubic_coefficient"] = .number(cubicCoefficient) }
    if excludesOutside { attributes["exclude_outside"] = .flag(true) }
    if antialiases { attributes["antialias"] = .flag(true) }
    return attributes
  }

  /// The number of elements of which `length` become.
  public func size(of length: Int) throws(CNNError) -> Int {
    let size: Int
    switch extent {
    case .size(let given): size = given
    case .scale(let scale):
      // In float32, as the files that have it.
      let product = Float(scale) * Float(length)
      guard scale > 0, product.isFinite, product <= Float(Self.maximumSize) else {
        throw CNNError(
          .invalidArgument,
          "the scale is \(scale); expected more than 0, and \(Self.maximumSize) elements at most of \(length)")
      }
      size = Int(product)
    }
    guard (1...Self.maximumSize).contains(size), length <= Self.maximumSize else {
      throw CNNError(
        .invalidArgument, "\(length) elements become \(size); expected 1 to \(Self.maximumSize) before and afterwards")
    }
    return size
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(element: .float32, as: "the input")
    try checkFloat(cubicCoefficient, "cubic_coefficient")
    var shape = operands[0].shape
    let axis = try resolve(axis, rank: shape.count)
    shape[axis] = try size(of: shape[axis])
    return [try TensorType(.float32, shape)]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    return [
      try context.emit(ResizeGradient(self, length: shape[try resolve(axis, rank: shape.count)]), context.upstream)
    ]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// The gradient of `Resize`: each element is added to those that it was made of. Operand `dy`; result with `length`
/// elements along the axis.
public struct ResizeGradient: Operation {
  public static let name = "resize_gradient"
  /// What was run forward.
  public let resize: Resize
  /// The number of elements along the axis.
  public let length: Int

  init(_ resize: Resize, length: Int) { (self.resize, self.length) = (resize, length) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    resize = try Resize(&attributes)
    length = try attributes.integer("length")
  }

  public var attributes: Attributes { resize.attributes.adding("length", .integer(length)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    var shape = operands[0].shape
    shape[try resolve(resize.axis, rank: shape.count)] = length
    let input = try TensorType(.float32, shape)
    try operands[0].require(shape: resize.resultTypes([input])[0].shape, as: "the gradient")
    return [input]
  }
}
