// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// An activation function, element by element. Operand and result: any shape.
///
/// The function's constants (`ActivationFunction.constants`) are attributes, printed and stored where they are not the
/// usual ones.
public struct Activation: Operation {
  public static let name = "activation"
  /// Which function.
  public let function: ActivationFunction
  /// The function's constants, in the order of `ActivationFunction.constants`.
  public let constants: [Double]

  /// The function applied to each element.
  /// - Parameter constants: by name; the others have their usual values. A name that the function does not have is
  ///   passed over.
  public init(_ function: ActivationFunction, _ constants: [String: Double] = [:]) {
    self.function = function
    self.constants = function.constants.map { constants[$0.name] ?? $0.usual }
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    function = try attributes.choice("function")
    var constants: [Double] = []
    for (name, usual) in function.constants { constants.append(try attributes.number(name, default: usual)) }
    self.constants = constants
  }

  /// The activation among the attributes of an operation that it is a part of; nil where there is none.
  static func optional(_ attributes: inout Attributes) throws(CNNError) -> Activation? {
    attributes.contains("function") ? try Activation(&attributes) : nil
  }

  public var attributes: Attributes {
    var attributes: Attributes = ["function": .text(function.rawValue)]
    for (constant, value) in zip(function.constants, constants) where value != constant.usual {
      attributes[constant.name] = .number(value)
    }
    return attributes
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try checkConstants()
    try operands[0].require(element: .float32, as: "the input")
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    // The result rather than the input where either will do: only one of the two is then kept, or ever written.
    let x = function.hasDerivativeOfResult ? context.result(0) : context.operand(0)
    return [try context.emit(ActivationGradient(self), x, context.upstream)]
  }

  /// Throws unless the constants are floats that make a function.
  func checkConstants() throws(CNNError) {
    for (constant, value) in zip(function.constants, constants) where value != constant.usual {
      try checkFloat(value, constant.name)
    }
    try function.check(constants)
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// The gradient of an activation function. Operands: `x` (or what has the same derivative there) and `dy`; result: `dx`.
public struct ActivationGradient: Operation {
  public static let name = "activation_gradient"
  /// What was applied forward.
  public let activation: Activation

  init(_ activation: Activation) { self.activation = activation }

  public init(_ attributes: inout Attributes) throws(CNNError) { activation = try Activation(&attributes) }

  public var attributes: Attributes { activation.attributes }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    try activation.checkConstants()
    try operands[0].require(element: .float32, as: "the input")
    try operands[1].require(shape: operands[0].shape, as: "the gradient")
    return [operands[0]]
  }
}
