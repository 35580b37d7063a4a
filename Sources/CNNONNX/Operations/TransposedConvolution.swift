import CNNCore
import CNNGraph

extension ImportedOperations {
  /// Transposed convolutions.
  static let transposed: [String: ImportedOperation] = [
    "ConvTranspose": { importer, node throws(CNNError) in try importer.transposedConvolution(&node) }
  ]
}

extension GraphImporter {
  fileprivate mutating func transposedConvolution(_ node: inout ImportedNode) throws(CNNError) -> [Known] {
    let (tensor, x, weight, window) = try convolved(&node)
    let placed = try TransposedPlacement(
      &node, window, axes: weight.shape.count - 2, on: Array(graph.shape(of: x.value)[1...2]))
    let groups = try node.integer("group", default: 1)
    guard groups >= 1 else { throw CNNError(.malformedFile, "group is \(groups); expected at least 1") }
    let filter = try self.filter(weight)
    let convolution = Convolution2D(
      stride: window.stride, dilation: window.dilation, groups: groups,
      padding: .explicit(top: placed.before[0], left: placed.before[1], bottom: placed.after[0], right: placed.after[1])
    )
    let operation = ConvolutionTranspose2D(convolution, outputPadding: placed.output)
    var y = Traced(value: try add(operation, [x.value, filter]), order: Traced.image)
    if placed.beyond != [0, 0] { y = try applying(ZeroPadding2D([0, 0] + placed.beyond), y) }
    if let bias = try node.optionalConstant(2, "the bias") {
      let channels = try knownSize(y, 1, "a bias")
      guard bias.shape == [channels] else {
        throw CNNError(.shapeMismatch, "the bias has the shape \(describe(bias.shape)); expected [\(channels)]")
      }
      y = try combined(.add, y, bias.reshaped([channels, 1, 1]))
    }
    return [.tensor(try row(y, like: tensor))]
  }
}

/// What is cut off the result of a transposed convolution, and what is added to it.
private struct TransposedPlacement {
  /// Rows and columns that are cut off.
  private(set) var before = [0, 0], after = [0, 0]
  /// Rows and columns that are added, fewer than the stride.
  private(set) var output = [0, 0]
  /// Further ones, in which there is nothing but the bias.
  private(set) var beyond = [0, 0]

  init(_ node: inout ImportedNode, _ window: ImportedWindow, axes: Int, on size: [Int?]) throws(CNNError) {
    func list(_ name: String) throws(CNNError) -> [Int]? {
      guard var values = try node.integers(name) else { return nil }
      // The shape of the result may come with batch and channels.
      if name == "output_shape", values.count == axes + 2 { values.removeFirst(2) }
      guard values.count == axes, values.allSatisfy({ (0...(1 << 24)).contains($0) }) else {
        throw CNNError(.malformedFile, "\(name) is \(describe(values)); expected \(axes) numbers of 0 or more")
      }
      return axes == 1 ? [name == "output_shape" ? 1 : 0] + values : values
    }
    let added = try list("output_padding") ?? [0, 0], shape = try list("output_shape")
    for axis in 0..<2 {
      (before[axis], after[axis]) = (window.padding[axis], window.padding[axis + 2])
      var extra = added[axis]
      let reach = try Checked.sum(
        [Checked.product([window.kernel[axis] - 1, window.dilation[axis]], "window"), 1, extra], "window")
      // What the result has too much of, all padding apart.
      var excess: Int?
      if let shape {
        guard let size = size[axis] else {
          throw CNNError(.invalidArgument, "output_shape of an input whose size varies")
        }
        let whole = try Checked.sum(
          [Checked.product([size - 1, max(0, window.stride[axis])], "result"), reach], "result")
        excess = whole - shape[axis]
      } else if window.automatic.hasPrefix("SAME") {
        excess = reach - window.stride[axis]
      }
      if let excess {
        let cut = max(0, excess), half = cut / 2
        (before[axis], after[axis]) = window.automatic == "SAME_UPPER" ? (half, cut - half) : (cut - half, half)
        // Without a shape nothing is added, in spite of what ONNX says of SAME: so do its shape inference and ONNX Runtime.
        if shape != nil { extra += max(0, -excess) }
      }
      output[axis] = min(extra, max(0, window.stride[axis] - 1))
      // What is added at the end is cut off there first.
      let rest = extra - output[axis], common = min(rest, after[axis])
      beyond[axis] = rest - common
      after[axis] -= common
    }
  }
}
