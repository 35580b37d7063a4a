import CNNCore

/// Where an image input has its channels, which a file does not say: found from what is done with it.
extension GraphImporter {
  /// The layout of the input `name` with these sizes, four of which the first is the batch; nil where nothing tells.
  /// The report says what was found.
  mutating func findLayout(of name: String, _ sizes: [Int?]) -> ONNXExportOptions.Layout? {
    var place: Int?
    if let layout {
      place = layout == .nchw ? 1 : 3
    } else {
      place = channelAxis(of: name, sizes)
    }
    let shape = "[\(sizes.map { $0.map { "\($0)" } ?? "any" }.joined(separator: ", "))]"
    switch place {
    case 1:
      report.note("input '\(name)' \(shape) has its channels second")
      return .nchw
    case 3:
      report.note("input '\(name)' \(shape) has its channels last")
      return .nhwc
    default:
      if options.layout == .file { return nil }
      report.warn(
        "nothing in the file tells which axis of input '\(name)' \(shape) has the channels: it stays as in the file")
      return nil
    }
  }

  /// What is known of an input's channels.
  private struct Evidence {
    /// The axes that layers take for the channels, those that other operations treat as such, and those whose size is
    /// that of colors.
    var fromLayers: Set<Int> = [], fromUse: Set<Int> = [], fromSizes: Set<Int> = []

    var axis: Int? {
      let strongest = [fromLayers, fromUse, fromSizes].first { !$0.isEmpty } ?? []
      return strongest.count == 1 ? strongest.first : nil
    }
  }

  /// Follows the input through all that keeps its axes, or moves them, up to the layers that tell which are the channels.
  private func channelAxis(of name: String, _ sizes: [Int?]) -> Int? {
    var evidence = Evidence()
    // For each axis of a tensor on the way which axis of the input it is.
    var pending = [(name: name, order: [0, 1, 2, 3])], seen: Set<String> = [name]
    while let (name, order) = pending.popLast(), seen.count <= Self.maximumFollowed {
      for index in readers[name] ?? [] {
        let node = source.node[index]
        var next: [Int]?
        if Self.layersWithChannelsSecond.contains(node.operationName) {
          if node.input.first == name { evidence.fromLayers.insert(order[1]) }
        } else if node.operationName == "Transpose" {
          let moves = node.integers("perm") ?? [3, 2, 1, 0]
          if moves.sorted() == [0, 1, 2, 3] { next = moves.map { order[$0] } }
        } else if node.operationName == "Reshape" {
          next = movedUnit(node, order, sizes)
        } else if node.operationName == "MatMul" {
          if node.input.first == name { evidence.fromUse.insert(order[3]) }
        } else if node.operationName.utf8.starts(with: "Reduce".utf8) {
          let axes = (node.integers("axes") ?? integers(node.input.dropFirst().first))?.map { $0 < 0 ? $0 &+ 4 : $0 }
          // What remains beside the batch.
          let rest = Set(1...3).subtracting(axes ?? [])
          if rest.count == 1, let axis = rest.first { evidence.fromUse.insert(order[axis]) }
        } else if Self.keepingAxes.contains(node.operationName) {
          next = order
          if Self.arithmetic.contains(node.operationName) {
            for axis in node.input.compactMap({ channelAxis(ofConstant: $0) }) { evidence.fromUse.insert(order[axis]) }
          }
        }
        guard let next else { continue }
        for output in node.output where !output.isEmpty && seen.insert(output).inserted {
          pending.append((output, next))
        }
      }
    }
    for axis in [1, 3] {
      if let size = sizes[axis], size <= 4, (sizes[4 - axis] ?? .max) > 4 { evidence.fromSizes.insert(axis) }
    }
    return evidence.axis
  }

  /// So many tensors are followed at most: layers come long before that.
  private static let maximumFollowed = 1 << 12

  /// Layers whose first input has its channels second.
  private static let layersWithChannelsSecond: Set<String> = [
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool",
    "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN", "DepthToSpace", "SpaceToDepth",
    "ConvInteger", "QLinearConv", "com.microsoft.QLinearGlobalAveragePool", "com.microsoft.QLinearAveragePool",
  ]

  /// What computes element by element, or changes sizes and order within axes.
  private static let keepingAxes: Set<String> = [
    "Abs", "Add", "Cast", "Ceil", "Clip", "Concat", "DequantizeLinear", "Div", "Dropout", "Elu", "Erf", "Exp", "Floor",
    "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul",
    "Neg", "PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal", "Relu", "Resize", "Round", "Selu", "Sigmoid", "Slice",
    "Softplus", "Softsign", "Split", "Sqrt", "Sub", "Sum", "Tanh", "Upsample", "Where",
  ]

  /// Those of them whose operands are repeated along axes of size 1.
  private static let arithmetic: Set<String> = ["Add", "Div", "Max", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"]

  /// The axis of four along which a constant has values of its own, where it is one.
  private func channelAxis(ofConstant name: String) -> Int? {
    guard let dims = constantDims(name), dims.count <= 4 else { return nil }
    let full = Array(repeating: 1, count: 4 - dims.count) + dims
    let long = full.indices.filter { full[$0] != 1 }
    return long.count == 1 && long[0] > 0 ? long[0] : nil
  }

  /// The order behind a reshape that does no more than a transposition of an axis of size 1 would do.
  private func movedUnit(_ node: Onnx_NodeProto, _ order: [Int], _ sizes: [Int?]) -> [Int]? {
    guard let target = node.integers("shape") ?? integers(node.input.dropFirst().first), target.count == 4,
      let unit = order.firstIndex(where: { $0 != 0 && sizes[$0] == 1 }), let place = target[1...].firstIndex(of: 1)
    else { return nil }
    var moved = order
    moved.insert(moved.remove(at: unit), at: place)
    let fits = (1..<4).allSatisfy { target[$0] < 1 || sizes[moved[$0]] == nil || sizes[moved[$0]] == target[$0] }
    return fits && order.count(where: { $0 != 0 && sizes[$0] == 1 }) == 1 ? moved : nil
  }

  /// The shape of an initializer, or of the tensor in a node of kind Constant.
  private func constantDims(_ name: String) -> [Int]? { constantTensor(name)?.dims.map { Int($0) } }

  private func constantTensor(_ name: String) -> Onnx_TensorProto? {
    if let index = initializers[name] { return source.initializer[index] }
    return constantNodes[name].flatMap { index in source.node[index].attribute.first { $0.name == "value" }?.t }
  }

  /// Whole numbers that are constants.
  private func integers(_ name: String?) -> [Int]? {
    guard let tensor = name.flatMap({ constantTensor($0) }), tensor.dims.count <= 1,
      tensor.dims.first ?? 1 <= 8, case .sizes(let sizes)? = try? reader.constant(tensor).content
    else { return nil }
    return sizes.compactMap(\.known)
  }
}

extension Onnx_NodeProto {
  /// An attribute that is a list of whole numbers.
  fileprivate func integers(_ name: String) -> [Int]? {
    attribute.first { $0.name == name && $0.type == .ints }?.ints.map { Int($0) }
  }
}
