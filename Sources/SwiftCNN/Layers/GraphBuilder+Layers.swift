import CNNCore
import CNNGraph

extension GraphBuilder {
  /// A transposed convolution of NHWC `x` with Keras's padding: "same" makes images `stride` times larger, "valid" keeps
  /// all that the window gives. Adds `name.weight` of shape `[inputChannels, outputChannels, height, width]` and, with
  /// `bias`, `name.bias`.
  public mutating func transposedConvolution(
    _ x: Value, _ name: String, outputChannels: Int, kernel: [Int], stride: [Int] = [1, 1], isSame: Bool = false,
    dilation: [Int] = [1, 1], bias: Bool = false, initializer: Initializer = .heNormalFanOut
  ) throws(CNNError) -> Value {
    let shape = graph.type(of: x).shape, limit = 1 << 24
    guard shape.count == 4 else {
      throw CNNError(.shapeMismatch, "the input has shape \(describe(shape)); expected [N, height, width, channels]")
    }
    guard outputChannels >= 1, (kernel + stride + dilation).allSatisfy({ (1...limit).contains($0) }) else {
      throw CNNError(
        .invalidArgument,
        "filters is \(outputChannels), kernel \(describe(kernel)), stride \(describe(stride)) and dilation "
          + "\(describe(dilation)); expected 1 to \(limit)")
    }
    var cut: [[Int]] = [], added: [Int] = []
    for axis in 0..<2 {
      let window = try Checked.sum([Checked.product([kernel[axis] - 1, dilation[axis]], name), 1], name)
      let total = isSame ? max(window - stride[axis], 0) : 0
      cut.append([total / 2, total - total / 2])
      added.append(max(stride[axis] - window, 0))
    }
    let weight = try parameter(
      "\(name).weight", [shape[3], outputChannels, kernel[0], kernel[1]], .weight, initializer)
    let convolution = Convolution2D(
      stride: stride, dilation: dilation,
      padding: .explicit(top: cut[0][0], left: cut[1][0], bottom: cut[0][1], right: cut[1][1]))
    let operation = ConvolutionTranspose2D(convolution, outputPadding: added)
    guard bias else { return try graph.addSingle(operation, [x, weight], name: name) }
    let sum = try graph.addSingle(operation, [x, weight], name: graph.uniqueName("\(name).product"))
    return try graph.addSingle(
      Add(), [sum, try parameter("\(name).bias", [outputChannels], .bias, .zeros)], name: name)
  }

  /// Group normalisation of NHWC `x` (Wu and He 2018): each group of channels of each image by its mean and variance. Adds
  /// `name.weight` and `name.bias`. `groups` is -1 for as many as there are channels.
  public mutating func groupNormalization(
    _ x: Value, _ name: String, groups: Int, epsilon: Double = 1e-3, scale: Bool = true, center: Bool = true
  ) throws(CNNError) -> Value {
    let shape = graph.type(of: x).shape
    guard let channels = shape.last, shape.count >= 2 else {
      throw CNNError(.shapeMismatch, "the input has shape \(describe(shape)); expected a batch with channels")
    }
    let count = groups == -1 ? channels : groups
    guard count >= 1, channels % count == 0 else {
      throw CNNError(.invalidArgument, "groups is \(groups); it must divide the \(channels) channels, or be -1")
    }
    guard epsilon >= 0 else { throw CNNError(.invalidArgument, "epsilon is \(epsilon); expected 0 or more") }
    func emit(_ part: String?, _ operation: any Operation, _ operands: Value...) throws(CNNError) -> Value {
      try graph.addSingle(operation, operands, name: part.map { graph.uniqueName("\(name).\($0)") } ?? name)
    }
    /// The means over the pixels and the channels of each group, one for each channel.
    func means(_ part: String, _ value: Value) throws(CNNError) -> Value {
      var mean = value
      let pixels = Array(1..<shape.count - 1), ones = Array(repeating: 1, count: shape.count - 2)
      if !pixels.isEmpty { mean = try emit(part, Reduction(.mean, axes: pixels, keepsAxes: true), mean) }
      mean = try emit(part, Reshape([count, channels / count]), mean)
      mean = try emit(part, Reduction(.mean, axes: [-1], keepsAxes: true), mean)
      mean = try emit(part, Multiply(), mean, try emit(part, Fill(1, shape: [count, channels / count])))
      return try emit(part, Reshape(ones + [channels]), mean)
    }
    let opposite = try emit("mean", Rescaling(scale: [-1], offset: [0]), try means("mean", x))
    let centered = try emit("centered", Add(), x, opposite)
    let variance = try means("variance", try emit("variance", Multiply(), centered, centered))
    let shifted = try emit("variance", Rescaling(scale: [1], offset: [epsilon]), variance)
    let factor = try emit("deviation", Activation(.power, ["exponent": -0.5]), shifted)
    var result = try emit(scale || center ? "normalized" : nil, Multiply(), centered, factor)
    if scale {
      result = try emit(
        center ? "scaled" : nil, Multiply(), result,
        try parameter("\(name).weight", [channels], .normalizationScale, .ones))
    }
    if center {
      result = try emit(nil, Add(), result, try parameter("\(name).bias", [channels], .normalizationShift, .zeros))
    }
    return result
  }

  /// Each vector along an axis divided by its length, as Keras's UnitNormalization.
  public mutating func unitNormalization(_ x: Value, _ name: String, axes: [Int]) throws(CNNError) -> Value {
    func emit(_ part: String, _ operation: any Operation, _ operands: Value...) throws(CNNError) -> Value {
      try graph.addSingle(operation, operands, name: graph.uniqueName("\(name).\(part)"))
    }
    let squares = try emit("squares", Multiply(), x, x)
    let sum = try emit("sum", Reduction(.sum, axes: axes, keepsAxes: true), squares)
    let bounded = try emit("bounded", Activation(.clip, ["minimum": 1e-12]), sum)
    let factor = try emit("factor", Activation(.power, ["exponent": -0.5]), bounded)
    return try graph.addSingle(Multiply(), [x, factor], name: name)
  }
}
