// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// How a window is reduced to one number.
public enum PoolingKind: String, Sendable, CaseIterable {
  /// The largest element.
  case max
  /// The mean.
  case average
}

/// Pooling over windows. Operand `[N, H, W, C]`; result `[N, H', W', C]`.
public struct Pooling2D: Operation {
  public static let name = "pool2d"

  /// Maximum or mean.
  public let kind: PoolingKind
  /// The window. An average has no dilation.
  public let window: Window
  /// Whether an average counts the padding as zeros (PyTorch's default) or leaves it out (TensorFlow's rule).
  public let countsPadding: Bool

  /// A pooling with this window; steps of one window where no stride is given.
  public init(
    _ kind: PoolingKind, kernel: [Int], stride: [Int]? = nil, padding: Padding = .none, countsPadding: Bool = true
  ) {
    self.kind = kind
    window = Window(kernel: kernel, stride: stride ?? kernel, dilation: [1, 1], padding: padding)
    self.countsPadding = countsPadding
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    kind = try attributes.choice("kind")
    let kernel = try attributes.integers("kernel", count: 2)
    var window = Window(
      kernel: kernel, stride: try attributes.optionalIntegers("stride", count: 2) ?? kernel,
      dilation: try attributes.integers("dilation", count: 2, default: [1, 1]), padding: try Padding(&attributes))
    window.roundsUp = try attributes.flag("ceil_mode", default: false)
    self.window = window
    countsPadding = try attributes.flag("count_include_pad", default: true)
  }

  public var attributes: Attributes {
    var attributes = Attributes()
    attributes["kind"] = .text(kind.rawValue)
    window.write(to: &attributes, includingKernel: true)
    if window.roundsUp { attributes["ceil_mode"] = .flag(true) }
    if kind == .average { attributes["count_include_pad"] = .flag(countsPadding) }
    return attributes
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    let shape = operands[0].shape
    let placed = try window.placed(onHeight: shape[1], width: shape[2])
    // A window that lies in the padding alone has no maximum.
    guard max(placed.top, placed.bottom) < window.kernel[0], max(placed.left, placed.right) < window.kernel[1] else {
      throw CNNError(
        .invalidArgument,
        "padding \(describe([placed.top, placed.left, placed.bottom, placed.right])) must be smaller than the kernel "
          + describe(window.kernel))
    }
    guard kind == .max || window.dilation == [1, 1] else {
      throw CNNError(.invalidArgument, "an average pooling has no dilation; \(describe(window.dilation)) given")
    }
    return [try TensorType(.float32, [shape[0], placed.output[0], placed.output[1], shape[3]])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let x = context.operand(0)
    let operation = Pooling2DGradient(self, inputShape: context.type(of: x).shape)
    // The position of a maximum is found again from the input; a mean needs no more than the shape.
    let gradient =
      kind == .max
      ? try context.emit(operation, context.upstream, x, context.result(0))
      : try context.emit(operation, context.upstream)
    return [gradient]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// The gradient of `Pooling2D`. Operands: `dy`, and for a maximum `x` and `y`; result `[N, H, W, C]`.
public struct Pooling2DGradient: Operation {
  public static let name = "pool2d_gradient"
  /// The pooling that was run forward.
  public let pooling: Pooling2D
  /// The shape of its input.
  public let inputShape: [Int]

  init(_ pooling: Pooling2D, inputShape: [Int]) { (self.pooling, self.inputShape) = (pooling, inputShape) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    pooling = try Pooling2D(&attributes)
    inputShape = try attributes.integers("input_shape", count: 4)
  }

  public var attributes: Attributes { pooling.attributes.adding("input_shape", .integers(inputShape)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: pooling.kind == .max ? 3...3 : 1...1)
    let input = try TensorType(.float32, inputShape)
    let output = try pooling.resultTypes([input])[0].shape
    try operands[0].require(shape: output, as: "the gradient")
    if pooling.kind == .max {
      try operands[1].require(shape: inputShape, as: "the input")
      try operands[2].require(shape: output, as: "the result")
    }
    return [input]
  }
}

/// Pooling over all of height and width. Operand `[N, H, W, C]`; result `[N, C]`, or `[N, 1, 1, C]` with
/// `keepsAxes`.
public struct GlobalPooling2D: Operation {
  public static let name = "global_pool2d"

  /// Maximum or mean.
  public let kind: PoolingKind
  /// Whether height and width stay as axes of size 1.
  public let keepsAxes: Bool

  /// A global pooling.
  public init(_ kind: PoolingKind, keepsAxes: Bool = false) { (self.kind, self.keepsAxes) = (kind, keepsAxes) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    kind = try attributes.choice("kind")
    keepsAxes = try attributes.flag("keep_axes", default: false)
  }

  public var attributes: Attributes {
    let attributes: Attributes = ["kind": .text(kind.rawValue)]
    return keepsAxes ? attributes.adding("keep_axes", .flag(true)) : attributes
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    let (batch, channels) = (operands[0].shape[0], operands[0].shape[3])
    return [try TensorType(.float32, keepsAxes ? [batch, 1, 1, channels] : [batch, channels])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let x = context.operand(0)
    let operation = GlobalPooling2DGradient(self, inputShape: context.type(of: x).shape)
    let gradient =
      kind == .max
      ? try context.emit(operation, context.upstream, x, context.result(0))
      : try context.emit(operation, context.upstream)
    return [gradient]
  }

  public func couple(_ channels: inout CouplingContext) {
    channels.setChannels(channels.channels(0, axis: 3), axis: keepsAxes ? 3 : 1)
  }
}

/// The gradient of `GlobalPooling2D`. Operands: `dy`, and for a maximum `x` and `y`; result `[N, H, W, C]`.
public struct GlobalPooling2DGradient: Operation {
  public static let name = "global_pool2d_gradient"
  /// The pooling that was run forward.
  public let pooling: GlobalPooling2D
  /// The shape of its input.
  public let inputShape: [Int]

  init(_ pooling: GlobalPooling2D, inputShape: [Int]) { (self.pooling, self.inputShape) = (pooling, inputShape) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    pooling = try GlobalPooling2D(&attributes)
    inputShape = try attributes.integers("input_shape", count: 4)
  }

  public var attributes: Attributes { pooling.attributes.adding("input_shape", .integers(inputShape)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: pooling.kind == .max ? 3...3 : 1...1)
    let input = try TensorType(.float32, inputShape)
    let output = try pooling.resultTypes([input])[0].shape
    try operands[0].require(shape: output, as: "the gradient")
    if pooling.kind == .max {
      try operands[1].require(shape: inputShape, as: "the input")
      try operands[2].require(shape: output, as: "the result")
    }
    return [input]
  }
}
