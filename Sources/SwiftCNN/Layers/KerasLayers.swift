import CNNCore
import CNNGraph

/// A layer of a network as Keras has it: the public class that computes the same, and what an object of it is made with.
struct KerasLayer {
  /// The operations of which it consists: one, and where that is followed by its activation, two.
  var nodes: [Node]
  /// The name of the class; "Layer" where Keras has none.
  var kind = "Layer"
  /// The arguments.
  var arguments = JSONObject()
  /// Explicit padding for which Keras has no word: `[[top, bottom], [left, right]]`.
  var sides: JSON?
  /// The number of groups where each channel is convolved by itself.
  var depthwise: Int?
}

extension Graph {
  /// The layers of the network. What a layer added for its activation, as `conv.relu` after `conv`, is a part of it;
  /// constants, as those in place of a normalisation's scale that it has not, and roundings of weights are none.
  var kerasLayers: JSON {
    var readers: [Value: [Node]] = [:]
    for node in nodes { for operand in node.operands { readers[operand, default: []].append(node) } }
    let seen = Set(outputs.map(\.value))
    var taken: Set<String> = [], rows: [JSON] = []
    for node in nodes
    where !(node.operation is Fill) && !isRoundingOfParameter(node) && !taken.contains(node.name) {
      var layer = KerasLayer(nodes: [node])
      if node.operation is Convolution2D || node.operation is Dense, let result = node.results.first,
        let after = readers[result], after.count == 1, !seen.contains(result),
        let word = after[0].operation.activationWord,
        after[0].name == "\(node.name).\(word)", after[0].operation.kerasActivation != nil
      {
        layer.nodes.append(after[0])
        taken.insert(after[0].name)
      }
      describe(&layer)
      rows.append(row(layer))
    }
    return .array(rows)
  }

  private func row(_ layer: KerasLayer) -> JSON {
    let first = layer.nodes[0]
    var weights: [JSON] = [], operands: [JSON] = []
    for operand in first.operands {
      if let parameter = parameter(behind: operand) {
        weights.append(.array([.string(parameter.name), .string(parameter.kerasName)]))
        continue
      }
      switch definition(of: operand) {
      case .node(let position, _) where nodes[position].operation is Fill: break
      default: operands.append(.string(name(of: operand)))
      }
    }
    var row = JSONObject()
    row["name"] = .string(first.name)
    row["class"] = .string(layer.kind)
    row["config"] = .object(layer.arguments)
    row["operation"] = .string(Swift.type(of: first.operation).name)
    row["attributes"] = .object(first.operation.attributes.json)
    row["nodes"] = .strings(layer.nodes.map(\.name))
    row["operands"] = .array(operands)
    row["weights"] = .array(weights)
    row["sides"] = layer.sides
    row["depthwise"] = layer.depthwise.map { .integer(Int64($0)) }
    return .object(row)
  }

  /// Finds the class and the arguments.
  private func describe(_ layer: inout KerasLayer) {
    let node = layer.nodes[0]
    let weights = node.operands.compactMap(parameter(behind:))
    func give(_ kind: String, _ arguments: JSON = [:]) {
      layer.kind = kind
      for (key, value) in arguments.objectValue?.members ?? [] { layer.arguments[key] = value }
    }
    if layer.nodes.count > 1 {
      layer.arguments["activation"] = layer.nodes[1].operation.kerasActivation.map { .string($0) }
    }
    switch node.operation {
    case let operation as Convolution2D:
      guard let shape = weights.first?.shape, shape.count == 4 else { break }
      let order = operation.filterLayout == .oihw ? [0, 1, 2, 3] : [3, 2, 0, 1]
      let (output, input, kernel) = (shape[order[0]], shape[order[1]], [shape[order[2]], shape[order[3]]])
      layer.arguments["use_bias"] = .bool(weights.count > 1)
      layer.arguments["dilation_rate"] = .integers(operation.dilation)
      if operation.groups > 1, input == 1 {
        layer.depthwise = operation.groups
        give(
          "DepthwiseConv2D",
          ["kernel_size": .integers(kernel), "depth_multiplier": .integer(Int64(output / operation.groups))])
      } else {
        let (filters, groups) = (Int64(output), Int64(operation.groups))
        give("Conv2D", ["filters": .integer(filters), "kernel_size": .integers(kernel), "groups": .integer(groups)])
      }
      window(kernel, operation.stride, operation.dilation, operation.padding, &layer)
    case let operation as Pooling2D:
      let window = operation.window
      give(operation.kind == .max ? "MaxPooling2D" : "AveragePooling2D", ["pool_size": .integers(window.kernel)])
      self.window(window.kernel, window.stride, window.dilation, window.padding, &layer)
    case let operation as GlobalPooling2D:
      let kind = operation.kind == .max ? "GlobalMaxPooling2D" : "GlobalAveragePooling2D"
      give(kind, ["keepdims": .bool(operation.keepsAxes)])
    case is Dense:
      guard let units = weights.first?.shape.first else { break }
      give("Dense", ["units": .integer(Int64(units)), "use_bias": .bool(weights.count > 1)])
    case let operation as BatchNormalization:
      let roles = Set(weights.map(\.role))
      give(
        "BatchNormalization",
        [
          "momentum": .number(1 - operation.momentum), "epsilon": .number(operation.epsilon),
          "center": .bool(roles.contains(.normalizationShift)), "scale": .bool(roles.contains(.normalizationScale)),
        ])
    case let operation as Activation: activation(operation, give)
    case is Softmax: give("Softmax")
    case is LogSoftmax: give("Activation", ["activation": "log_softmax"])
    case is ParametricRelu: give("PReLU")
    case is Add: give("Add")
    case is Multiply: give("Multiply")
    case is Maximum: give("Maximum")
    case is Minimum: give("Minimum")
    case let operation as Concatenate: give("Concatenate", ["axis": .integer(Int64(operation.axis))])
    case let operation as Reshape:
      if operation.shape == [-1] {
        give("Flatten")
      } else {
        give("Reshape", ["target_shape": .integers(operation.shape)])
      }
    case let operation as ZeroPadding2D:
      let sides = operation.padding
      give("ZeroPadding2D", ["padding": [.integers([sides[0], sides[2]]), .integers([sides[1], sides[3]])]])
    case let operation as Dropout: give("Dropout", ["rate": .number(operation.rate)])
    case let operation as RandomCrop:
      give("RandomCrop", ["height": .integer(Int64(operation.height)), "width": .integer(Int64(operation.width))])
    case let operation as RandomFlip:
      let ways = (operation.horizontal ? ["horizontal"] : []) + (operation.vertical ? ["vertical"] : [])
      give("RandomFlip", ["mode": .string(ways.isEmpty ? "horizontal" : ways.joined(separator: "_and_"))])
    case let operation as Rescaling:
      give("Rescaling", ["scale": .constants(operation.scale), "offset": .constants(operation.offset)])
    default: break
    }
  }

  private func activation(_ operation: Activation, _ give: (String, JSON) -> Void) {
    let constants = Dictionary(
      zip(operation.function.constants.map(\.name), operation.constants), uniquingKeysWith: { first, _ in first })
    let slope = constants["alpha"] ?? 0, threshold = constants["threshold"] ?? 0
    let largest = operation.function == .relu6 ? 6 : constants["maximum"] ?? .infinity
    switch operation.function {
    case .leakyRelu where threshold == 0 && largest == .infinity: give("LeakyReLU", ["negative_slope": .number(slope)])
    case .relu, .relu6, .leakyRelu:
      give(
        "ReLU",
        [
          "max_value": largest == .infinity ? .null : .number(largest), "negative_slope": .number(slope),
          "threshold": .number(threshold),
        ])
    case .elu: give("ELU", ["alpha": .number(slope)])
    default: if let name = operation.kerasActivation { give("Activation", ["activation": .string(name)]) }
    }
  }

  /// Strides and padding of a window: Keras's word where it has one.
  private func window(
    _ kernel: [Int], _ stride: [Int], _ dilation: [Int], _ padding: Padding, _ layer: inout KerasLayer
  ) {
    layer.arguments["strides"] = .integers(stride)
    layer.arguments["padding"] = padding == .same ? "same" : "valid"
    guard case .explicit(let top, let left, let bottom, let right) = padding, padding != .none else { return }
    let around = zip(kernel, dilation).map { ($0 - 1) * $1 }
    let halves = around.map { [$0 / 2, $0 - $0 / 2] }
    if stride == [1, 1], halves == [[top, bottom], [left, right]] {
      layer.sides = "same"
    } else {
      layer.sides = [.integers([top, bottom]), .integers([left, right])]
    }
  }
}

extension Operation {
  /// What a layer calls its activation after, as `relu` of `conv.relu`; nil where it is no activation.
  fileprivate var activationWord: String? {
    if let activation = self as? Activation { return activation.function.rawValue }
    return self is Softmax || self is LogSoftmax ? Self.name : nil
  }

  /// The name of Keras's activation that it is; nil where it has other constants, or Keras has none.
  fileprivate var kerasActivation: String? {
    guard let activation = self as? Activation else { return activationWord }
    guard activation.constants == activation.function.constants.map(\.usual) else { return nil }
    switch activation.function {
    case .geluTanh, .clip, .erf, .logarithm, .power: return nil
    case .hardSwish: return "hard_silu"
    case .relu, .relu6, .leakyRelu, .elu, .selu, .silu, .sigmoid, .hardSigmoid, .gelu, .tanh, .softplus, .softsign,
      .exponential, .mish:
      return activation.function.rawValue
    }
  }
}

extension Parameter {
  /// What the weight is called in Keras's layers.
  fileprivate var kerasName: String {
    let last = name.split(separator: "." as Character).last.map(String.init) ?? name
    switch role {
    case .weight: return "kernel"
    case .bias: return "bias"
    case .normalizationScale: return "gamma"
    case .normalizationShift: return "beta"
    case .slope: return "alpha"
    case .quantizationScale: return "scale"
    case .statistic: return ["running_mean": "moving_mean", "running_var": "moving_variance"][last] ?? last
    }
  }
}

extension JSON {
  /// One number alone, or several in a list.
  fileprivate static func constants(_ values: [Double]) -> JSON {
    values.count == 1 ? .number(values[0]) : .array(values.map { .number($0) })
  }
}
