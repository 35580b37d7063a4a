import CNNCore

/// Builds networks layer by layer, with parameters named and laid out as in torchvision.
///
/// All front ends (the model tables, the C graph calls, Python's layers) come through here.
public struct GraphBuilder {
  /// What has been built.
  public var graph = Graph()

  /// An empty network.
  public init() {}

  /// Adds an input of shape `[1, height, width, channels]` (or any other `[1, ...]`).
  /// - Parameters:
  ///   - shape: without the batch; nil for an axis whose size may be another at every run.
  ///   - example: the size such an axis has wherever one is needed before a run, as in tables of shapes.
  public mutating func input(
    _ name: String = "input", shape: [Int?], example: Int = 256, element: ElementType = .float32
  ) throws(CNNError) -> Value {
    let type = try TensorType(element, [1] + shape.map { $0 ?? example })
    return try graph.addInput(
      name, type, variableAxes: shape.indices.filter { shape[$0] == nil }.map { $0 + 1 })
  }

  /// A convolution of NHWC `x`; adds `name.weight` of shape `[outputChannels, inputChannels / groups, height, width]`
  /// and, with `bias`, `name.bias`.
  public mutating func convolution(
    _ x: Value, _ name: String, outputChannels: Int, kernel: (Int, Int), stride: (Int, Int) = (1, 1),
    padding: Padding = .none, dilation: (Int, Int) = (1, 1), groups: Int = 1, bias: Bool = false,
    initializer: Initializer = .heNormalFanOut
  ) throws(CNNError) -> Value {
    let inputChannels = try channels(of: x, for: name)
    guard groups >= 1, inputChannels % groups == 0, outputChannels >= 1, outputChannels % groups == 0 else {
      throw CNNError(
        .invalidArgument,
        "conv2d '\(name)': groups is \(groups); it must divide the \(inputChannels) input and \(outputChannels) "
          + "output channels")
    }
    let weight = try parameter(
      "\(name).weight", [outputChannels, inputChannels / groups, kernel.0, kernel.1], .weight, initializer)
    var operands = [x, weight]
    if bias { operands.append(try parameter("\(name).bias", [outputChannels], .bias, .zeros)) }
    let operation = Convolution2D(
      stride: [stride.0, stride.1], dilation: [dilation.0, dilation.1], groups: groups, padding: padding)
    return try graph.addSingle(operation, operands, name: name)
  }

  /// A convolution of each channel by itself (`multiplier` results per channel).
  public mutating func depthwiseConvolution(
    _ x: Value, _ name: String, kernel: (Int, Int), stride: (Int, Int) = (1, 1), padding: Padding = .none,
    dilation: (Int, Int) = (1, 1), multiplier: Int = 1, bias: Bool = false, initializer: Initializer = .heNormalFanOut
  ) throws(CNNError) -> Value {
    let channels = try channels(of: x, for: name)
    return try convolution(
      x, name, outputChannels: Checked.product([channels, multiplier], name), kernel: kernel, stride: stride,
      padding: padding, dilation: dilation, groups: channels, bias: bias, initializer: initializer)
  }

  /// Batch normalisation (Ioffe and Szegedy 2015); adds `name.weight`, `.bias`, `.running_mean` and `.running_var`.
  /// - Parameters:
  ///   - momentum: the share of the new batch in the running statistics, as in PyTorch (Keras's is 1 minus it).
  ///   - scale, center: whether there is a gamma, `name.weight`, and a beta, `name.bias`; otherwise 1 and 0.
  ///   - unbiased: whether the running variance takes up the batch's unbiased variance.
  public mutating func batchNormalization(
    _ x: Value, _ name: String, epsilon: Double = 1e-5, momentum: Double = 0.1, scale: Bool = true,
    center: Bool = true, unbiased: Bool = true
  ) throws(CNNError) -> Value {
    let channels = try channels(of: x, for: name)
    var operation = BatchNormalization(epsilon: epsilon, momentum: momentum)
    operation.unbiased = unbiased
    let gamma =
      scale
      ? try parameter("\(name).weight", [channels], .normalizationScale, .ones)
      : try graph.addSingle(Fill(1, shape: [channels]), [], name: graph.uniqueName("\(name).ones"))
    let beta =
      center
      ? try parameter("\(name).bias", [channels], .normalizationShift, .zeros)
      : try graph.addSingle(Fill(0, shape: [channels]), [], name: graph.uniqueName("\(name).zeros"))
    let mean = try parameter("\(name).running_mean", [channels], .statistic, .zeros)
    let variance = try parameter("\(name).running_var", [channels], .statistic, .ones)
    return try graph.addSingle(operation, [x, gamma, beta, mean, variance], name: name)
  }

  /// A dense layer over the last axis; adds `name.weight` of shape `[units, features]` and `name.bias`.
  public mutating func dense(
    _ x: Value, _ name: String, units: Int, bias: Bool = true, initializer: Initializer = .uniformFanIn
  ) throws(CNNError) -> Value {
    let features = try channels(of: x, for: name)
    var operands = [x, try parameter("\(name).weight", [units, features], .weight, initializer)]
    if bias { operands.append(try parameter("\(name).bias", [units], .bias, .zeros)) }
    return try graph.addSingle(Dense(), operands, name: name)
  }

  /// A PReLU; adds `name.weight`, a slope for each channel, or where it is not shared, for each element of a sample.
  public mutating func parametricRelu(
    _ x: Value, _ name: String, isShared: Bool = true, initializer: Initializer = .zeros
  ) throws(CNNError) -> Value {
    let channels = try channels(of: x, for: name)
    let shape = isShared ? [channels] : Array(graph.type(of: x).shape.dropFirst())
    let slope = try parameter("\(name).weight", shape, .slope, initializer)
    return try graph.addSingle(ParametricRelu(), [x, slope], name: name)
  }

  /// Any operation without parameters.
  public mutating func apply(_ operation: any Operation, _ operands: Value..., name: String? = nil)
    throws(CNNError) -> Value
  {
    try graph.addSingle(operation, operands, name: name)
  }

  /// An activation function.
  public mutating func activation(_ function: ActivationFunction, _ x: Value, _ name: String? = nil)
    throws(CNNError) -> Value
  {
    try graph.addSingle(Activation(function), [x], name: name ?? graph.uniqueName(function.rawValue))
  }

  /// Adds a parameter.
  public mutating func parameter(
    _ name: String, _ shape: [Int], _ role: Parameter.Role, _ initializer: Initializer
  ) throws(CNNError) -> Value {
    try graph.addParameter(Parameter(name: name, shape: shape, role: role, initializer: initializer))
  }

  /// The size of the last axis.
  private func channels(of x: Value, for name: String) throws(CNNError) -> Int {
    guard let channels = graph.type(of: x).shape.last else {
      throw CNNError(.shapeMismatch, "'\(name)': the input is a scalar; expected at least one axis")
    }
    return channels
  }
}
