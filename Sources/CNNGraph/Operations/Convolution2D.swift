// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// How a convolution's weight is laid out.
public enum FilterLayout: String, Sendable, CaseIterable {
  /// `[outputChannels, inputChannels / groups, height, width]`: torchvision's, and that of every file.
  case oihw
  /// `[height, width, inputChannels / groups, outputChannels]`: what the kernels read.
  case hwio

  /// The permutation that turns OIHW into HWIO, and back.
  public static let toHWIO = [2, 3, 1, 0], toOIHW = [3, 2, 0, 1]

  /// The weight's shape in this layout.
  func shape(output: Int, input: Int, kernel: [Int]) -> [Int] {
    self == .oihw ? [output, input, kernel[0], kernel[1]] : [kernel[0], kernel[1], input, output]
  }

  /// The axes (output, input, height, width) of a weight in this layout.
  func axes(_ shape: [Int]) -> (output: Int, input: Int, kernel: [Int]) {
    self == .oihw ? (shape[0], shape[1], [shape[2], shape[3]]) : (shape[3], shape[2], [shape[0], shape[1]])
  }
}

/// Two-dimensional convolution (cross-correlation, as everywhere in deep learning).
///
/// Operands: `x` `[N, H, W, C]`, `weight` `[O, C / groups, h, w]`, optionally `bias` `[O]`. Result `[N, H', W', O]`.
public struct Convolution2D: Operation {
  public static let name = "conv2d"

  /// Steps in height and width.
  public var stride: [Int]
  /// Distance of neighbouring taps in height and width.
  public var dilation: [Int]
  /// The number of groups into which the channels are divided; all of them for a depthwise convolution.
  public var groups: Int
  /// What lies around the input.
  public var padding: Padding
  /// The weight's layout; `oihw` except in compiled graphs.
  public var filterLayout = FilterLayout.oihw

  /// A convolution with these constants.
  public init(stride: [Int] = [1, 1], dilation: [Int] = [1, 1], groups: Int = 1, padding: Padding = .none) {
    (self.stride, self.dilation, self.groups, self.padding) = (stride, dilation, groups, padding)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    stride = try attributes.integers("stride", count: 2, default: [1, 1])
    dilation = try attributes.integers("dilation", count: 2, default: [1, 1])
    groups = try attributes.integer("groups", default: 1)
    padding = try Padding(&attributes)
    filterLayout = try attributes.choice("filter_layout", default: FilterLayout.oihw)
  }

  public var attributes: Attributes {
    var attributes = Attributes()
    window(kernel: []).write(to: &attributes, includingKernel: false)
    if groups != 1 { attributes["groups"] = .integer(groups) }
    if filterLayout != .oihw { attributes["filter_layout"] = .text(filterLayout.rawValue) }
    return attributes
  }

  /// The window for a weight of this kernel size.
  public func window(kernel: [Int]) -> Window {
    Window(kernel: kernel, stride: stride, dilation: dilation, padding: padding)
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...3)
    let (x, weight) = (operands[0], operands[1])
    try x.require(rank: 4, as: "the input")
    try weight.require(rank: 4, as: "the weight")
    let (output, input, kernel) = filterLayout.axes(weight.shape)
    guard groups >= 1, output % groups == 0 else {
      throw CNNError(.invalidArgument, "groups is \(groups); it must divide the \(output) output channels")
    }
    let expected = try Checked.product([input, groups], "input channels")
    guard x.shape[3] == expected else {
      throw CNNError(
        .shapeMismatch,
        "the input \(describe(x.shape)) has \(x.shape[3]) channels; the weight \(describe(weight.shape)) with "
          + "\(groups) groups expects \(expected)")
    }
    if operands.count == 3 { try operands[2].require(shape: [output], as: "the bias") }
    let placed = try window(kernel: kernel).placed(onHeight: x.shape[1], width: x.shape[2])
    return [try TensorType(.float32, [x.shape[0], placed.output[0], placed.output[1], output])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let x = context.operand(0), weight = context.operand(1), upstream = context.upstream
    var result: [Value?] = [nil, nil]
    // The weight's first: then nobody needs x any more, and the gradient of the input can take its memory.
    if context.needsGradient(1) {
      result[1] = try context.emit(
        Convolution2DWeightGradient(self, weightShape: context.type(of: weight).shape), x, upstream)
    }
    if context.needsGradient(0) {
      result[0] = try context.emit(
        Convolution2DInputGradient(self, inputShape: context.type(of: x).shape), upstream, weight)
    }
    if context.operandCount == 3 {
      result.append(context.needsGradient(2) ? try context.emit(SumLeadingAxes(), upstream) : nil)
    }
    return result
  }

  public var filterAxis: Int? { filterLayout == .oihw ? 0 : 3 }

  /// Each output channel is made by a filter. With groups, the same filters of each and the same of the channels that each
  /// reads belong together, so that groups stay alike; where a group reads one channel, as in a depthwise convolution, the
  /// group leaves with it.
  public func couple(_ channels: inout CouplingContext) {
    let inputs = filterLayout == .oihw ? 1 : 2
    let made = channels.produce(), read = channels.channels(0, axis: 3)
    if groups > 1, channels.shape(1)[inputs] == 1 {
      let multiplier = made.count / groups
      channels.unite(made, made.indices.map { read[$0 / multiplier] })
    } else {
      let weight = channels.channels(1, axis: inputs), filters = made.count / groups
      channels.unite(read, read.indices.map { weight[$0 % weight.count] })
      channels.unite(made, made.indices.map { made[$0 % filters] })
    }
    if channels.operandCount == 3 { channels.unite(made, channels.channels(2, axis: 0)) }
    channels.setChannels(made, axis: 3)
  }

  public func keeping(_ kept: KeptChannels, _ operands: [TensorType]) -> any Operation {
    var result = self
    result.groups = operands[0].shape[3] / filterLayout.axes(operands[1].shape).input
    return result
  }
}

/// The gradient of a convolution's input. Operands: `dy` `[N, H', W', O]` and the weight; result `[N, H, W, C]`.
public struct Convolution2DInputGradient: Operation {
  public static let name = "conv2d_input_gradient"
  /// The convolution that was run forward.
  public var convolution: Convolution2D
  /// The shape of its input.
  public let inputShape: [Int]

  init(_ convolution: Convolution2D, inputShape: [Int]) {
    (self.convolution, self.inputShape) = (convolution, inputShape)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    convolution = try Convolution2D(&attributes)
    inputShape = try attributes.integers("input_shape", count: 4)
  }

  public var attributes: Attributes { convolution.attributes.adding("input_shape", .integers(inputShape)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    let input = try TensorType(.float32, inputShape)
    let output = try convolution.resultTypes([input, operands[1]])
    try operands[0].require(shape: output[0].shape, as: "the gradient")
    return [input]
  }
}

/// The gradient of a convolution's weight. Operands: `x` `[N, H, W, C]` and `dy` `[N, H', W', O]`.
public struct Convolution2DWeightGradient: Operation {
  public static let name = "conv2d_weight_gradient"
  /// The convolution that was run forward.
  public var convolution: Convolution2D
  /// The shape of its weight, in the convolution's filter layout.
  public let weightShape: [Int]

  /// The weight gradient of `convolution`.
  public init(_ convolution: Convolution2D, weightShape: [Int]) {
    (self.convolution, self.weightShape) = (convolution, weightShape)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    convolution = try Convolution2D(&attributes)
    weightShape = try attributes.integers("weight_shape", count: 4)
  }

  public var attributes: Attributes { convolution.attributes.adding("weight_shape", .integers(weightShape)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    let weight = try TensorType(.float32, weightShape)
    let output = try convolution.resultTypes([operands[0], weight])
    try operands[1].require(shape: output[0].shape, as: "the gradient")
    return [weight]
  }
}
