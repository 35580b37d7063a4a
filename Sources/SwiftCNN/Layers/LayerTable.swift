import CNNCore
import CNNGraph

extension GraphBuilder {
  /// The kinds of layer that bring parameters of their own or are made of several operations; any other kind is an operation of the graph.
  static let parametricLayers = [
    "conv2d", "conv2d_transpose", "depthwise_conv2d", "batch_norm", "group_norm", "unit_norm", "dense", "prelu",
  ]
  /// The operations that are layers by themselves.
  static let plainLayers: [any Operation.Type] = [
    Activation.self, Softmax.self, LogSoftmax.self, Rescaling.self, Add.self, Multiply.self, Concatenate.self,
    Pooling2D.self, GlobalPooling2D.self, Reshape.self, ZeroPadding2D.self, Dropout.self, StochasticDepth.self,
    RandomFlip.self, RandomCrop.self, Maximum.self, Minimum.self, Resize.self,
  ]

  /// Adds a layer by the name of its kind, with options as `include/swiftcnn.h` lists them for `scnn_graph_layer`.
  /// - Throws: `.unknownName` with the nearest kind, `.invalidArgument` for an option that is missing, wrong or unknown,
  ///   or what the layer's shape rule throws.
  package mutating func layer(_ kind: String, name: String?, options: JSONObject, operands: [Value]) throws(CNNError)
    -> Value
  {
    for operand in operands where !(0..<graph.valueCount).contains(operand.index) {
      throw CNNError(.invalidArgument, "operand \(operand.index) is not a value of this graph")
    }
    let name = name ?? graph.uniqueName(kind)
    let known = Self.parametricLayers + Self.plainLayers.map { $0.name }
    guard known.contains(kind) else { throw unknownName("layer", kind, among: known) }
    var attributes = try Attributes(json: options)
    let mark = graph.mark
    do throws(CNNError) {
      if Self.parametricLayers.contains(kind) {
        guard operands.count == 1 else {
          throw CNNError(.invalidArgument, "\(operands.count) operands given; expected 1")
        }
        let value = try parametricLayer(kind, name, &attributes, operands[0])
        try attributes.finish()
        return value
      }
      let isRandom = Self.plainLayers.contains { $0.name == kind && $0 is any RandomOperation.Type }
      if isRandom, !attributes.contains("stream") {
        // Every random layer of a graph has numbers of its own.
        attributes["stream"] = .integer(graph.nodes.count)
      }
      // Axes are missing in front of parameters alone: of two tensors the first axes are the batch.
      let ranks = Set(operands.map { graph.type(of: $0).rank })
      guard ![Add.name, Multiply.name, Maximum.name, Minimum.name].contains(kind) || ranks.count == 1 else {
        let shapes = operands.map { describe(graph.type(of: $0).shape) }.joined(separator: " and ")
        throw CNNError(.shapeMismatch, "the operands have shapes \(shapes); expected as many axes in each")
      }
      return try graph.addSingle(OperationTable.make(kind, attributes), operands, name: name)
    } catch {
      // A layer that does not fit leaves no parameters behind.
      graph.rollBack(to: mark)
      throw error.mentions("'\(name)'") ? error : error.prefixed("\(kind) '\(name)'")
    }
  }

  /// Every kind of layer by name, with its options; those of an activation are the ones that all functions have, and
  /// stand with each of `activationDescription` besides.
  static var description: JSON {
    var kinds: [(key: String, value: JSON)] = []
    for kind in parametricLayers {
      let options = Attributes.declarations { (attributes) throws(CNNError) in
        var builder = GraphBuilder()
        _ = try builder.parametricLayer(kind, kind, &attributes, builder.input(shape: [1, 1, 1]))
      }
      kinds.append((kind, ["options": OptionDeclaration.json(options)]))
    }
    for type in plainLayers {
      let options = Attributes.declarations { (attributes) throws(CNNError) in _ = try type.init(&attributes) }
      kinds.append((type.name, ["options": OptionDeclaration.json(options)]))
    }
    return .object(JSONObject(kinds))
  }

  /// Every activation function by name, with its constants.
  static var activationDescription: JSON {
    .object(
      JSONObject(
        ActivationFunction.allCases.map { function in
          let options = Attributes.declarations(given: ["function": .text(function.rawValue)]) {
            (attributes) throws(CNNError) in _ = try Activation(&attributes)
          }
          return (function.rawValue, ["options": OptionDeclaration.json(options.filter { $0.name != "function" })])
        }))
  }

  private mutating func parametricLayer(
    _ kind: String, _ name: String, _ attributes: inout Attributes, _ x: Value
  ) throws(CNNError) -> Value {
    switch kind {
    case "batch_norm":
      return try batchNormalization(
        x, name, epsilon: attributes.number("epsilon", default: 1e-5),
        momentum: attributes.number("momentum", default: 0.1), scale: attributes.flag("scale", default: true),
        center: attributes.flag("center", default: true), unbiased: attributes.flag("unbiased", default: true))
    case "dense":
      return try dense(
        x, name, units: attributes.integer("units"), bias: attributes.flag("bias", default: true),
        initializer: attributes.choice("initializer", default: .uniformFanIn))
    case "group_norm":
      return try groupNormalization(
        x, name, groups: attributes.integer("groups", default: 32),
        epsilon: attributes.number("epsilon", default: 1e-3),
        scale: attributes.flag("scale", default: true), center: attributes.flag("center", default: true))
    case "unit_norm":
      return try unitNormalization(x, name, axes: attributes.integers("axes", default: [-1]))
    case "conv2d_transpose":
      let padding = try attributes.text("padding", default: "valid")
      guard ["same", "valid"].contains(padding) else {
        throw unknownName("padding", padding, among: ["same", "valid"])
      }
      return try transposedConvolution(
        x, name, outputChannels: attributes.integer("filters"), kernel: attributes.integers("kernel", count: 2),
        stride: attributes.integers("stride", count: 2, default: [1, 1]), isSame: padding == "same",
        dilation: attributes.integers("dilation", count: 2, default: [1, 1]),
        bias: attributes.flag("bias", default: false),
        initializer: attributes.choice("initializer", default: .heNormalFanOut))
    case "prelu":
      return try parametricRelu(
        x, name, isShared: attributes.flag("shared", default: true),
        initializer: attributes.choice("initializer", default: .zeros))
    default:
      let kernel = try attributes.integers("kernel", count: 2)
      let stride = try attributes.integers("stride", count: 2, default: [1, 1])
      let dilation = try attributes.integers("dilation", count: 2, default: [1, 1])
      let padding = try Padding(&attributes)
      let bias = try attributes.flag("bias", default: false)
      let initializer = try attributes.choice("initializer", default: Initializer.heNormalFanOut)
      if kind == "depthwise_conv2d" {
        return try depthwiseConvolution(
          x, name, kernel: (kernel[0], kernel[1]), stride: (stride[0], stride[1]), padding: padding,
          dilation: (dilation[0], dilation[1]), multiplier: attributes.integer("multiplier", default: 1), bias: bias,
          initializer: initializer)
      }
      return try convolution(
        x, name, outputChannels: attributes.integer("filters"), kernel: (kernel[0], kernel[1]),
        stride: (stride[0], stride[1]), padding: padding, dilation: (dilation[0], dilation[1]),
        groups: attributes.integer("groups", default: 1), bias: bias, initializer: initializer)
    }
  }
}
