import CNNCore
import CNNGraph

extension Convolution2D: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let input = exporter.source.shape(of: node.operands[0])
    let kernel = Array(exporter.source.type(of: node.operands[1]).shape.suffix(2))
    let inputs = [try exporter.channelsFirst(node.operands[0]), try exporter.plain(node.operands[1])]
    let bias = try exporter.bias(node)
    let padding = try window(kernel: kernel).exportedPadding(input)
    exporter.append(
      "Conv", inputs + bias, node.name,
      [
        "kernel_shape": .integers(kernel), "strides": .integers(stride), "dilations": .integers(dilation),
        "group": .integer(groups), padding.name: padding.value,
      ])
    try exporter.defineSum(node, order: GraphExporter.channelsFirst(rank: 4))
  }
}

extension ConvolutionTranspose2D: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let kernel = Array(exporter.source.type(of: node.operands[1]).shape.suffix(2))
    let inputs = [try exporter.channelsFirst(node.operands[0]), try exporter.plain(node.operands[1])]
    let padding = try convolution.window(kernel: kernel).exportedPadding(exporter.source.shape(of: node.results[0]))
    exporter.append(
      "ConvTranspose", inputs, node.name,
      [
        "kernel_shape": .integers(kernel), "strides": .integers(convolution.stride),
        "dilations": .integers(convolution.dilation), "group": .integer(convolution.groups),
        "output_padding": .integers(outputPadding), padding.name: padding.value,
      ])
    exporter.define(node.results[0], order: GraphExporter.channelsFirst(rank: 4))
  }
}

extension Window {
  /// The attribute that says what lies around an input of this shape. "same" is a number of rows and columns wherever the
  /// size is known; ONNX's word for it means the same.
  fileprivate func exportedPadding(_ input: [Int?]) throws(CNNError) -> (name: String, value: ExportedAttribute) {
    switch padding {
    case .explicit(let top, let left, let bottom, let right): return ("pads", .integers([top, left, bottom, right]))
    case .same:
      guard let height = input[1], let width = input[2] else { return ("auto_pad", .text("SAME_UPPER")) }
      let placed = try placed(onHeight: height, width: width)
      return ("pads", .integers([placed.top, placed.left, placed.bottom, placed.right]))
    }
  }
}

extension Pooling2D: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.channelsFirst(node.operands[0])
    let padding = try window.exportedPadding(exporter.source.shape(of: node.operands[0]))
    switch kind {
    case .max:
      exporter.append(
        "MaxPool", [x], node.name,
        [
          "kernel_shape": .integers(window.kernel), "strides": .integers(window.stride),
          "dilations": .integers(window.dilation), "ceil_mode": .integer(window.roundsUp ? 1 : 0),
          padding.name: padding.value,
        ])
    case .average:
      exporter.append(
        "AveragePool", [x], node.name,
        [
          "kernel_shape": .integers(window.kernel), "strides": .integers(window.stride),
          "count_include_pad": .integer(countsPadding ? 1 : 0), "ceil_mode": .integer(window.roundsUp ? 1 : 0),
          padding.name: padding.value,
        ])
    }
    exporter.define(node.results[0], order: GraphExporter.channelsFirst(rank: 4))
  }
}

extension GlobalPooling2D: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.channelsFirst(node.operands[0])
    let kind = kind == .max ? "GlobalMaxPool" : "GlobalAveragePool"
    if keepsAxes {
      exporter.append(kind, [x], node.name)
      exporter.define(node.results[0], order: GraphExporter.channelsFirst(rank: 4))
    } else {
      let pooled = exporter.intermediate(kind, [x], node)
      exporter.append("Flatten", [pooled], node.name, ["axis": .integer(1)])
      exporter.define(node.results[0], order: [0, 1])
    }
  }
}

extension BatchNormalization: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    var inputs = [try exporter.channelsFirst(node.operands[0])]
    for parameter in node.operands.dropFirst() { inputs.append(try exporter.plain(parameter)) }
    exporter.append(
      "BatchNormalization", inputs, node.name, ["epsilon": .number(epsilon), "momentum": .number(1 - momentum)])
    exporter.define(
      node.results[0], order: GraphExporter.channelsFirst(rank: exporter.source.type(of: node.operands[0]).rank))
  }
}

extension Dense: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.plain(node.operands[0]), rank = exporter.source.type(of: node.operands[0]).rank
    let matrix = try exporter.plain(node.operands[1]), bias = try exporter.bias(node)
    if rank == 2 {
      exporter.append("Gemm", [x, matrix] + bias, node.name, ["transB": .integer(1)])
    } else {
      let weight = exporter.intermediate("Transpose", [matrix], node, ["perm": .integers([1, 0])])
      if bias.isEmpty {
        exporter.append("MatMul", [x, weight], node.name)
      } else {
        exporter.append("Add", [exporter.intermediate("MatMul", [x, weight], node)] + bias, node.name)
      }
    }
    try exporter.defineSum(node, order: Array(0..<rank))
  }
}

extension ParametricRelu: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let (x, slope) = try exporter.aligned(node.operands[0], node.operands[1])
    exporter.append("PRelu", [x.name, slope], node.name)
    exporter.define(node.results[0], order: x.order)
  }
}

extension NormalizePixels: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.tensor(node.operands[0])
    let numbers = exporter.intermediate("Cast", [x.name], node, ["to": .integer(ElementCode.float32)])
    let mean = exporter.perChannel(mean.map { $0 * 255 }, order: x.order)
    let deviation = exporter.perChannel(deviation.map { $0 * 255 }, order: x.order)
    let centered = exporter.intermediate("Sub", [numbers, mean], node)
    exporter.append("Div", [centered, deviation], node.name)
    exporter.define(node.results[0], order: x.order)
  }
}

extension GraphExporter {
  /// One constant, or one for each channel, shaped for a tensor with its axes in this order.
  mutating func perChannel(_ values: [Double], order: [Int]) -> String {
    if values.count == 1 { return scalar(values[0]) }
    let position = order.firstIndex(of: order.count - 1) ?? 0
    return floats(values, shape: [values.count] + Array(repeating: 1, count: order.count - 1 - position))
  }

  /// Two operands of which the elements are combined: the axes of the second, which may be fewer, are the last of the
  /// first's, and stand as they do there.
  mutating func aligned(_ first: Value, _ second: Value) throws(CNNError) -> (first: ExportedTensor, second: String) {
    let a = try tensor(first), rank = source.type(of: first).rank
    let shape = source.type(of: second).shape
    if shape.count == rank { return (a, try tensor(second, order: a.order)) }
    if a.isPlain || shape.isEmpty { return (a, try plain(second)) }
    let full = Array(repeating: 1, count: rank - shape.count) + shape
    let target = a.order.map { full[$0] }
    let name = unique("\(source.name(of: second)).aligned")
    let flat = try plain(second)
    if full.filter({ $0 > 1 }) == target.filter({ $0 > 1 }) {
      append("Reshape", [flat, integers(target.map(Int64.init))], name)
    } else {
      let reshaped = unique("\(source.name(of: second)).reshaped")
      append("Reshape", [flat, integers(full.map(Int64.init))], reshaped)
      append("Transpose", [reshaped], name, ["perm": .integers(a.order)])
    }
    return (a, name)
  }
}
