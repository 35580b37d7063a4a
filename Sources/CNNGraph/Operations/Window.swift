import CNNCore

/// How a window's input is padded.
public enum Padding: Hashable, Sendable {
  /// This many rows and columns on each side.
  case explicit(top: Int, left: Int, bottom: Int, right: Int)
  /// TensorFlow's rule: the output has `ceil(input / stride)` positions, an odd row or column goes to the bottom and
  /// right.
  case same

  /// No padding.
  public static let none = Padding.explicit(top: 0, left: 0, bottom: 0, right: 0)

  /// The same padding on all four sides.
  public static func all(_ size: Int) -> Padding { .explicit(top: size, left: size, bottom: size, right: size) }

  /// As in a file: `same`, or `[top, left, bottom, right]`.
  var attribute: Attribute {
    switch self {
    case .same: .text("same")
    case .explicit(let top, let left, let bottom, let right): .integers([top, left, bottom, right])
    }
  }

  /// Reads the attribute `padding`; no padding where it is missing. Throws `.invalidArgument` for anything else.
  public init(_ attributes: inout Attributes) throws(CNNError) {
    attributes.declare("padding", "padding", default: [0, 0, 0, 0])
    if case .text = attributes["padding"] {
      let text = try attributes.text("padding")
      guard text == "same" else {
        throw CNNError(.invalidArgument, "attribute 'padding' is '\(text)'; expected 'same' or 4 whole numbers")
      }
      self = .same
    } else {
      let sides = try attributes.integers("padding", count: 4, default: [0, 0, 0, 0])
      self = .explicit(top: sides[0], left: sides[1], bottom: sides[2], right: sides[3])
    }
  }
}

/// A window that slides over height and width: what convolution and pooling have in common.
public struct Window: Hashable, Sendable {
  /// Height and width of the window.
  public var kernel: [Int]
  /// Steps in height and width.
  public var stride: [Int]
  /// Distance of neighbouring elements of the window in height and width.
  public var dilation: [Int]
  /// What lies around the input.
  public var padding: Padding
  /// Whether a window of which only a part lies in the padded input counts too, as long as it begins in the input or the
  /// padding before it: the padding after it grows.
  public var roundsUp = false

  /// The largest of these numbers that there may be.
  private static let limit = 1 << 24

  /// A window.
  public init(kernel: [Int], stride: [Int], dilation: [Int], padding: Padding) {
    (self.kernel, self.stride, self.dilation, self.padding) = (kernel, stride, dilation, padding)
  }

  /// A window's placement on an input of known size.
  public struct Placement: Hashable, Sendable {
    /// Height and width of the output.
    public let output: [Int]
    /// Rows and columns of padding on each side.
    public let top, left, bottom, right: Int
  }

  /// Where the window stands on an input of `height` x `width`.
  /// - Throws: `.invalidArgument` for a stride, dilation, kernel or padding out of range, `.shapeMismatch` where the
  ///   window is larger than the padded input.
  public func placed(onHeight height: Int, width: Int) throws(CNNError) -> Placement {
    for (what, values) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
      guard values.count == 2, values.allSatisfy({ (1...Self.limit).contains($0) }) else {
        throw CNNError(.invalidArgument, "\(what) is \(describe(values)); expected two numbers from 1 to \(Self.limit)")
      }
    }
    let vertical = try placed(on: height, axis: 0), horizontal = try placed(on: width, axis: 1)
    return Placement(
      output: [vertical.output, horizontal.output],
      top: vertical.before, left: horizontal.before, bottom: vertical.after, right: horizontal.after)
  }

  private func placed(on size: Int, axis: Int) throws(CNNError) -> (output: Int, before: Int, after: Int) {
    let reach = try Checked.sum([Checked.product([dilation[axis], kernel[axis] - 1], "window"), 1], "window")
    var (before, after) = (0, 0)
    switch padding {
    case .explicit(let top, let left, let bottom, let right):
      (before, after) = axis == 0 ? (top, bottom) : (left, right)
    case .same:
      let output = (size - 1) / stride[axis] + 1
      let end = try Checked.sum([Checked.product([output - 1, stride[axis]], "window"), reach], "window")
      let total = max(0, end - size)
      (before, after) = (total / 2, total - total / 2)
    }
    guard (0...Self.limit).contains(before), (0...Self.limit).contains(after) else {
      throw CNNError(.invalidArgument, "padding is \(before) and \(after); expected 0 to \(Self.limit)")
    }
    let room = try Checked.sum([size, before, after], "window") - reach
    guard room >= 0 else {
      throw CNNError(
        .shapeMismatch,
        "the window reaches over \(reach) \(axis == 0 ? "rows" : "columns"), the padded input has \(room + reach)")
    }
    let output = room / stride[axis] + 1, rest = room % stride[axis]
    if roundsUp, padding != .same, rest > 0 {
      let next = try Checked.sum([room - rest, stride[axis]], "window")
      if next < size + before { return (output + 1, before, after + stride[axis] - rest) }
    }
    return (output, before, after)
  }

  /// The window's attributes, without the kernel where `includingKernel` is false (a convolution's weight has it).
  func write(to attributes: inout Attributes, includingKernel: Bool) {
    if includingKernel { attributes["kernel"] = .integers(kernel) }
    attributes["stride"] = .integers(stride)
    if dilation != [1, 1] { attributes["dilation"] = .integers(dilation) }
    if padding != .none { attributes["padding"] = padding.attribute }
  }
}
