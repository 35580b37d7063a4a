// The protocol's own members are documented in Operation.swift.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation

import CNNCore

/// Mirrors each image of a batch or not, at random in training; in inference nothing. Operand and result: `[N, H, W, C]`.
///
/// Half of the images are mirrored left to right, and independently half of them top to bottom, as Keras's `RandomFlip`.
public struct RandomFlip: RandomOperation {
  public static let name = "random_flip"
  /// Whether images are mirrored left to right, and top to bottom.
  public let horizontal, vertical: Bool
  public var stream: Int

  /// A random flip.
  public init(horizontal: Bool = true, vertical: Bool = true, stream: Int) {
    (self.horizontal, self.vertical, self.stream) = (horizontal, vertical, stream)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    horizontal = try attributes.flag("horizontal", default: true)
    vertical = try attributes.flag("vertical", default: true)
    stream = try attributes.integer("stream", default: 0)
  }

  public var attributes: Attributes {
    ["horizontal": .flag(horizontal), "vertical": .flag(vertical), "stream": .integer(stream)]
  }

  public func inferenceForm(_ operand: TensorType) -> (any Operation)? { nil }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    guard horizontal || vertical else {
      throw CNNError(.invalidArgument, "horizontal and vertical are both false; expected one of them at least")
    }
    return operands
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    // Its own inverse.
    [try context.emit(self, context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// Cuts a window of `height` x `width` out of each image of a batch, at random in training, from the middle in inference.
/// Operand `[N, H, W, C]`; result `[N, height, width, C]`.
///
/// In training every image has a place of its own; Keras's `RandomCrop` takes one place for the whole batch.
public struct RandomCrop: RandomOperation {
  public static let name = "random_crop"
  /// The size of the result.
  public let height, width: Int
  public var stream: Int

  /// A random crop.
  public init(height: Int, width: Int, stream: Int) {
    (self.height, self.width, self.stream) = (height, width, stream)
  }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    height = try attributes.integer("height")
    width = try attributes.integer("width")
    stream = try attributes.integer("stream", default: 0)
  }

  public var attributes: Attributes {
    ["height": .integer(height), "width": .integer(width), "stream": .integer(stream)]
  }

  /// The middle of the image; an odd row or column that is left over is at the bottom and right.
  public func inferenceForm(_ operand: TensorType) -> (any Operation)? {
    let (rows, columns) = (operand.shape[1] - height, operand.shape[2] - width)
    if rows == 0 && columns == 0 { return nil }
    return Crop2D([rows / 2, columns / 2, rows - rows / 2, columns - columns / 2])
  }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    try operands[0].require(rank: 4, as: "the input")
    let shape = operands[0].shape
    guard height >= 1, width >= 1 else {
      throw CNNError(.invalidArgument, "height and width are \(height) and \(width); expected 1 or more")
    }
    guard height <= shape[1], width <= shape[2] else {
      throw CNNError(
        .shapeMismatch, "the input has \(shape[1]) rows and \(shape[2]) columns; the crop needs \(height) and \(width)")
    }
    return [try TensorType(.float32, [shape[0], height, width, shape[3]])]
  }

  public func gradients(_ context: inout GradientContext) throws(CNNError) -> [Value?] {
    let shape = context.type(of: context.operand(0)).shape
    return [try context.emit(RandomCropGradient(self, inputShape: shape), context.upstream)]
  }

  public func couple(_ channels: inout CouplingContext) { channels.pass() }
}

/// The gradient of `RandomCrop`: `dy` where the window was, zero around it. Operand `dy`; result `[N, H, W, C]`.
public struct RandomCropGradient: Operation {
  public static let name = "random_crop_gradient"
  /// The crop that was run forward.
  public let crop: RandomCrop
  /// The shape of its input.
  public let inputShape: [Int]

  init(_ crop: RandomCrop, inputShape: [Int]) { (self.crop, self.inputShape) = (crop, inputShape) }

  public init(_ attributes: inout Attributes) throws(CNNError) {
    crop = try RandomCrop(&attributes)
    inputShape = try attributes.integers("input_shape", count: 4)
  }

  public var attributes: Attributes { crop.attributes.adding("input_shape", .integers(inputShape)) }

  public func resultTypes(_ operands: [TensorType]) throws(CNNError) -> [TensorType] {
    try require(operands, count: 1...1)
    let input = try TensorType(.float32, inputShape)
    try operands[0].require(shape: crop.resultTypes([input])[0].shape, as: "the gradient")
    return [input]
  }
}
