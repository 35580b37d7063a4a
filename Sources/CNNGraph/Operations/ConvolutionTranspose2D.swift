// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Two-dimensional transposed convolution: what the gradient of a convolution does to that of its result, so that a
/// stride makes images larger.
///
/// Operands: `x` `[N, H, W, C]` and `weight` `[C, O / groups, h, w]`, the weight of the convolution from `O` to `C`
/// channels. Result `[N, H', W', O]` with `H' = (H - 1) stride + (h - 1) dilation + 1 + output padding - padding`.
public struct ConvolutionTranspose2D: Operation {
  public static let name = "conv2d_transpose"

  /// The convolution of which this is the transposed one. Its padding is explicit: what is cut off the result.
  public var convolution: Convolution2D
  /// Rows and columns at the bottom and right of the result, fewer than the stride.
  public let outputPadding: [Int]

  /// A transposed convolution.
  public init(_ convolution: Convolution2D, outputPadding: [Int] = [0, 0]) {
    (self.convolution, self.outputPadding) = (convolution, outputPadding)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    convolution = try Convolution2D(&attributes)
    outputPadding = try attributes.integers("output_padding", count: 2, default: [0, 0])
  }

  public var attributes: Attributes {
    outputPadding == [0, 0]
      ? convolution.attributes : convolution.attributes.adding("output_padding", .integers(outputPadding))
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 2...2)
    let (x, weight) = (operands[0], operands[1])
    try x.require(rank: 4, as: "the input")
    try weight.require(rank: 4, as: "the weight")
    let (_, output, kernel) = convolution.filterLayout.axes(weight.shape)
    let (stride, dilation) = (convolution.stride, convolution.dilation)
    guard case .explicit(let top, let left, let bottom, let right) = convolution.padding else {
      throw CNNError(.invalidArgument, "padding is 'same'; expected 4 whole numbers")
    }
    guard convolution.groups >= 1 else {
      throw CNNError(.invalidArgument, "groups is \(convolution.groups); expected at least 1")
    }
    var shape = [x.shape[0]]
    for (axis, padding) in [[top, bottom], [left, right]].enumerated() {
      let limit = 1 << 24
      guard stride.count == 2, dilation.count == 2, padding.allSatisfy({ (0...limit).contains($0) }),
        (1...limit).contains(stride[axis]), (1...limit).contains(dilation[axis])
      else {
        throw CNNError(
          .invalidArgument,
          "stride is \(describe(stride)), dilation \(describe(dilation)) and padding \(describe(padding)); expected at "
            + "least 1, 1 and 0")
      }
      guard outputPadding.count == 2, (0..<stride[axis]).contains(outputPadding[axis]) else {
        throw CNNError(
          .invalidArgument,
          "output_padding is \(describe(outputPadding)); expected less than the stride \(describe(stride))")
      }
      let whole = try Checked.sum(
        [
          Checked.product([x.shape[axis + 1] - 1, stride[axis]], "the result"),
          Checked.product([kernel[axis] - 1, dilation[axis]], "the result"), 1, outputPadding[axis],
        ], "the result")
      shape.append(whole - padding[0] - padding[1])
    }
    guard shape.dropFirst().allSatisfy({ $0 >= 1 }) else {
      throw CNNError(
        .shapeMismatch, "nothing is left of the result: its height and width are \(describe(Array(shape[1...])))")
    }
    let result = try TensorType(.float32, shape + [Checked.product([output, convolution.groups], "output channels")])
    try x.require(shape: convolution.resultTypes([result, weight])[0].shape, as: "the input")
    return [result]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let x = context.operand(0), weight = context.operand(1), upstream = context.upstream
    var result: [Value?] = [nil, nil]
    if context.needsGradient(1) {
      result[1] = try context.emit(
        Convolution2DWeightGradient(convolution, weightShape: context.type(of: weight).shape), upstream, x)
    }
    if context.needsGradient(0) { result[0] = try context.emit(convolution, upstream, weight) }
    return result
  }

  public var filterAxis: Int? { convolution.filterLayout == .oihw ? 1 : 2 }

  /// As for the convolution that it is the transposed one of; the same channels of each group belong together.
  public func couple(_ channels: inout CouplingContext) {
    let groups = convolution.groups
    let read = channels.channels(0, axis: 3), made = channels.produce(), size = read.count / groups
    let weight = channels.channels(1, axis: convolution.filterLayout == .oihw ? 0 : 3)
    channels.unite(read, weight)
    channels.unite(read, read.indices.map { read[$0 % size] })
    channels.setChannels((0..<groups).flatMap { _ in made }, axis: 3)
  }
}
