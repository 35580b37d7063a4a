import CNNCore
import CNNGraph

extension Reshape: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = node.operands[0], source = exporter.source
    let before = source.shape(of: x), after = source.shape(of: node.results[0])
    // What is one pixel large keeps its channels second: nothing is moved.
    let isPixel = before.count == 4 && before[1] == 1 && before[2] == 1
    let becomesPixel = after.count == 4 && after[1] == 1 && after[2] == 1
    let operand = isPixel ? try exporter.tensor(x).name : try exporter.plain(x)
    let order = becomesPixel ? GraphExporter.channelsFirst(rank: 4) : Array(after.indices)
    // 0 keeps the batch; one axis of a size that varies is what is left.
    let isBatched = exporter.isBatched(x)
    let sizes = order.map { axis in axis == 0 && isBatched ? 0 : Int64(after[axis] ?? -1) }
    guard sizes.filter({ $0 == -1 }).count <= 1 else {
      throw CNNError(.invalidArgument, "the sizes of several axes vary; ONNX's Reshape leaves one open at most")
    }
    exporter.append("Reshape", [operand, exporter.integers(sizes)], node.name)
    exporter.define(node.results[0], order: order)
  }
}

extension Permute: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    // The tensor stays: only what its axes are called has changed.
    let x = try exporter.tensor(node.operands[0])
    exporter.define(node.results[0], as: x.name, order: x.order.map { order.firstIndex(of: $0) ?? 0 })
  }
}

extension Concatenate: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    var order = try exporter.tensor(node.operands[0]).order
    for operand in node.operands {
      let tensor = try exporter.tensor(operand)
      if !tensor.isPlain { order = tensor.order }
    }
    var inputs: [String] = []
    for operand in node.operands { inputs.append(try exporter.tensor(operand, order: order)) }
    let axis = axis < 0 ? axis + order.count : axis
    exporter.append("Concat", inputs, node.name, ["axis": .integer(order.firstIndex(of: axis) ?? 0)])
    exporter.define(node.results[0], order: order)
  }
}

extension Slice: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.tensor(node.operands[0]), axis = axis < 0 ? axis + x.order.count : axis
    let position = x.order.firstIndex(of: axis) ?? 0
    exporter.append(
      "Slice",
      [
        x.name, exporter.integers([Int64(start)]), exporter.integers([Int64(start + length)]),
        exporter.integers([Int64(position)]),
      ], node.name)
    exporter.define(node.results[0], order: x.order)
  }
}

extension Gather: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.tensor(node.operands[0]), axis = axis < 0 ? axis + x.order.count : axis
    exporter.append(
      "Gather", [x.name, exporter.integers(indices.map(Int64.init))], node.name,
      ["axis": .integer(x.order.firstIndex(of: axis) ?? 0)])
    exporter.define(node.results[0], order: x.order)
  }
}

extension Reduction: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.tensor(node.operands[0])
    let isReduced = try isReduced(rank: x.order.count)
    let positions = x.order.indices.filter { isReduced[x.order[$0]] }
    switch kind {
    case .mean:
      exporter.append(
        "ReduceMean", [x.name], node.name,
        ["axes": .integers(positions), "keepdims": .integer(keepsAxes ? 1 : 0)])
    case .max:
      exporter.append(
        "ReduceMax", [x.name], node.name,
        ["axes": .integers(positions), "keepdims": .integer(keepsAxes ? 1 : 0)])
    case .sum:
      exporter.append(
        "ReduceSum", [x.name, exporter.integers(positions.map(Int64.init))], node.name,
        ["keepdims": .integer(keepsAxes ? 1 : 0)])
    }
    exporter.define(node.results[0], order: keepsAxes ? x.order : x.order(without: isReduced))
  }
}

extension ExportedTensor {
  /// The order of the axes when some have been taken away.
  fileprivate func order(without isReduced: [Bool]) -> [Int] {
    let left = order.filter { !isReduced[$0] }, ranks = left.sorted()
    return left.map { ranks.firstIndex(of: $0) ?? 0 }
  }
}

extension ArgMax: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.tensor(node.operands[0]), axis = axis < 0 ? axis + x.order.count : axis
    let position = exporter.intermediate(
      "ArgMax", [x.name], node,
      [
        "axis": .integer(x.order.firstIndex(of: axis) ?? 0), "keepdims": .integer(keepsAxis ? 1 : 0),
        "select_last_index": .integer(choosesLast ? 1 : 0),
      ])
    exporter.append("Cast", [position], node.name, ["to": .integer(ElementCode.float32)])
    exporter.define(
      node.results[0], order: keepsAxis ? x.order : x.order(without: x.order.indices.map { $0 == axis }))
  }
}

extension Resize: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    guard coordinates != .halfPixelSymmetric, !antialiases else {
      throw CNNError(
        .invalidArgument,
        "\(antialiases ? "antialias" : coordinates.rawValue) is not in operator set \(ONNXExporter.operatorSet)")
    }
    let x = try exporter.tensor(node.operands[0]), axis = axis < 0 ? axis + x.order.count : axis
    let position = x.order.firstIndex(of: axis) ?? 0
    var inputs = [x.name, ""]
    switch extent {
    case .scale(let scale):
      let scales = x.order.indices.map { $0 == position ? scale : 1 }
      inputs.append(exporter.floats(scales, shape: [scales.count]))
    case .size(let size):
      // The other sizes stay what they are, also where they vary.
      let sizes = exporter.intermediate("Shape", [x.name], node)
      func part(_ start: Int, _ end: Int) -> String {
        exporter.intermediate(
          "Slice", [sizes, exporter.integers([Int64(start)]), exporter.integers([Int64(end)])], node)
      }
      var parts: [String] = []
      if position > 0 { parts.append(part(0, position)) }
      parts.append(exporter.integers([Int64(size)]))
      if position + 1 < x.order.count { parts.append(part(position + 1, x.order.count)) }
      inputs += ["", exporter.intermediate("Concat", parts, node, ["axis": .integer(0)])]
    }
    exporter.append(
      "Resize", inputs, node.name,
      [
        "mode": .text(interpolation.rawValue), "coordinate_transformation_mode": .text(coordinates.rawValue),
        "nearest_mode": .text(nearest.rawValue), "cubic_coeff_a": .number(cubicCoefficient),
        "exclude_outside": .integer(excludesOutside ? 1 : 0),
      ])
    exporter.define(node.results[0], order: x.order)
  }
}

extension ZeroPadding2D: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.channelsFirst(node.operands[0])
    let pads = [0, 0, padding[0], padding[1], 0, 0, padding[2], padding[3]].map(Int64.init)
    exporter.append("Pad", [x, exporter.integers(pads)], node.name)
    exporter.define(node.results[0], order: GraphExporter.channelsFirst(rank: 4))
  }
}

extension Crop2D: ONNXExportable {
  func export(_ node: Node, into exporter: inout GraphExporter) throws(CNNError) {
    let x = try exporter.channelsFirst(node.operands[0])
    // Counted from the end, so that it holds for images of any size.
    let ends = cropping[2...3].map { $0 == 0 ? Int64.max : -Int64($0) }
    exporter.append(
      "Slice",
      [x, exporter.integers(cropping[0...1].map(Int64.init)), exporter.integers(ends), exporter.integers([2, 3])],
      node.name)
    exporter.define(node.results[0], order: GraphExporter.channelsFirst(rank: 4))
  }
}
